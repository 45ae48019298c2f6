//! The envelope of a message with one reply: the message, its way back, and the hold on the call that the way back lives of.

use std::any::Any;

use beluga_core::Error;

use super::carried::Carried;
use super::ends::{Answering, Answers};
use crate::envelope::{Envelope, Head, Parcel};
use crate::message::Message;
use crate::reply::ReplyPort;
use crate::shelf;

/// The envelope of a message with one reply.
pub(crate) struct CallPacket<M: Message> {
    /// The message and its way back; `None` once they were taken out. Before the head, whose hold on the call is lent to the
    /// way back: fields drop in this order.
    content: Option<(M, Answers<M::Reply>)>,
    head: Head,
}

impl<M: Message> CallPacket<M> {
    /// Makes the envelope of a told message.
    #[inline]
    pub(crate) fn told(index: usize, message: M, carried: Carried) -> Envelope {
        // The place first: what is written there at once need not be copied.
        let place = shelf::take::<Self>();
        let head = Head::new(&M::NAME, M::LANE, index, M::KEEP, carried);
        let packet: Box<Self> = Box::write(place, Self { content: Some((message, Answers::to_nobody())), head });
        packet
    }

    /// Makes the envelope of a message whose answer is awaited. Sent at 0, it is stamped when it gets into a lane.
    #[inline]
    pub(crate) fn asked(index: usize, message: M, mut answers: Answers<M::Reply>, sent_ns: u64) -> Envelope {
        let place = shelf::take::<Self>();
        let carried = answers.lend().map_or(Carried::Nothing, Carried::Asked);
        let mut head = Head::new(&M::NAME, M::LANE, index, M::KEEP, carried);
        head.sent_ns = sent_ns;
        let packet: Box<Self> = Box::write(place, Self { content: Some((message, answers)), head });
        packet
    }

    /// Makes the envelope of a message whose answer goes to whoever asked another actor first.
    pub(crate) fn passed_on(index: usize, message: M, reply: ReplyPort<M::Reply>) -> Envelope {
        Self::asked(index, message, reply.into_answers(), 0)
    }

    /// Returns the message, unless it was taken out.
    pub(crate) fn message(&self) -> Option<&M> {
        self.content.as_ref().map(|(message, _)| message)
    }
}

/// Takes message and way back out of an envelope, which stays for its head. `None` if it holds another type.
#[inline]
pub(crate) fn open_call<A, M: Message>(
    envelope: &mut dyn Parcel,
    answering: Answering<A, M>,
) -> Option<(M, ReplyPort<M::Reply>)> {
    let envelope: &mut dyn Any = envelope;
    let (message, mut answers) = envelope.downcast_mut::<CallPacket<M>>()?.content.take()?;
    answering.prepare(&mut answers);
    Some((message, ReplyPort::new(answers, &M::NAME)))
}

impl<M: Message> Parcel for CallPacket<M> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    fn refuse(self: Box<Self>, error: Error) {
        let Self { content, head } = *self;
        if let Some((_, answers)) = content {
            answers.put(Err(error));
        }
        // Not before: the way back lives of its hold.
        drop(head);
    }

    fn kept(&self) -> Option<String> {
        self.content.as_ref().and_then(|(message, _)| message.kept())
    }

    fn awaits_answer(&self) -> bool {
        self.content.as_ref().is_some_and(|(_, answers)| !answers.is_left())
    }
}
