//! One message on its way: a heap box with the typed message, its context and its way back.

use std::any::Any;

use beluga_core::{CallContext, Error};

use crate::call::Carried;
use crate::message::{Lane, StreamMessage};
use crate::sink::Sink;

/// What the kernel knows about a message without knowing its type.
///
/// It is small, so that most envelopes stay below the size to which an allocator keeps freed pieces at hand.
#[derive(Debug)]
pub struct Head {
    /// A thin reference; see [`name`](Self::name).
    name: &'static &'static str,
    pub(crate) lane: Lane,
    /// Position in the receiver's protocol.
    pub(crate) index: u8,
    /// Whether the payload's text may stand in a dead letter.
    pub(crate) keep: bool,
    /// Whether there may be a [`rest`](Parcel::rest) of it when its handler is over.
    pub(crate) is_batch: bool,
    /// The incarnation it is meant for; 0 means any. Timers stamp it.
    pub(crate) incarnation: u32,
    /// When it was sent, in nanoseconds of the system's coarse clock.
    pub(crate) sent_ns: u64,
    /// The id of the actor whose handler sent it; 0 for none.
    pub(crate) sender: u64,
    /// The call behind it. What a way back inside the envelope lives of is here: it is taken out only by the drain, which keeps it
    /// for as long as the handler, and dropped after the rest.
    pub(crate) carried: Carried,
    /// Dropped once the message was handled, refused or lost: a pool learns by it that its worker is free.
    pub(crate) lease: Option<Lease>,
}

impl Head {
    #[inline]
    pub(crate) fn new(name: &'static &'static str, lane: Lane, index: usize, keep: bool, carried: Carried) -> Self {
        // `protocol!` tuples have at most 32 messages.
        let index = u8::try_from(index).unwrap_or(u8::MAX);
        let sender = crate::ground::current_actor();
        Self { name, lane, index, keep, is_batch: false, incarnation: 0, sent_ns: 0, sender, carried, lease: None }
    }

    /// Returns the stable name of the message.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// Something that is given back by being dropped.
pub(crate) type Lease = Box<dyn Any + Send + Sync>;

/// An envelope of any message type.
pub trait Parcel: Any + Send {
    fn head(&self) -> &Head;
    fn head_mut(&mut self) -> &mut Head;
    /// Answers whoever waits with an error. The message was not executed.
    fn refuse(self: Box<Self>, error: Error);
    /// The payload's text, for types that opted in.
    fn kept(&self) -> Option<String>;
    /// Whether somebody waits for an answer, or for items.
    fn awaits_answer(&self) -> bool;
    /// What a handler that is over has not come to.
    fn rest(&mut self) -> Option<Envelope> {
        None
    }
}

/// A boxed envelope: what lanes hold.
pub(crate) type Envelope = Box<dyn Parcel>;

/// The envelope of a message answered by a stream.
pub(crate) struct StreamPacket<M: StreamMessage> {
    head: Head,
    /// The message and where the items go; `None` once they were taken out.
    content: Option<(M, Sink<M::Item>)>,
}

impl<M: StreamMessage> StreamPacket<M> {
    /// Returns the message, unless it was taken out.
    pub(crate) fn message(&self) -> Option<&M> {
        self.content.as_ref().map(|(message, _)| message)
    }
}

/// Takes message and sink out of an envelope, which stays for its head. `None` if it holds another type.
pub(crate) fn open_stream<M: StreamMessage>(envelope: &mut dyn Parcel) -> Option<(M, Sink<M::Item>)> {
    let envelope: &mut dyn Any = envelope;
    envelope.downcast_mut::<StreamPacket<M>>()?.content.take()
}

impl<M: StreamMessage> StreamPacket<M> {
    pub(crate) fn boxed(index: usize, message: M, context: CallContext, sink: Sink<M::Item>) -> Envelope {
        Box::new(Self {
            head: Head::new(&M::NAME, M::LANE, index, M::KEEP, Carried::Own(context)),
            content: Some((message, sink)),
        })
    }
}

impl<M: StreamMessage> Parcel for StreamPacket<M> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    fn refuse(self: Box<Self>, error: Error) {
        if let Some((_, sink)) = self.content {
            sink.fail(error);
        }
    }

    fn kept(&self) -> Option<String> {
        self.content.as_ref().and_then(|(message, _)| message.kept())
    }

    fn awaits_answer(&self) -> bool {
        self.content.is_some()
    }
}
