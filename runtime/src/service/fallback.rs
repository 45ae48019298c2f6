//! Asks the next service when one cannot answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use beluga_core::{BoxStream, CallContext, Code, Error, Result, Retry};
use futures_core::Stream;
use futures_util::StreamExt;

use super::{Content, Service, SharedService};
use crate::telemetry::{log_ids, request_id};
use crate::time;

/// A service and the name under which logs and errors speak of it.
///
/// See [`fallback`](fallback()) for an example.
pub struct Named<Req, Item> {
    /// The name.
    pub name: Arc<str>,
    /// The service.
    pub service: SharedService<Req, Item>,
}

impl<Req, Item> Named<Req, Item> {
    /// Names a service.
    pub fn new(name: impl Into<Arc<str>>, service: SharedService<Req, Item>) -> Self {
        Self { name: name.into(), service }
    }
}

impl<Req, Item> Clone for Named<Req, Item> {
    fn clone(&self) -> Self {
        Self { name: Arc::clone(&self.name), service: Arc::clone(&self.service) }
    }
}

impl<Req, Item> std::fmt::Debug for Named<Req, Item> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Named").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Asks the services in order until one answers.
///
/// The next one is asked only before the first content item, only while the call is still wanted, and only after an
/// error that another service may not have: one that is retryable, or was until its tries were used up, `circuit_open`
/// or `unavailable`. Each step is logged with both names. The error of the last service carries the key
/// `fell_back_from` with the names before it.
///
/// ```
/// # use beluga_runtime::service::{Named, fallback};
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let broken = service_fn(|(), _| one(async { Err::<Word, _>(Error::provider_unavailable("down")) }));
/// let healthy = service_fn(|(), _| one(async { Ok(Word("hello")) }));
/// let service = fallback(Named::new("first", broken), vec![Named::new("second", healthy)]);
/// assert_eq!(first(service.call((), CallContext::new())).await?.0, "hello");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn fallback<Req, Item>(first: Named<Req, Item>, others: Vec<Named<Req, Item>>) -> SharedService<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + 'static,
{
    if others.is_empty() {
        return first.service;
    }
    Arc::new(Fallback { services: std::iter::once(first).chain(others).collect() })
}

/// Returns whether another service may not have this error: one that is retryable, or was until its tries were used up.
pub(super) fn may_answer_elsewhere(error: &Error) -> bool {
    matches!(error.retry(), Retry::Now | Retry::After(_) | Retry::Exhausted)
        || matches!(error.code(), Code::CircuitOpen | Code::Unavailable)
}

struct Fallback<Req, Item> {
    services: Arc<[Named<Req, Item>]>,
}

impl<Req, Item> Service<Req> for Fallback<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + 'static,
{
    type Item = Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Item>> {
        let services = Arc::clone(&self.services);
        Box::pin(FallbackStream { services, request, context, next: 0, has_content: false, state: State::Start })
    }
}

struct FallbackStream<Req, Item> {
    services: Arc<[Named<Req, Item>]>,
    request: Req,
    context: CallContext,
    /// The index of the service to ask next; the one before it is being asked.
    next: usize,
    has_content: bool,
    state: State<Item>,
}

enum State<Item> {
    Start,
    Running(BoxStream<'static, Result<Item>>),
    Done,
}

impl<Req, Item> Stream for FallbackStream<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + 'static,
{
    type Item = Result<Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Start => {
                    this.state = match this.services.get(this.next) {
                        Some(named) => State::Running(named.service.call(this.request.clone(), this.context.clone())),
                        None => State::Done,
                    };
                    this.next += 1;
                }
                State::Running(inner) => match ready!(inner.poll_next_unpin(cx)) {
                    Some(Ok(item)) => {
                        this.has_content |= item.is_content();
                        return Poll::Ready(Some(Ok(item)));
                    }
                    Some(Err(error)) => {
                        this.state = State::Done;
                        if !this.moves_on(&error) {
                            return Poll::Ready(Some(Err(this.name_the_failed(error))));
                        }
                        this.state = State::Start;
                    }
                    None => {
                        this.state = State::Done;
                        return Poll::Ready(None);
                    }
                },
                State::Done => return Poll::Ready(None),
            }
        }
    }
}

