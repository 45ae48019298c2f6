//! One ask: how it is described, sent, awaited and given up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use beluga_core::{CallContext, Cancelled, Error, HOPS_MAX, Result};

use crate::call::{Answered, Call, CallPacket, NEVER_NS, Waits, in_a_circle};
use crate::clock::Clock;
use crate::delivery::{Post, Route};
use crate::message::Message;
use crate::waits::Waiting;

/// One ask: set its context or its time, then await it. It is sent when it is first polled.
///
/// Without either the deadline is the system's `ask_timeout` (30 s) after the first poll, to within some 5 ms: asks that
/// follow each other share a look at the clock. Dropping it cancels the call, and with it everything done on its behalf.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_core::{CallContext, Code};
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
/// let counter = system.spawn("counter", Counter::default).await?;
/// assert_eq!(counter.ask(Add(3)).within(Duration::from_secs(1)).await?, 3);
///
/// let call = CallContext::new(); // In a handler: `cx.context()`.
/// call.cancel_token().cancel();
/// let refused = counter.ask(Add(4)).with_context(&call).await.unwrap_err();
/// assert_eq!(refused.code(), Code::Cancelled);
/// assert_eq!(counter.ask(Add(0)).await?, 3, "it was not sent");
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[must_use = "an ask does nothing unless awaited"]
pub struct Ask<M: Message> {
    index: usize,
    message: Option<M>,
    parent: Option<CallContext>,
    limit: Option<Duration>,
    send: Post,
    cancelled: Option<Cancelled>,
    /// `None` before it is sent and once it is settled.
    waits: Option<Waits<M::Reply>>,
    sent_ns: u64,
    route: Route,
}

impl<M: Message> Ask<M> {
    pub(crate) fn new(route: Route, index: usize, message: M) -> Self {
        Self {
            index,
            message: Some(message),
            parent: None,
            limit: None,
            send: Post::Sent,
            cancelled: None,
            waits: None,
            sent_ns: 0,
            route,
        }
    }

    /// Bounds the wait; a deadline of the context that is earlier stays in force.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Asks on behalf of another call: its deadline, cancellation, tenant and trace apply.
    pub fn with_context(mut self, context: &CallContext) -> Self {
        self.parent = Some(context.clone());
        self
    }

