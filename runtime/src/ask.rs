//! One ask: how it is described, sent, awaited and given up.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use beluga_core::{CallContext, Cancelled, Error, Result};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;

use crate::delivery::{Post, Route};
use crate::envelope::CallPacket;
use crate::message::Message;
use crate::time;

pin_project! {
    /// One ask: set its context or its time, then await it. It is sent when it is first polled.
    ///
    /// Without either the deadline is the system's `ask_timeout` (30 s) after the first poll. Dropping it cancels the
    /// call, and with it everything done on its behalf.
    #[must_use = "an ask does nothing unless awaited"]
    pub struct Ask<M: Message> {
        index: usize,
        message: Option<M>,
        parent: Option<CallContext>,
        limit: Duration,
        send: Post,
        receiver: Option<oneshot::Receiver<Result<M::Reply>>>,
        #[pin]
        sleep: Option<time::Sleep>,
        deadline: Option<Instant>,
        cancelled: Option<Cancelled>,
        call: Call,
    }
}

/// What names an ask, and cancels its call when it drops unsettled.
struct Call {
    route: Route,
    message: &'static str,
    /// The context of the call, from the first poll until it is settled.
    context: Option<CallContext>,
}

impl<M: Message> Ask<M> {
    pub(crate) fn new(route: Route, index: usize, message: M, limit: Duration) -> Self {
        Self {
            index,
            message: Some(message),
            parent: None,
            limit,
            send: Post::Sent,
            receiver: None,
            sleep: None,
            deadline: None,
            cancelled: None,
            call: Call { route, message: M::NAME, context: None },
        }
    }

    /// Bounds the wait; a deadline of the context that is earlier stays in force.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Asks on behalf of another call: its deadline, cancellation, tenant and trace apply.
    pub fn with_context(mut self, context: &CallContext) -> Self {
        self.parent = Some(context.clone());
        self
    }

    /// Makes the context, the way back and the envelope.
    fn begin(self: Pin<&mut Self>, message: M) -> Result<()> {
        let this = self.project();
        let now = time::now();
        let context = match this.parent.take() {
            None => CallContext::new(),
            Some(parent) => {
                parent.check(now)?;
                *this.cancelled = Some(parent.cancel_token().cancelled());
                child_of(&parent)
            }
        };
        let context = context.with_timeout(now, *this.limit);
        *this.deadline = context.deadline();
        let (sender, receiver) = oneshot::channel();
        *this.receiver = Some(receiver);
        let mut envelope = CallPacket::boxed(*this.index, message, Some(context.clone()), Some(sender));
        if let Route::Slot(slot) = &this.call.route {
            envelope.head_mut().sent_ns = slot.ground.clock.set(now);
        }
        this.call.context = Some(context);
        *this.send = Post::New(envelope);
        Ok(())
    }

    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Reply>> {
        let this = self.project();
        if !matches!(this.send, Post::Sent) {
            ready!(this.send.poll(&this.call.route, cx))?;
            *this.send = Post::Sent;
        }
        let Some(receiver) = this.receiver else { return Poll::Ready(Err(this.call.lost())) };
        Poll::Ready(match ready!(Pin::new(receiver).poll(cx)) {
            Ok(outcome) => outcome,
            Err(_) => Err(this.call.lost()),
        })
    }

    /// Looks at what ends the wait: the parent's cancellation, the deadline.
    fn poll_limits(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Error> {
        let mut this = self.project();
        if let Some(cancelled) = this.cancelled
            && Pin::new(cancelled).poll(cx).is_ready()
        {
            return Poll::Ready(this.call.name(Error::cancelled("the call was cancelled")));
        }
        let Some(deadline) = *this.deadline else { return Poll::Pending };
        if this.sleep.is_none() {
            this.sleep.set(Some(time::sleep_until(deadline)));
        }
        if let Some(sleep) = this.sleep.as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        Poll::Ready(this.call.name(Error::timeout("no answer in time")))
    }
}

impl<M: Message> Future for Ask<M> {
    type Output = Result<M::Reply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Reply>> {
        if let Some(message) = self.as_mut().project().message.take()
            && let Err(error) = self.as_mut().begin(message)
        {
            return Poll::Ready(Err(self.call.name(error)));
        }
        if let Poll::Ready(outcome) = self.as_mut().poll_answer(cx) {
            self.project().call.context = None;
            return Poll::Ready(outcome);
        }
        self.poll_limits(cx).map(Err)
    }
}

impl Call {
    fn lost(&self) -> Error {
        self.name(Error::unknown_outcome("the actor ended while it handled the message"))
    }

    fn name(&self, error: Error) -> Error {
        error.with("actor", self.route.name()).with("message", self.message)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(context) = &self.context {
            context.cancel_token().cancel();
        }
    }
}

/// Makes the context of a call made on behalf of another; message id and idempotency key go along if they are set.
pub(crate) fn child_of(parent: &CallContext) -> CallContext {
    let mut context = parent.child();
    if let Some(message) = parent.message() {
        context = context.with_message(message);
    }
    if let Some(key) = parent.idempotency_key() {
        context = context.with_idempotency_key(key);
    }
    context
}

impl<M: Message> fmt::Debug for Ask<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("message", &M::NAME).field("sent", &self.message.is_none()).finish()
    }
}
