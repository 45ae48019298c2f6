//! One ask: how it is described, sent, awaited and given up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{CallContext, Cancelled, Error, HOPS_MAX, Result};

use crate::call::{Answered, Call, NEVER_NS, in_a_circle};
use crate::delivery::{Post, Route};
use crate::envelope::CallPacket;
use crate::ground;
use crate::message::Message;
use crate::waits::{Ticket, Waiting};

/// One ask: set its context or its time, then await it. It is sent when it is first polled.
///
/// Without either the deadline is the system's `ask_timeout` (30 s) after the first poll. Dropping it cancels the
/// call, and with it everything done on its behalf.
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
    call: Option<Arc<Call<R>>>,
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
            wait: Wait { call: None, sent_ns: 0, ticket: None },
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
    fn begin(&mut self, message: M) -> Result<()> {
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
        let call = Call::new(parent, deadline_ns);
        let mut envelope = CallPacket::asked(self.index, message, &call);
        envelope.head_mut().sent_ns = now_ns;
        self.wait.call = Some(call);
        self.wait.sent_ns = now_ns;
        self.send = Post::New(envelope);
        Ok(())
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<M::Reply>> {
        if !matches!(self.send, Post::Sent) {
            match self.send.poll(&self.route, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => self.send = Post::Sent,
            }
        }
        let answered = match &self.wait.call {
            None => Answered::Lost,
            Some(call) => std::task::ready!(call.poll(cx)),
        };
        Poll::Ready(match answered {
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
        let Some(call) = &self.wait.call else { return Poll::Pending };
        let ground = self.route.ground();
        let deadline_ns = call.deadline_ns();
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
        if let Some(message) = this.message.take()
            && let Err(error) = this.begin(message)
        {
            return Poll::Ready(Err(this.name(error)));
        }
        if let Poll::Ready(outcome) = this.poll_answer(cx) {
            this.wait.call = None;
            this.leave_table();
            return Poll::Ready(outcome);
        }
        this.poll_limits(cx).map(Err)
    }
}

impl<M: Message> Drop for Ask<M> {
    fn drop(&mut self) {
        self.leave_table();
        if let Some(call) = self.wait.call.take() {
            call.leave();
        }
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
