//! Getting one envelope into a mailbox: at once, after waiting for a place, or after activating the receiver.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use beluga_core::{BoxFuture, Error, Result, Retry};

use crate::dead_letter::DeadReason;
use crate::envelope::{Envelope, Head};
use crate::ground::{self, Ground};
use crate::mailbox::Refusal;
use crate::message::Lane;
use crate::slot::Slot;

/// Where a ref leads.
#[derive(Clone)]
pub(crate) enum Route {
    /// To one slot.
    Slot(Arc<Slot>),
    /// To whatever slot carries the key; activated on demand, here or on another node.
    Virtual(Arc<dyn Resolve>),
}

/// Carries envelopes to another node.
pub(crate) trait Elsewhere: Send + Sync {
    /// Sends. Of an ask the future is ready when the answer is there; dropped before, the call is cancelled.
    fn send(&self, envelope: Envelope) -> BoxFuture<'static, Result<()>>;
    /// Sends a told message without waiting.
    fn try_send(&self, envelope: Envelope) -> Result<()>;
    /// Sends on behalf of a caller who waits elsewhere, and goes on alone.
    fn detach(&self, envelope: Envelope);
}

/// Finds the slot of a key.
pub(crate) trait Resolve: fmt::Debug + Send + Sync {
    /// Returns the active slot, if there is one.
    fn active(&self) -> Option<Arc<Slot>>;
    /// Activates the key, or waits for whoever does.
    fn activate(&self) -> BoxFuture<'static, Result<Arc<Slot>>>;
    /// Returns what the system's actors share.
    fn ground(&self) -> &Arc<Ground>;
    /// Returns the name to show.
    fn name(&self) -> &str;
    /// Returns the kind to show.
    fn kind(&self) -> &'static str;
    /// Returns the way to another node, if the key is there now.
    fn elsewhere(&self) -> Option<&dyn Elsewhere> {
        None
    }
}

impl Route {
    /// Puts an envelope into the mailbox now, or gives it back with the reason.
    fn offer(
        &self,
        slot: &Arc<Slot>,
        mut envelope: Envelope,
        waiter: Option<(&mut Option<u64>, &std::task::Waker)>,
    ) -> Result<(), (Refusal, Envelope)> {
        let head = envelope.head_mut();
        let lane = head.lane;
        stamp(slot, head);
        if let Some(dropped) = slot.mailbox.offer(lane, envelope, waiter)? {
            slot.bury(dropped, DeadReason::Overflow, full(slot, lane));
        }
        Ok(())
    }

    /// Sends without waiting.
    pub(crate) fn try_send(&self, envelope: Envelope) -> Result<()> {
        let active;
        let slot = match self {
            Route::Slot(slot) => slot,
            Route::Virtual(resolve) => {
                if let Some(elsewhere) = resolve.elsewhere() {
                    return elsewhere.try_send(envelope);
                }
                let unavailable = || Error::unavailable("the actor is not active").with("actor", resolve.name());
                active = resolve.active().ok_or_else(unavailable)?;
                &active
            }
        };
        self.offer(slot, envelope, None).map_err(|(refusal, envelope)| refuse(slot, refusal, envelope))
    }

    /// Sends at once if a slot takes it; what needs waiting, activating or refusing is left to a [`Delivery`].
    #[inline]
    pub(crate) fn send_now(&self, mut envelope: Envelope) -> Result<(), Envelope> {
        let Route::Slot(slot) = self else { return Err(envelope) };
        let head = envelope.head_mut();
        let lane = head.lane;
        stamp(slot, head);
        slot.mailbox.push(lane, envelope)
    }

    pub(crate) fn ground(&self) -> &Arc<Ground> {
        match self {
            Route::Slot(slot) => &slot.ground,
            Route::Virtual(resolve) => resolve.ground(),
        }
    }

    /// Returns the way to another node, if it leads there now.
    pub(crate) fn elsewhere(&self) -> Option<&dyn Elsewhere> {
        self.key().and_then(|resolve| resolve.elsewhere())
    }

