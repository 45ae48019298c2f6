//! Ends a call at its deadline, and when it is cancelled, whatever the layers below are waiting for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::{BoxStream, CallContext, Cancelled, Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;
use pin_project_lite::pin_project;

use super::{Content, Service, SharedService};
use crate::time::{self, Sleep};

/// Gives every call at most `total` (if set), and enforces the deadline and the cancellation of its context.
///
/// The time runs from the call, not from the first poll. The inner stream is dropped before the error is given.
///
/// Errors: `timeout`, `cancelled`, and `overloaded` for a call that runs in a circle.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::service::deadline;
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let hanging = service_fn(|(), _| one(std::future::pending::<Result<Word>>()));
/// let service = deadline(hanging, Some(Duration::from_secs(5)));
/// let error = first(service.call((), CallContext::new())).await.err().unwrap();
/// assert_eq!(error.code(), Code::Timeout);
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn deadline<Req, Item>(inner: SharedService<Req, Item>, total: Option<Duration>) -> SharedService<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
{
    Arc::new(Deadline { inner, total })
}

struct Deadline<Req, Item> {
    inner: SharedService<Req, Item>,
    total: Option<Duration>,
}

impl<Req, Item> Service<Req> for Deadline<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
{
    type Item = Item;

    fn call(&self, request: Req, mut context: CallContext) -> BoxStream<'static, Result<Item>> {
        if let Some(total) = self.total {
            context = context.with_timeout(time::now(), total);
        }
        let cancelled = context.cancel_token().cancelled();
        let start = Start { service: Arc::clone(&self.inner), request };
        Box::pin(DeadlineStream { state: State::Start(start), context, cancelled, sleep: None })
    }
}

pin_project! {
    struct DeadlineStream<Req, Item> {
        state: State<Req, Item>,
        context: CallContext,
        cancelled: Cancelled,
        #[pin]
        sleep: Option<Sleep>,
    }
}

enum State<Req, Item> {
    Start(Start<Req, Item>),
    Running(BoxStream<'static, Result<Item>>),
    Done,
}

struct Start<Req, Item> {
    service: SharedService<Req, Item>,
    request: Req,
}

impl<Req, Item> Stream for DeadlineStream<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
{
    type Item = Result<Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        let mut this = self.project();
        let mut inner = match std::mem::replace(this.state, State::Done) {
            State::Start(Start { service, request }) => match this.context.check(time::now()) {
                Ok(()) => service.call(request, this.context.clone()),
                Err(error) => return Poll::Ready(Some(Err(error))),
            },
            State::Running(inner) => inner,
            State::Done => return Poll::Ready(None),
        };
        if Pin::new(this.cancelled).poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Error::cancelled("the call was cancelled"))));
        }
        if let Poll::Ready(item) = inner.poll_next_unpin(cx) {
            if matches!(item, Some(Ok(_))) {
                *this.state = State::Running(inner);
            }
            return Poll::Ready(item);
        }
        if let Some(deadline) = this.context.deadline() {
            if this.sleep.is_none() {
                this.sleep.set(Some(time::sleep_until(deadline)));
            }
            if this.sleep.as_mut().as_pin_mut().is_some_and(|sleep| sleep.poll(cx).is_ready()) {
                return Poll::Ready(Some(Err(Error::timeout("the deadline passed"))));
            }
        }
        *this.state = State::Running(inner);
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use beluga_core::Code;

    use super::*;
    use crate::service::testing::{Script, hang, items};

    #[tokio::test(start_paused = true)]
    async fn the_total_and_the_callers_deadline_both_end_the_call() {
        let script = Script::repeat(|| items([1]).chain(hang()).boxed());
        let service = deadline(script.service(), Some(Duration::from_secs(10)));
        for (own, ended) in [(60, 10), (4, 4)] {
            let (started, timeout) = (time::now(), Duration::from_secs(own));
            let mut stream = service.call((), CallContext::new().with_timeout(started, timeout));
            stream.next().await.unwrap().unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap_err().code(), Code::Timeout);
            assert_eq!((time::now() - started).as_secs(), ended);
            assert_eq!(script.live(), 0);
            assert!(stream.next().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancellation_from_above_ends_the_call_at_once() {
        let script = Script::repeat(hang);
        let service = deadline(script.service(), None);
        let turn = CallContext::new();
        let mut stream = service.call((), turn.child());
        assert!(futures_util::poll!(stream.next()).is_pending());
        turn.cancel_token().cancel();
        assert!(stream.next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!(script.live(), 0);
        assert!(service.call((), turn.child()).next().await.unwrap().unwrap_err().is_cancelled());
        assert_eq!(script.calls(), 1, "a cancelled call is not made");
    }
}