    /// Makes the way back and the envelope, and puts that into its lane.
    fn begin(&mut self, message: M, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let ground = self.route.ground();
        let clock = &ground.clock;
        // A limit of its own is kept to the letter; for the default another's reading will do.
        let is_exact = self.limit.is_some() || self.parent.is_some();
        let now_ns = match is_exact {
            true => clock.read(),
            false if self.route.is_busy() => clock.coarse(),
            false => ground.waits.lately(),
        };
        let limit = self.limit.unwrap_or(ground.settings.ask_timeout);
        let mut deadline_ns = now_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(NEVER_NS));
        let parent = self.parent.take();
        if let Some(parent) = &parent {
            deadline_ns = deadline_ns.min(wanted(parent, clock, now_ns).map_err(|error| self.name(error))?);
            self.cancelled = Some(parent.cancel_token().cancelled());
        }
        let (waits, answers) = Call::pair(parent, deadline_ns, cx.waker().clone());
        self.waits = Some(waits);
        self.sent_ns = now_ns;
        let envelope = CallPacket::asked(self.index, message, answers, now_ns);
        match self.route.send_now(envelope) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(envelope) => self.send.deliver(&self.route, envelope, cx),
        }
    }

    /// Sends, and is ready once the message is in its lane or the wait is over.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = match self.message.take() {
            Some(message) => self.begin(message, cx),
            None => {
                self.renew(cx);
                self.poll_send(cx)
            }
        };
        match sent {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => {
                self.leave();
                Poll::Ready(Err(error))
            }
            Poll::Pending => self.poll_limits(cx).map(Err),
        }
    }

    /// Puts the message into its lane, if it is not there yet.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if matches!(self.send, Post::Sent) {
            return Poll::Ready(Ok(()));
        }
        let sent = ready!(self.send.poll(&self.route, cx));
        self.send = Post::Sent;
        Poll::Ready(sent)
    }

    /// Fetches the answer if it is there.
    fn fetch(&mut self) -> Option<Result<M::Reply>> {
        Some(match self.waits.as_mut()?.fetch()? {
            Answered::With(outcome) => outcome,
            Answered::Lost => Err(self.name(Error::unknown_outcome("the actor ended while it handled the message"))),
        })
    }

    /// Changes whom to wake. Returns false if the answer is there.
    fn renew(&mut self, cx: &Context<'_>) -> bool {
        let Some(waits) = &mut self.waits else { return true };
        waits.renew(&self.route.ground().waits, cx.waker(), self.route.id())
    }

    /// Looks at what ends the wait without an answer: the parent's cancellation, the deadline. Sees to it that the ask is
    /// polled when it ends so.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(cancelled) = &mut self.cancelled
            && Pin::new(cancelled).poll(cx).is_ready()
        {
            return Poll::Ready(self.name(Error::cancelled("the call was cancelled")));
        }
        let Some(waits) = &mut self.waits else { return Poll::Pending };
        let ground = self.route.ground();
        let deadline_ns = waits.deadline_ns();
        let is_entered = waits.is_entered();
        let now_ns = if is_entered { ground.clock.read() } else { self.sent_ns };
        if deadline_ns <= now_ns {
            return Poll::Ready(self.name(Error::timeout("no answer in time")));
        }
        if !is_entered {
            let mut waiting = Waiting::new(&M::NAME, self.sent_ns, deadline_ns);
            (waiting.to, waiting.to_key) = (self.route.id(), self.route.key().cloned());
            waits.enter(&ground.waits, waiting);
        }
        Poll::Pending
    }

    fn name(&self, error: Error) -> Error {
        error.with("actor", self.route.name()).with("message", M::NAME)
    }

    /// Lets go of the way back, for good.
    fn leave(&mut self) {
        if let Some(waits) = &mut self.waits {
            waits.leave(&self.route.ground().waits);
            self.waits = None;
        }
    }

    /// As its future, after the first time.
    fn poll_again(&mut self, cx: &mut Context<'_>) -> Poll<Result<M::Reply>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            self.leave();
            return Poll::Ready(Err(error));
        }
        // No answer before it is sent; and one that comes while the waker changes is there afterwards.
        let mut outcome = self.fetch();
        if outcome.is_none() && !self.renew(cx) {
            outcome = self.fetch();
        }
        match outcome {
            Some(outcome) => {
                self.leave();
                Poll::Ready(outcome)
            }
            None => self.poll_limits(cx).map(Err),
        }
    }
}

/// Returns until when a call on behalf of another is wanted.
///
/// # Errors
/// `cancelled`, `timeout`, `overloaded` (too many hops).
fn wanted(parent: &CallContext, clock: &Clock, now_ns: u64) -> Result<u64> {
    parent.check(clock.instant(now_ns))?;
    if parent.hops() >= HOPS_MAX {
        return Err(in_a_circle());
    }
    Ok(parent.deadline().map_or(NEVER_NS, |deadline| clock.since_epoch(deadline)))
}

impl<M: Message> Unpin for Ask<M> {}

impl<M: Message> Future for Ask<M> {
    type Output = Result<M::Reply>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Reply>> {
        let this = self.get_mut();
        let Some(message) = this.message.take() else { return this.poll_again(cx) };
        match this.begin(message, cx) {
            // Pending: it stands in the table all the same, as it may be over before it is sent.
            Poll::Ready(Ok(())) | Poll::Pending => {}
            Poll::Ready(Err(error)) => {
                this.waits = None;
                return Poll::Ready(Err(error));
            }
        }
        // An answer that is there already has woken the waker the ask began with.
        this.poll_limits(cx).map(Err)
    }
}

impl<M: Message> Drop for Ask<M> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Makes the context of a call made on behalf of another; message id and idempotency key go along if they are set.
pub(crate) fn child_of(parent: &CallContext) -> CallContext {
    CallContext::of_call(Some(parent), parent.cancel_token().child(), None)
}

impl<M: Message> fmt::Debug for Ask<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("message", &M::NAME).field("sent", &self.message.is_none()).finish()
    }
}