    /// Returns the slot it leads to now.
    pub(crate) fn active(&self) -> Option<Arc<Slot>> {
        match self {
            Route::Slot(slot) => Some(Arc::clone(slot)),
            Route::Virtual(resolve) => resolve.active(),
        }
    }

    /// Returns the id of the slot it leads to now; 0 for none.
    pub(crate) fn id(&self) -> u64 {
        match self {
            Route::Slot(slot) => slot.id(),
            Route::Virtual(resolve) => resolve.active().map_or(0, |slot| slot.id()),
        }
    }

    /// Returns the key it leads to, if it is one.
    pub(crate) fn key(&self) -> Option<&Arc<dyn Resolve>> {
        match self {
            Route::Slot(_) => None,
            Route::Virtual(resolve) => Some(resolve),
        }
    }

    /// Returns whether a drain works here or there now, so that the coarse clock is fresh.
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        ground::in_handler() || matches!(self, Route::Slot(slot) if slot.mailbox.is_busy())
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Route::Slot(slot) => slot.name(),
            Route::Virtual(resolve) => resolve.name(),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Route::Slot(slot) => slot.kind(),
            Route::Virtual(resolve) => resolve.kind(),
        }
    }
}

/// Notes when the message was sent, unless it was before.
#[inline]
fn stamp(slot: &Slot, head: &mut Head) {
    if head.sent_ns == 0 {
        // A drain at work has read the clock lately, be it the receiver's or the sender's own.
        let clock = &slot.ground.clock;
        head.sent_ns = if slot.mailbox.is_busy() || ground::in_handler() { clock.coarse() } else { clock.read() };
    }
}

fn full(slot: &Slot, lane: Lane) -> Error {
    Error::overloaded("the lane is full").with("actor", slot.name()).with("lane", lane.as_str())
}

fn late(slot: &Slot, lane: Lane, after: Duration) -> Error {
    Error::overloaded("the lane's oldest message has waited for too long")
        .with_retry(Retry::After(after))
        .with("actor", slot.name())
        .with("lane", lane.as_str())
        .with("limit_ms", after.as_millis())
}

/// Names the reason of a refusal, also to whoever waits for an answer; a message to an ended actor becomes a dead letter.
fn refuse(slot: &Arc<Slot>, refusal: Refusal, envelope: Envelope) -> Error {
    let head = envelope.head();
    let error = match refusal {
        Refusal::Full => full(slot, head.lane),
        Refusal::Late(after) => late(slot, head.lane, after),
        Refusal::Gated(until) => slot.refusal_gated(until),
        Refusal::Closed => {
            slot.ground.bury(slot.name(), head, DeadReason::Stopped, None, None);
            slot.refusal_gone()
        }
    };
    let error = error.with("message", head.name());
    if envelope.awaits_answer() {
        envelope.refuse(error.duplicate());
    }
    error
}

/// One send: straight into the mailbox when it is first polled, by a [`Delivery`] if that is not possible.
pub(crate) enum Post {
    /// It cannot be sent.
    Refused(Error),
    New(Envelope),
    Waiting(Box<Delivery>),
    Sent,
}

impl Post {
    #[inline]
    pub(crate) fn poll(&mut self, route: &Route, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let envelope = match std::mem::replace(self, Post::Sent) {
            Post::New(envelope) => envelope,
            other => return self.poll_late(other, cx),
        };
        match route.send_now(envelope) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(envelope) => self.deliver(route, envelope, cx),
        }
    }

    /// As [`poll`](Self::poll), of what is no new envelope.
    fn poll_late(&mut self, late: Self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match late {
            Post::Waiting(mut delivery) => {
                let poll = Pin::new(&mut *delivery).poll(cx);
                if poll.is_pending() {
                    *self = Post::Waiting(delivery);
                }
                poll
            }
            Post::Refused(error) => Poll::Ready(Err(error)),
            Post::New(_) | Post::Sent => Poll::Ready(Ok(())),
        }
    }

    /// Sends what could not be sent at once.
    #[cold]
    pub(crate) fn deliver(&mut self, route: &Route, envelope: Envelope, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut delivery = Box::new(Delivery::new(route.clone(), envelope));
        let poll = Pin::new(&mut *delivery).poll(cx);
        *self = if poll.is_pending() { Post::Waiting(delivery) } else { Post::Sent };
        poll
    }

    /// Takes out what was not sent yet.
    pub(crate) fn withdraw(&mut self) -> Option<Envelope> {
        match std::mem::replace(self, Post::Sent) {
            Post::New(envelope) => Some(envelope),
            Post::Waiting(mut delivery) => delivery.envelope.take(),
            Post::Refused(_) | Post::Sent => None,
        }
    }
}

