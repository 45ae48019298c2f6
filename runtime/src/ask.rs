//! One ask: how it is described, sent, awaited and given up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{CallContext, Cancelled, Error, HOPS_MAX, Result};

use crate::call::{Answered, Call, NEVER_NS, Waits, in_a_circle};
use crate::delivery::{Post, Route};
use crate::envelope::CallPacket;
use crate::ground;
use crate::message::Message;
use crate::waits::{Ticket, Waiting};

/// One ask: set its context or its time, then await it. It is sent when it is first polled.
///
/// Without either the deadline is the system's `ask_timeout` (30 s) after the first poll. Dropping it cancels the
/// call, and with it everything done on its behalf.
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
    wait: Wait<M::Reply>,
    route: Route,
}

/// What an ask that was sent waits with.
struct Wait<R> {
    /// `None` before it is sent and once it is settled.
    waits: Option<Waits<R>>,
    sent_ns: u64,
    ticket: Option<Ticket>,
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
            wait: Wait { waits: None, sent_ns: 0, ticket: None },
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

    /// Makes the way back and the envelope.
    fn begin(&mut self, message: M, cx: &Context<'_>) -> Result<()> {
        let parent = self.parent.take();
        let ground = self.route.ground();
        let clock = &ground.clock;
        // A limit of its own is kept to the letter; for the default the reading of a busy drain will do.
        let is_exact = self.limit.is_some() || parent.is_some();
        let now_ns = if is_exact || !self.route.is_busy() { clock.read() } else { clock.coarse() };
        let limit = self.limit.unwrap_or(ground.settings.ask_timeout);
        let mut deadline_ns = now_ns.saturating_add(u64::try_from(limit.as_nanos()).unwrap_or(NEVER_NS));
        if let Some(parent) = &parent {
            parent.check(clock.instant(now_ns))?;
            if parent.hops() >= HOPS_MAX {
                return Err(in_a_circle());
            }
            if let Some(deadline) = parent.deadline() {
                deadline_ns = deadline_ns.min(clock.since_epoch(deadline));
            }
            self.cancelled = Some(parent.cancel_token().cancelled());
        }
        let (waits, answers) = Call::pair(parent, deadline_ns, cx.waker().clone());
        let mut envelope = CallPacket::asked(self.index, message, answers);
        envelope.head_mut().sent_ns = now_ns;
        self.wait.waits = Some(waits);
        self.wait.sent_ns = now_ns;
        self.send = Post::New(envelope);
        Ok(())
    }

    /// Sends, and is ready once the message is in its lane or the wait is over.
    pub(crate) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(message) = self.message.take()
            && let Err(error) = self.begin(message, cx)
        {
            return Poll::Ready(Err(self.name(error)));
        }
        if matches!(self.send, Post::Sent) {
            return Poll::Ready(Ok(()));
        }
        match self.poll_send(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(|error| self.settle(error))),
            Poll::Pending => self.poll_limits(cx).map(Err),
        }
    }

    /// Puts the message into its lane.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = std::task::ready!(self.send.poll(&self.route, cx));
        self.send = Post::Sent;
        Poll::Ready(sent)
    }

    fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Result<M::Reply>> {
        let Some(waits) = &mut self.wait.waits else { return Poll::Pending };
        Poll::Ready(match std::task::ready!(waits.poll(cx)) {
            Answered::With(outcome) => outcome,
            Answered::Lost => Err(self.name(Error::unknown_outcome("the actor ended while it handled the message"))),
        })
    }

    /// Looks at what ends the wait: the parent's cancellation, the deadline.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(cancelled) = &mut self.cancelled
            && Pin::new(cancelled).poll(cx).is_ready()
        {
            return Poll::Ready(self.name(Error::cancelled("the call was cancelled")));
        }
        let Some(waits) = &self.wait.waits else { return Poll::Pending };
        let ground = self.route.ground();
        let deadline_ns = waits.deadline_ns();
        let is_late = match self.wait.ticket {
            None => deadline_ns <= self.wait.sent_ns,
            // Woken without an answer.
            Some(ticket) => {
                ground.waits.update(ticket, cx.waker(), self.route.id());
                deadline_ns <= ground.clock.read()
            }
        };
        if is_late {
            return Poll::Ready(self.name(Error::timeout("no answer in time")));
        }
        if self.wait.ticket.is_none() {
            self.wait.ticket = Some(ground.waits.enter(Waiting {
                waker: cx.waker().clone(),
                deadline_ns,
                since_ns: self.wait.sent_ns,
                message: M::NAME,
                from: ground::current_actor(),
                in_handler: ground::in_handler(),
                to: self.route.id(),
                to_key: self.route.key().cloned(),
            }));
        }
        Poll::Pending
    }

    fn name(&self, error: Error) -> Error {
        error.with("actor", self.route.name()).with("message", M::NAME)
    }

    /// Ends the wait with an error of its own.
    fn settle(&mut self, error: Error) -> Error {
        self.wait.waits = None;
        self.leave_table();
        error
    }

    fn leave_table(&mut self) {
        if let Some(ticket) = self.wait.ticket.take() {
            self.route.ground().waits.leave(ticket);
        }
    }
}

impl<M: Message> Unpin for Ask<M> {}

impl<M: Message> Future for Ask<M> {
    type Output = Result<M::Reply>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Reply>> {
        let this = self.get_mut();
        let is_first = this.message.is_some();
        if let Some(message) = this.message.take()
            && let Err(error) = this.begin(message, cx)
        {
            return Poll::Ready(Err(this.name(error)));
        }
        let is_sent = matches!(this.send, Post::Sent) || {
            match this.poll_send(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(this.settle(error))),
                Poll::Pending => false,
            }
        };
        // An answer that is there already has woken the waker the ask began with.
        if is_sent
            && !is_first
            && let Poll::Ready(outcome) = this.poll_answer(cx)
        {
            this.leave_table();
            return Poll::Ready(outcome);
        }
        this.poll_limits(cx).map(Err)
    }
}

impl<M: Message> Drop for Ask<M> {
    fn drop(&mut self) {
        self.leave_table();
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
