//! From an envelope to the handler's future: one function per message, found by the message's position.

use std::task::Context;

use crate::actor::{Actor, DeferredHandler, StreamHandler};
use crate::batch::{handle_all, open_batch};
use crate::call::open_call;
use crate::cx::Cx;
use crate::envelope::{Envelope, open_stream};
use crate::message::{Message, StreamMessage};
use crate::protocol::Streaming;

use super::nest::{Nest, Polled};

/// Builds the future of one handler in the nest from the message in hand, whose content is taken out, and polls it once.
/// `None` if the envelope holds another type, which `Accepts` excludes.
///
/// The first poll is here, where the future's type is known: most handlers are done with it, and their code is inlined.
pub(crate) type Dispatch<A> =
    for<'a> fn(&'a mut A, &mut Option<Envelope>, &'a mut Cx<A>, &'a mut Nest, &mut Context<'_>) -> Option<Polled<'a>>;

/// The ordinary way of an entry: through the actor's handler.
#[doc(hidden)]
#[derive(Debug)]
pub enum ByHandler {}

/// One element of a protocol's tuple, handled in one of the ways there are. Not part of the API.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the actor `{A}` does not handle `{Self}`",
    label = "no handler for `{Self}`",
    note = "its protocol promises it: implement `StreamHandler` for what stands after `stream` (shown as `Streaming<_>`), \
            `Handler` or `DeferredHandler` for the others"
)]
pub trait Entry<A: Actor, Way> {
    /// How the actor handles it.
    const DISPATCH: Dispatch<A>;
}

impl<A: DeferredHandler<M>, M: Message> Entry<A, ByHandler> for M {
    const DISPATCH: Dispatch<A> = call::<A, M>;
}

impl<A: StreamHandler<M>, M: StreamMessage> Entry<A, ByHandler> for Streaming<M> {
    const DISPATCH: Dispatch<A> = stream::<A, M>;
}

fn call<'a, A: DeferredHandler<M>, M: Message>(
    actor: &'a mut A,
    hand: &mut Option<Envelope>,
    cx: &'a mut Cx<A>,
    nest: &'a mut Nest,
    task: &mut Context<'_>,
) -> Option<Polled<'a>> {
    let envelope = hand.as_mut()?.as_mut();
    if let Some((message, reply)) = open_call(envelope, A::ANSWERING) {
        return Some(nest.place_with(|| actor.handle(message, reply, cx)).poll_once(task));
    }
    let items = open_batch::<M>(envelope)?;
    Some(nest.place(handle_all(actor, items, cx)).poll_once(task))
}

fn stream<'a, A: StreamHandler<M>, M: StreamMessage>(
    actor: &'a mut A,
    hand: &mut Option<Envelope>,
    cx: &'a mut Cx<A>,
    nest: &'a mut Nest,
    task: &mut Context<'_>,
) -> Option<Polled<'a>> {
    let (message, sink) = open_stream::<M>(hand.as_mut()?.as_mut())?;
    // The twin keeps the stream open until the handler's error, if any, stands as its end.
    let twin = sink.clone();
    let work = nest.place(async move {
        if let Err(error) = actor.handle(message, sink, cx).await {
            twin.fail(error);
        }
    });
    Some(work.poll_once(task))
}

/// The dispatch table of a whole tuple. Not part of the API.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the protocol of `{A}` has more messages than an actor can handle",
    note = "a protocol has at most 32 messages: put what belongs together into one of them, as an enum"
)]
pub trait Table<A: Actor, Way> {
    /// One entry per element.
    const TABLE: &'static [Dispatch<A>];
}

macro_rules! tables {
    ($($name:ident)*) => { tables!(@step [] $($name)*); };
    (@step [$($done:ident)*]) => { tables!(@impl $($done)*); };
    (@step [$($done:ident)*] $next:ident $($rest:ident)*) => {
        tables!(@impl $($done)*);
        tables!(@step [$($done)* $next] $($rest)*);
    };
    (@impl $($name:ident)*) => {
        impl<A: Actor, Way, $($name: Entry<A, Way>),*> Table<A, Way> for ($($name,)*) {
            const TABLE: &'static [Dispatch<A>] = &[$(<$name as Entry<A, Way>>::DISPATCH),*];
        }
    };
}

tables!(M0 M1 M2 M3 M4 M5 M6 M7 M8 M9 M10 M11 M12 M13 M14 M15 M16 M17 M18 M19 M20 M21 M22 M23 M24 M25 M26 M27 M28 M29 M30 M31);
