//! What one message is: a type with a name given by hand, a version, a reply and a lane.

use beluga_core::Result;

use crate::wire::{Codec, MessageSchema};

/// A lane of a mailbox. Control and interrupt are served strictly first, normal and bulk 8 : 1.
///
/// ```
/// use beluga_runtime::{Lane, Message};
///
/// #[derive(Message)]
/// #[message(name = "speech.stop", lane = "interrupt")]
/// struct StopSpeaking;
///
/// assert_eq!(StopSpeaking::LANE, Lane::Interrupt);
/// assert_eq!(Lane::ALL.map(Lane::as_str), ["control", "interrupt", "normal", "bulk"]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Cancel, stop, health: before everything else.
    Control = 0,
    /// Barge-in and other reasons to change course.
    Interrupt = 1,
    /// Ordinary work.
    Normal = 2,
    /// Work that may wait behind ordinary work: memory writes, statistics.
    Bulk = 3,
}

impl Lane {
    /// How many lanes a mailbox has.
    pub const COUNT: usize = 4;
    /// Every lane, the most urgent first.
    pub const ALL: [Lane; Lane::COUNT] = [Lane::Control, Lane::Interrupt, Lane::Normal, Lane::Bulk];

    /// Returns the stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Lane::Control => "control",
            Lane::Interrupt => "interrupt",
            Lane::Normal => "normal",
            Lane::Bulk => "bulk",
        }
    }
}

/// A message with one reply. Derive it:
///
/// ```
/// use beluga_runtime::{Lane, Message};
///
/// #[derive(Message)]
/// #[message(name = "counter.add", reply = u64)]
/// struct Add(u64);
///
/// assert_eq!((Add::NAME, Add::VERSION, Add::LANE), ("counter.add", 1, Lane::Normal));
/// ```
///
/// The attribute takes `name` (required, stable, lower case with dots), `version` (1), `reply` (`()`), `lane`
/// (`"normal"`) and `keep` (the dead letter of a message that panicked holds its `Debug` text); and for messages that travel
/// to other nodes ([`wire`](crate::wire)) `codec` (`"cbor"`), `upgrade_from`, `downgrade` and `schema`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message with a reply",
    label = "not a message",
    note = "derive it: `#[derive(Message)] #[message(name = \"room.verb\", reply = Type)]`",
    note = "a message with `stream = Item` is answered by a stream: it stands after `stream` in `protocol!`, is handled by \
            a `StreamHandler` and sent with `Ref::stream`"
)]
pub trait Message: Send + 'static {
    /// What the receiver answers.
    type Reply: Send + 'static;
    /// The stable name, given by hand: it stands in dead letters, permissions and on the wire.
    const NAME: &'static str;
    /// Raised when the meaning changes.
    const VERSION: u16;
    /// The lane it travels in.
    const LANE: Lane = Lane::Normal;
    /// Whether a dead letter may hold the text of [`kept`](Self::kept).
    const KEEP: bool = false;
    /// The codec its sender writes it in when it travels to another node.
    const CODEC: Codec = Codec::Cbor;
    /// The oldest version that is understood from another node: this one, or the one before it.
    const OLDEST: u16 = Self::VERSION;

    /// Returns the text a dead letter holds, for types that opted in. Called only if [`KEEP`](Self::KEEP) is set.
    fn kept(&self) -> Option<String> {
        None
    }

    /// Decodes the version before this one and converts it; `None` if only this one is understood.
    fn upgrade(codec: Codec, payload: &[u8]) -> Option<Result<Self>>
    where
        Self: Sized,
    {
        let _ = (codec, payload);
        None
    }

    /// Writes the message as the version before this one, for a node that knows no other; `None` if it cannot be.
    fn downgrade(&self, codec: Codec) -> Option<Result<Vec<u8>>> {
        let _ = codec;
        None
    }

    /// Returns the JSON Schemas of the message and its answer, for types that opted in.
    fn schema() -> Option<MessageSchema>
    where
        Self: Sized,
    {
        None
    }
}

/// A message answered by a stream of items. Derive it with `stream = Item` in place of `reply`.
///
/// ```
/// use beluga_runtime::{Message, StreamMessage};
///
/// #[derive(Message)]
/// #[message(name = "counter.watch", stream = u64)]
/// struct Watch;
///
/// assert_eq!(Watch::NAME, "counter.watch");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message answered by a stream",
    label = "not a stream message",
    note = "derive it: `#[derive(Message)] #[message(name = \"room.verb\", stream = Item)]`",
    note = "a message with `reply = Type` has one answer: it stands before `; stream` in `protocol!`, is handled by a \
            `Handler` and sent with `Ref::ask` or `Ref::tell`"
)]
pub trait StreamMessage: Send + 'static {
    /// One item of the answer.
    type Item: Send + 'static;
    /// The stable name, given by hand.
    const NAME: &'static str;
    /// Raised when the meaning changes.
    const VERSION: u16;
    /// The lane it travels in.
    const LANE: Lane = Lane::Normal;
    /// Whether a dead letter may hold the text of [`kept`](Self::kept).
    const KEEP: bool = false;
    /// The codec its sender writes it in when it travels to another node.
    const CODEC: Codec = Codec::Cbor;
    /// The oldest version that is understood from another node: this one, or the one before it.
    const OLDEST: u16 = Self::VERSION;

    /// Returns the text a dead letter holds, for types that opted in. Called only if [`KEEP`](Self::KEEP) is set.
    fn kept(&self) -> Option<String> {
        None
    }

    /// Decodes the version before this one and converts it; `None` if only this one is understood.
    fn upgrade(codec: Codec, payload: &[u8]) -> Option<Result<Self>>
    where
        Self: Sized,
    {
        let _ = (codec, payload);
        None
    }

    /// Writes the message as the version before this one, for a node that knows no other; `None` if it cannot be.
    fn downgrade(&self, codec: Codec) -> Option<Result<Vec<u8>>> {
        let _ = codec;
        None
    }

    /// Returns the JSON Schemas of the message and its answer, for types that opted in.
    fn schema() -> Option<MessageSchema>
    where
        Self: Sized,
    {
        None
    }
}
