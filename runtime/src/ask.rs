//! One ask on its way: the builder and the future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use beluga_core::{CallContext, Cancelled, Error, Result};
use pin_project_lite::pin_project;
use tokio::sync::oneshot;

use crate::delivery::{Delivery, Route};
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
        draft: Option<Draft<M>>,
        #[pin]
        asking: Option<Asking<M>>,
    }
}

struct Draft<M> {
    route: Route,
    index: usize,
    message: M,
    parent: Option<CallContext>,
    limit: Duration,
}

impl<M: Message> Ask<M> {
    pub(crate) fn new(route: Route, index: usize, message: M, limit: Duration) -> Self {
        Self { draft: Some(Draft { route, index, message, parent: None, limit }), asking: None }
    }

    /// Bounds the wait; a deadline of the context that is earlier stays in force.
    pub fn within(mut self, limit: Duration) -> Self {
        if let Some(draft) = &mut self.draft {
            draft.limit = limit;
        }
        self
    }

    /// Asks on behalf of another call: its deadline, cancellation, tenant and trace apply.
    pub fn with_context(mut self, context: &CallContext) -> Self {
        if let Some(draft) = &mut self.draft {
            draft.parent = Some(context.clone());
        }
        self
    }
}

impl<M: Message> Future for Ask<M> {
    type Output = Result<M::Reply>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Reply>> {
        let mut this = self.project();
        if let Some(draft) = this.draft.take() {
            this.asking.set(Some(draft.begin()));
        }
        match this.asking.as_pin_mut() {
            Some(asking) => asking.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<M: Message> Draft<M> {
    fn begin(self) -> Asking<M> {
        let now = time::now();
        let (context, parent, refused) = match self.parent {
            None => (CallContext::new(), None, None),
            Some(parent) => {
                let refused = parent.check(now).err();
                let context = child_of(&parent);
                (context, Some(parent), refused)
            }
        };
        let context = context.with_timeout(now, self.limit);
        let deadline = context.deadline();
        let (sender, receiver) = oneshot::channel();
        let envelope = CallPacket::boxed(self.index, self.message, Some(context.clone()), Some(sender));
        Asking {
            state: match refused {
                Some(error) => Stage::Refused { error: Some(error) },
                None => Stage::Sending { delivery: Delivery::new(self.route.clone(), envelope) },
            },
            receiver: Some(receiver),
            sleep: None,
            deadline,
            parent: parent.map(|parent| parent.cancel_token().cancelled()),
            call: Call { context, route: self.route, message: M::NAME, settled: false },
        }
    }
}

impl<M: Message> fmt::Debug for Ask<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("message", &M::NAME).field("sent", &self.draft.is_none()).finish()
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

pin_project! {
    /// An ask on its way.
    struct Asking<M: Message> {
        state: Stage,
        receiver: Option<oneshot::Receiver<Result<M::Reply>>>,
        #[pin]
        sleep: Option<time::Sleep>,
        deadline: Option<Instant>,
        parent: Option<Cancelled>,
        call: Call,
    }
}

enum Stage {
    Sending { delivery: Delivery },
    Waiting,
    Refused { error: Option<Error> },
}

/// Cancels its call when it drops unsettled.
struct Call {
    context: CallContext,
    route: Route,
    message: &'static str,
    settled: bool,
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
        if !self.settled {
            self.context.cancel_token().cancel();
        }
    }
}

impl<M: Message> Asking<M> {
    fn poll_answer(
        state: &mut Stage,
        receiver: &mut Option<oneshot::Receiver<Result<M::Reply>>>,
        call: &Call,
        cx: &mut Context<'_>,
    ) -> Poll<Result<M::Reply>> {
        if let Stage::Sending { delivery } = state {
            ready!(Pin::new(delivery).poll(cx))?;
            *state = Stage::Waiting;
        }
        if let Stage::Refused { error } = state {
            let error = error.take().unwrap_or_else(|| call.lost());
            return Poll::Ready(Err(call.name(error)));
        }
        let Some(receiver) = receiver else { return Poll::Ready(Err(call.lost())) };
        Poll::Ready(match ready!(Pin::new(receiver).poll(cx)) {
            Ok(outcome) => outcome,
            Err(_) => Err(call.lost()),
        })
    }
}

impl<M: Message> Future for Asking<M> {
    type Output = Result<M::Reply>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<M::Reply>> {
        let mut this = self.project();
        if let Poll::Ready(outcome) = Self::poll_answer(this.state, this.receiver, this.call, cx) {
            this.call.settled = true;
            return Poll::Ready(outcome);
        }
        if let Some(parent) = this.parent.as_mut()
            && Pin::new(parent).poll(cx).is_ready()
        {
            return Poll::Ready(Err(this.call.name(Error::cancelled("the call was cancelled"))));
        }
        let Some(deadline) = *this.deadline else { return Poll::Pending };
        if this.sleep.is_none() {
            this.sleep.set(Some(time::sleep_until(deadline)));
        }
        if let Some(sleep) = this.sleep.as_mut().as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        Poll::Ready(Err(this.call.name(Error::timeout("no answer in time"))))
    }
}
