//! What nodes say to each other: one enum of plain types, and how it becomes bytes.
//!
//! A publish is the frame version, one byte, and then frames back to back to the end of the bytes. Frames are bincode of the
//! types below and of nothing else; new variants and versions are appended, never put between. User payloads lie in frames as
//! bytes, in the codec the frame names.
//!
//! | limit | value |
//! |---|---|
//! | one publish | [`PUBLISH_MAX_BYTES`] |
//! | a batch of frames | [`BATCH_MAX_BYTES`] |
//! | a payload in its frame | [`INLINE_MAX_BYTES`]; larger ones come in chunks or by reference ([`Body`]) |
//! | the strings of a call | [`TEXT_MAX_BYTES`] each |

mod body;
mod call;
mod failure;
mod packet;

use beluga_core::MessageId;
use serde::{Deserialize, Serialize};

pub use body::{Body, Raw};
pub use call::{Call, Caller, Fence, Manner, Origin, Target};
pub use failure::{CAUSES_MAX, FAILURE_TEXT_MAX_BYTES, Failure, PARTIAL_MAX_BYTES};
pub use packet::{Packet, decode, encode};

/// The version of the frames this node writes.
pub const FRAME_VERSION: u8 = 1;

/// The oldest version of frames this node reads.
pub const FRAME_VERSION_OLDEST: u8 = 1;

/// The most bytes one publish may have: 1 MiB, what a NATS server takes unless told otherwise.
pub const PUBLISH_MAX_BYTES: usize = 1 << 20;

/// The most bytes of frames that are put into one publish: 64 KiB. A single larger frame travels alone.
pub const BATCH_MAX_BYTES: usize = 64 << 10;

/// The largest payload that travels in its frame: 512 KiB.
pub const INLINE_MAX_BYTES: usize = 512 << 10;

/// The longest string of a call that is no payload, in bytes.
pub const TEXT_MAX_BYTES: usize = 1024;

/// One thing a node says to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Frame {
    /// A message for an actor.
    Call(Box<Call>),
    /// The one answer of an ask; of a tell only if it was refused.
    Reply(Reply),
    /// One item of a stream.
    Item(Item),
    /// The reader of a stream takes more.
    Credit(Credit),
    /// A stream is over.
    End(End),
    /// The caller left.
    Cancel(Cancel),
    /// The receiver does not serve the target.
    Moved(Moved),
    /// The receiver has a call in its mailbox: its sender need not keep it.
    Ack(Ack),
    /// A piece of a payload that is too large for a frame.
    Chunk(Chunk),
}

impl Frame {
    /// Returns which call it is about.
    #[must_use]
    pub fn of(&self) -> MessageId {
        match self {
            Frame::Call(call) => call.id,
            Frame::Reply(Reply { of, .. })
            | Frame::Item(Item { of, .. })
            | Frame::Credit(Credit { of, .. })
            | Frame::End(End { of, .. })
            | Frame::Cancel(Cancel { of })
            | Frame::Moved(Moved { of, .. })
            | Frame::Ack(Ack { of })
            | Frame::Chunk(Chunk { of, .. }) => *of,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// With a value, in the codec of the call.
    Done(Body),
    /// With an error.
    Failed(Failure),
}

/// The answer of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The call.
    pub of: MessageId,
    /// The value or the error.
    pub outcome: Outcome,
}

/// One item of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The call.
    pub of: MessageId,
    /// 1 for the first item; a gap shows a lost one.
    pub number: u64,
    /// The item, in the codec of the call.
    pub body: Body,
}

/// More credit for the producer of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    /// The call.
    pub of: MessageId,
    /// How many more items it may send.
    pub more: u32,
}

/// The end of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The call.
    pub of: MessageId,
    /// How many items there were.
    pub items: u64,
    /// `None` for an end in order; `cancelled` among the errors.
    pub failure: Option<Failure>,
}

/// The caller left; what is done for the call is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// The call.
    pub of: MessageId,
}

/// The receiver does not serve the target. Nothing was executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The call.
    pub of: MessageId,
    /// Who serves it, as far as the receiver knows.
    pub owner: Option<Owner>,
    /// The newest token the receiver knows of.
    pub fence: Option<Fence>,
}

/// One life of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The node's name.
    pub node: String,
    /// Its epoch.
    pub epoch: u64,
}

/// The receiver has the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The call.
    pub of: MessageId,
}

/// A piece of the payload of a call, a reply or an item whose body says [`Body::Chunked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The call.
    pub of: MessageId,
    /// Which body of the call: 0 for the call's own and a reply's, an item's number for an item's.
    pub item: u64,
    /// Where the piece begins, in bytes.
    pub offset: u64,
    /// The piece.
    pub bytes: Raw,
}

#[cfg(test)]
pub(crate) mod tests;
