//! The typed reference users hold: tell, ask and stream.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{CallContext, Error, Result};

use crate::address::Address;
use crate::ask::{Ask, child_of};
use crate::call::{CallPacket, Carried};
use crate::delivery::{Delivery, Post, Route};
use crate::envelope::StreamPacket;
use crate::message::{Message, StreamMessage};
use crate::protocol::{Accepts, Protocol};
use crate::sink::{ReplyStream, STREAM_WINDOW};
use crate::slot::Slot;
use crate::time;

/// A reference to an actor that speaks the protocol `P`. Cheap to clone; stays valid over restarts.
///
/// It leads to one slot, or ([`Family::resolve`](crate::Family::resolve)) to a key that is activated on demand.
///
/// Messages of one sender in one lane arrive in the order in which their sends completed.
///
/// ```
/// # use beluga_core::Code;
/// # use beluga_runtime::{Ref, testkit};
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add", reply = u64)]
/// # struct Add(u64);
/// # protocol!(CounterProtocol: Add);
/// # #[derive(Default)]
/// # struct Counter { total: u64 }
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
/// #         self.total += n;
/// #         Ok(self.total)
/// #     }
/// # }
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let counter: Ref<CounterProtocol> = system.spawn("counter", Counter::default).await?;
/// counter.tell(Add(3)).await?; // Ready when it is in the lane.
/// assert_eq!(counter.ask(Add(4)).await?, 7);
/// testkit::kill(&system, "counter");
/// assert_eq!(counter.ask(Add(1)).await?, 1, "the next incarnation, by the same reference");
/// assert_eq!(system.get::<CounterProtocol>("counter").and_then(|found| found.active()), counter.active());
/// counter.stop();
/// counter.address()?.gone().await;
/// assert_eq!(counter.try_tell(Add(1)).unwrap_err().code(), Code::NotSent);
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
pub struct Ref<P> {
    pub(crate) route: Route,
    protocol: PhantomData<fn(P)>,
}

impl<P: Protocol> Ref<P> {
    pub(crate) fn to_slot(slot: Arc<Slot>) -> Self {
        Self::to_route(Route::Slot(slot))
    }

    pub(crate) fn to_route(route: Route) -> Self {
        Self { route, protocol: PhantomData }
    }

    /// Tells a message. Awaiting it puts the message into the lane, waiting for a place if that is the lane's policy.
    ///
    /// # Errors
    /// `overloaded` (a full lane that rejects), `unavailable` (the gate is open), `not_sent` (the actor ended).
    #[inline(always)] // As `tell_with`.
    pub fn tell<M: Message>(&self, message: M) -> Tell<'_>
    where
        P: Accepts<M>,
    {
        Tell::new(&self.route, Post::New(CallPacket::told(P::INDEX, message, Carried::Nothing)))
    }

    /// Tells a message on behalf of a call: expired or cancelled, it never runs.
    #[inline(always)] // What it returns is polled at once; returned through memory it costs as much as the message.
    pub fn tell_with<M: Message>(&self, message: M, context: &CallContext) -> Tell<'_>
    where
        P: Accepts<M>,
    {
        let envelope = CallPacket::told(P::INDEX, message, Carried::on_behalf_of(context));
        Tell::new(&self.route, Post::New(envelope))
    }

    /// Tells a message without waiting.
    ///
    /// # Errors
    /// As [`tell`](Self::tell), and `overloaded` for every full lane; `unavailable` if a virtual actor is not active.
    pub fn try_tell<M: Message>(&self, message: M) -> Result<()>
    where
        P: Accepts<M>,
    {
        self.route.try_send(CallPacket::told(P::INDEX, message, Carried::Nothing))
    }

    /// Asks: sends a message and awaits its reply.
    ///
    /// # Errors
    /// What the handler answered; `timeout`; `cancelled`; `unknown_outcome` if the actor ended with the message in
    /// hand; `not_sent` if it ended before; and those of [`tell`](Self::tell).
    pub fn ask<M: Message>(&self, message: M) -> Ask<M>
    where
        P: Accepts<M>,
    {
        Ask::new(self.route.clone(), P::INDEX, message)
    }

    /// Asks for a stream.
    pub fn stream<M: StreamMessage>(&self, message: M) -> StreamCall<M>
    where
        P: Accepts<M>,
    {
        StreamCall::new(self.route.clone(), P::INDEX, message)
    }