/// How often a virtual ref looks for a new activation before it gives up: each round met a passivation.
const ROUNDS_MAX: u8 = 64;

/// Sends, waiting for a place or an activation. Dropped before it is ready, the message was not sent.
pub(crate) struct Delivery {
    route: Route,
    slot: Option<Arc<Slot>>,
    envelope: Option<Envelope>,
    waiter: Option<u64>,
    activating: Option<BoxFuture<'static, Result<Arc<Slot>>>>,
    /// On its way to another node.
    leaving: Option<BoxFuture<'static, Result<()>>>,
    rounds: u8,
}

impl Delivery {
    pub(crate) fn new(route: Route, envelope: Envelope) -> Self {
        let slot = match &route {
            Route::Slot(slot) => Some(Arc::clone(slot)),
            Route::Virtual(resolve) => resolve.active(),
        };
        Self { route, slot, envelope: Some(envelope), waiter: None, activating: None, leaving: None, rounds: 0 }
    }

    fn forget_waiter(&mut self) {
        if let (Some(key), Some(slot)) = (self.waiter.take(), &self.slot) {
            slot.mailbox.forget_waiter(key);
        }
    }

    /// Sends to another node, if the route leads there.
    #[cold]
    fn poll_elsewhere(&mut self, cx: &mut Context<'_>) -> Option<Poll<Result<()>>> {
        if self.leaving.is_none() {
            let elsewhere = self.route.elsewhere()?;
            self.leaving = Some(elsewhere.send(self.envelope.take()?));
        }
        Some(self.leaving.as_mut()?.as_mut().poll(cx))
    }

    /// Finds the slot, activating it if the route is virtual.
    fn poll_slot(&mut self, cx: &mut Context<'_>) -> Poll<Result<Arc<Slot>>> {
        if let Some(slot) = &self.slot {
            return Poll::Ready(Ok(Arc::clone(slot)));
        }
        let Route::Virtual(resolve) = &self.route else {
            return Poll::Ready(Err(Error::internal("a route without a slot")));
        };
        let activating = self.activating.get_or_insert_with(|| resolve.activate());
        let found = ready!(activating.as_mut().poll(cx));
        self.activating = None;
        if let Ok(slot) = &found {
            self.slot = Some(Arc::clone(slot));
        }
        Poll::Ready(found)
    }
}

impl Future for Delivery {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        loop {
            if this.slot.is_none()
                && let Some(sent) = this.poll_elsewhere(cx)
            {
                return sent;
            }
            let slot = ready!(this.poll_slot(cx))?;
            let Some(envelope) = this.envelope.take() else { return Poll::Ready(Ok(())) };
            let (refusal, envelope) = match this.route.offer(&slot, envelope, Some((&mut this.waiter, cx.waker()))) {
                Ok(()) => {
                    this.forget_waiter();
                    return Poll::Ready(Ok(()));
                }
                Err(refused) => refused,
            };
            let waits = refusal == Refusal::Full && this.waiter.is_some();
            if waits {
                this.envelope = Some(envelope);
                return Poll::Pending;
            }
            let moved = refusal == Refusal::Closed && matches!(this.route, Route::Virtual(_));
            if moved && this.rounds < ROUNDS_MAX {
                // It passivated between the look and the push: the envelope came back, the key is resolved again.
                this.envelope = Some(envelope);
                this.slot = None;
                this.waiter = None;
                this.rounds += 1;
                continue;
            }
            return Poll::Ready(Err(refuse(&slot, refusal, envelope)));
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.forget_waiter();
    }
}
