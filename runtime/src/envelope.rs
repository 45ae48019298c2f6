//! One message on its way: a heap box with the typed message, its context and its way back.

use std::any::Any;

use beluga_core::{CallContext, Error, Result};
use tokio::sync::oneshot;

use crate::message::{Lane, Message, StreamMessage};
use crate::sink::Sink;

/// What the kernel knows about a message without knowing its type.
#[derive(Debug)]
pub struct Head {
    pub(crate) name: &'static str,
    pub(crate) lane: Lane,
    /// Position in the receiver's protocol.
    pub(crate) index: u16,
    /// Whether the payload's text may stand in a dead letter.
    pub(crate) keep: bool,
    /// The incarnation it is meant for; 0 means any. Timers stamp it.
    pub(crate) incarnation: u32,
    /// When it was sent, in nanoseconds of the system's coarse clock.
    pub(crate) sent_ns: u64,
    /// The id of the actor whose handler sent it; 0 for none.
    pub(crate) sender: u64,
    /// The context of the call; `None` stands for the shared root context of a plain tell.
    pub(crate) context: Option<CallContext>,
    /// Dropped once the message was handled, refused or lost: a pool learns by it that its worker is free.
    pub(crate) lease: Option<Lease>,
}

/// Something that is given back by being dropped.
pub(crate) type Lease = Box<dyn Any + Send + Sync>;

impl Head {
    /// Moves the head out, leaving one without a context and without a lease.
    pub(crate) fn take(&mut self) -> Head {
        Head { context: self.context.take(), lease: self.lease.take(), ..*self }
    }
}

/// An envelope of any message type.
pub trait Parcel: Any + Send {
    fn head(&self) -> &Head;
    fn head_mut(&mut self) -> &mut Head;
    /// Answers whoever waits with an error. The message was not executed.
    fn refuse(self: Box<Self>, error: Error);
    /// The payload's text, for types that opted in.
    fn kept(&self) -> Option<String>;
}

/// A boxed envelope: what lanes hold.
pub(crate) type Envelope = Box<dyn Parcel>;

/// The envelope of a message with one reply.
pub(crate) struct CallPacket<M: Message> {
    pub(crate) head: Head,
    pub(crate) message: M,
    pub(crate) reply: Option<oneshot::Sender<Result<M::Reply>>>,
}

impl<M: Message> CallPacket<M> {
    pub(crate) fn boxed(
        index: usize,
        message: M,
        context: Option<CallContext>,
        reply: Option<oneshot::Sender<Result<M::Reply>>>,
    ) -> Envelope {
        Box::new(Self { head: head(M::NAME, M::LANE, index, M::KEEP, context), message, reply })
    }
}

impl<M: Message> Parcel for CallPacket<M> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    fn refuse(self: Box<Self>, error: Error) {
        if let Some(reply) = self.reply {
            drop(reply.send(Err(error)));
        }
    }

    fn kept(&self) -> Option<String> {
        self.message.kept()
    }
}

/// The envelope of a message answered by a stream.
pub(crate) struct StreamPacket<M: StreamMessage> {
    pub(crate) head: Head,
    pub(crate) message: M,
    pub(crate) sink: Sink<M::Item>,
}

impl<M: StreamMessage> StreamPacket<M> {
    pub(crate) fn boxed(index: usize, message: M, context: CallContext, sink: Sink<M::Item>) -> Envelope {
        Box::new(Self { head: head(M::NAME, M::LANE, index, M::KEEP, Some(context)), message, sink })
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
        self.sink.fail(error);
    }

    fn kept(&self) -> Option<String> {
        self.message.kept()
    }
}

fn head(name: &'static str, lane: Lane, index: usize, keep: bool, context: Option<CallContext>) -> Head {
    // `protocol!` tuples have at most 32 messages.
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    Head {
        name,
        lane,
        index,
        keep,
        incarnation: 0,
        sent_ns: 0,
        sender: crate::ground::current_actor(),
        context,
        lease: None,
    }
}