    /// Returns the path of the actor, or the kind and key of a virtual one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.route.name()
    }

    /// Returns what kind of actor it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.route.kind()
    }

    /// Returns the place of the actor; `None` for a virtual one that is not active.
    #[must_use]
    pub fn active(&self) -> Option<Address> {
        self.route.active().map(Address)
    }

    /// Returns the place of the actor.
    ///
    /// # Errors
    /// `unavailable` for a virtual actor that is not active.
    pub fn address(&self) -> Result<Address> {
        self.active().ok_or_else(|| Error::unavailable("the actor is not active").with("actor", self.name()))
    }

    /// Returns whether the actor ended for good. A virtual one never does.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match &self.route {
            Route::Slot(slot) => slot.is_gone(),
            Route::Virtual(_) => false,
        }
    }

    /// Stops the actor for good after the message in hand. See [`Address::stop`].
    pub fn stop(&self) {
        if let Some(address) = self.active() {
            address.stop();
        }
    }

    /// Stops the actor for good after every message it has accepted. See [`Address::drain`].
    pub fn drain(&self) {
        if let Some(address) = self.active() {
            address.drain();
        }
    }
}

impl<P> Clone for Ref<P> {
    fn clone(&self) -> Self {
        Self { route: self.route.clone(), protocol: PhantomData }
    }
}

impl<P> fmt::Debug for Ref<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ref({} {})", self.route.kind(), self.route.name())
    }
}

/// The future of [`Ref::tell`]. Dropped before it is ready, the message was not sent.
///
/// See [`Ref`] for an example.
#[must_use = "a tell does nothing unless awaited"]
pub struct Tell<'a> {
    route: &'a Route,
    send: Post,
}

impl<'a> Tell<'a> {
    #[inline]
    pub(crate) fn new(route: &'a Route, send: Post) -> Self {
        Self { route, send }
    }
}

impl Future for Tell<'_> {
    type Output = Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let route = self.route;
        self.send.poll(route, cx)
    }
}

impl fmt::Debug for Tell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tell").field("actor", &self.route.name()).finish_non_exhaustive()
    }
}

/// A streaming ask that was not sent yet: set its context, then [`open`](Self::open) it.
///
/// See [`StreamHandler`](crate::StreamHandler) for an example.
#[must_use = "a stream call does nothing unless opened"]
pub struct StreamCall<M: StreamMessage> {
    route: Route,
    index: usize,
    message: M,
    parent: Option<CallContext>,
    limit: Option<Duration>,
    window: usize,
}

impl<M: StreamMessage> StreamCall<M> {
    pub(crate) fn new(route: Route, index: usize, message: M) -> Self {
        Self { route, index, message, parent: None, limit: None, window: STREAM_WINDOW }
    }

    /// Bounds the whole stream. Without it only the context's deadline does.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Asks on behalf of another call: its deadline, cancellation, tenant and trace apply.
    pub fn with_context(mut self, context: &CallContext) -> Self {
        self.parent = Some(context.clone());
        self
    }

    /// Sets how many items the producer may be ahead, at least 1; 32 by default.
    pub fn window(mut self, items: usize) -> Self {
        self.window = items;
        self
    }

    /// Opens the stream. The message is sent when the stream is first polled.
    pub fn open(self) -> ReplyStream<M::Item> {
        let now = time::now();
        let mut context = self.parent.as_ref().map_or_else(CallContext::new, child_of);
        if let Some(limit) = self.limit {
            context = context.with_timeout(now, limit);
        }
        let refused: Option<Error> = self.parent.as_ref().and_then(|parent| parent.check(now).err());
        let cancelled = self.parent.map(|parent| parent.cancel_token().cancelled());
        let (sink, stream) = ReplyStream::pair(self.window, context.clone(), cancelled, self.route.clone(), M::NAME);
        match refused {
            Some(error) => stream.refused(error),
            None => {
                let envelope = StreamPacket::boxed(self.index, self.message, context, sink);
                stream.send(Delivery::new(self.route, envelope))
            }
        }
    }
}

impl<M: StreamMessage> IntoFuture for StreamCall<M> {
    type Output = ReplyStream<M::Item>;
    type IntoFuture = std::future::Ready<ReplyStream<M::Item>>;

    fn into_future(self) -> Self::IntoFuture {
        std::future::ready(self.open())
    }
}

impl<M: StreamMessage> fmt::Debug for StreamCall<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamCall").field("message", &M::NAME).finish_non_exhaustive()
    }
}