impl<Req, Item> FallbackStream<Req, Item> {
    fn moves_on(&self, error: &Error) -> bool {
        if self.has_content || !may_answer_elsewhere(error) || self.context.check(time::now()).is_err() {
            return false;
        }
        let (Some(from), Some(to)) = (self.services.get(self.next - 1), self.services.get(self.next)) else {
            return false;
        };
        let (trace_id, span_id) = log_ids(&self.context);
        let request_id = request_id(&self.context);
        tracing::warn!(from = %from.name, to = %to.name, code = %error.code(), %trace_id, %span_id, request_id, "falling back");
        true
    }

    fn name_the_failed(&self, error: Error) -> Error {
        let failed: Vec<&str> = self.services.iter().take(self.next - 1).map(|named| &*named.name).collect();
        if failed.is_empty() { error } else { error.with("fell_back_from", failed.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::service::testing::{self, Answer, Script, fails, hang, items};

    fn named(name: &'static str, answers: Vec<Answer>) -> (Named<(), testing::Item>, Script) {
        let script = Script::new(answers);
        (Named::new(name, script.service()), script)
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_service_answers_for_one_that_cannot() {
        for error in [
            Error::provider_unavailable("down"),
            Error::timeout("late").exhausted(),
            Error::new(Code::CircuitOpen, "open"),
            Error::unavailable("moving").with_retry(Retry::Never),
        ] {
            let (a, _) = named("a", vec![items([0]).chain(fails(error)).boxed()]);
            let (b, script) = named("b", vec![items([7])]);
            let numbers: Vec<_> =
                fallback(a, vec![b]).call((), CallContext::new()).map(|item| item.unwrap().number).collect().await;
            assert_eq!((numbers, script.live()), (vec![0, 7], 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_fails_everywhere_is_not_moved() {
        let (a, _) = named("a", vec![fails(Error::invalid_input("bad"))]);
        let (b, second) = named("b", vec![items([7])]);
        let error = fallback(a, vec![b]).call((), CallContext::new()).next().await.unwrap().unwrap_err();
        assert_eq!((error.code(), second.calls()), (Code::InvalidInput, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn after_content_or_for_a_dead_call_nothing_is_moved() {
        let down = || fails(Error::provider_unavailable("down"));
        let (a, _) = named("a", vec![items([1]).chain(down()).boxed(), down()]);
        let (b, second) = named("b", vec![items([7])]);
        let service = fallback(a, vec![b]);
        assert_eq!(service.call((), CallContext::new()).count().await, 2);
        let expired = CallContext::new().with_timeout(time::now(), Duration::ZERO);
        service.call((), expired).next().await.unwrap().unwrap_err();
        assert_eq!(second.calls(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_error_names_those_before_it() {
        let down = || vec![fails(Error::provider_unavailable("down"))];
        let ((a, _), (b, _), (c, _)) = (named("a", down()), named("b", down()), named("c", down()));
        let error = fallback(a, vec![b, c]).call((), CallContext::new()).next().await.unwrap().unwrap_err();
        assert_eq!(error.get("fell_back_from"), Some("a, b"));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_stream_drops_the_service_in_use() {
        let (a, _) = named("a", vec![fails(Error::provider_unavailable("down"))]);
        let (b, script) = named("b", vec![hang()]);
        let mut stream = fallback(a, vec![b]).call((), CallContext::new());
        assert!(futures_util::poll!(stream.next()).is_pending());
        assert_eq!(script.live(), 1);
        drop(stream);
        assert_eq!(script.live(), 0);
    }
}
