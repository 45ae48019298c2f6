//! Tries a call again when that can help.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use beluga_core::{BoxStream, CallContext, Code, Error, Result, Retry};
use futures_core::Stream;
use futures_util::StreamExt;
use pin_project_lite::pin_project;

use super::{Content, Service, SharedService};
use crate::backoff::Backoff;
use crate::random::SystemRandom;
use crate::telemetry::{log_ids, request_id};
use crate::time::{self, Sleep};

/// How often, after which errors and after which waits a call is tried again.
///
/// See [`retry`](retry()) for an example.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryConfig {
    /// Tries in all, the first included; 0 counts as 1.
    pub attempts: u32,
    /// The waits between tries.
    pub backoff: Backoff,
    /// The longest `Retry-After` that is waited for; a vendor that asks for more is given up at once.
    pub retry_after_cap: Duration,
    /// The only codes that are tried again; `None` leaves it to the error's retry class.
    pub codes: Option<Vec<Code>>,
}

impl Default for RetryConfig {
    /// Returns 3 tries, 500 ms doubling to 30 s with jitter, `Retry-After` up to 60 s, by retry class.
    fn default() -> Self {
        let retry_after_cap = Duration::from_secs(60);
        Self { attempts: 3, backoff: Backoff::default(), retry_after_cap, codes: None }
    }
}

impl RetryConfig {
    /// Returns whether another try may help.
    pub(crate) fn allows(&self, error: &Error) -> bool {
        // An open breaker is not waited for here: a fallback can go on at once.
        if matches!(error.code(), Code::CircuitOpen | Code::Cancelled) || error.retry() == Retry::Exhausted {
            return false;
        }
        match &self.codes {
            Some(codes) => codes.contains(&error.code()),
            None => error.is_retryable(),
        }
    }

    /// Returns the wait before the next try after `failed` ones, `None` to give up: the tries are used up, the error asks
    /// for too long a wait, or the call's deadline comes first. Whether the error is worth a try is the caller's to judge.
    #[must_use]
    pub fn wait(&self, error: &Error, failed: u32, context: &CallContext, random: &SystemRandom) -> Option<Duration> {
        if failed >= self.attempts.max(1) {
            return None;
        }
        let floor = match error.retry() {
            Retry::After(floor) if floor > self.retry_after_cap => return None,
            Retry::After(floor) => floor,
            _ => Duration::ZERO,
        };
        let wait = self.backoff.delay(failed - 1, random.unit()).max(floor);
        let in_time = context.remaining(time::now()).is_none_or(|remaining| wait < remaining);
        in_time.then_some(wait)
    }
}

/// Tries a call again after a retryable error, before its first content item, within its deadline.
///
/// A `Retry-After` is the least wait. An error that is given up is marked exhausted, so that no outer layer tries it
/// again, and carries the key `tries`. Other errors pass unchanged.
///
/// ```
/// # use std::sync::atomic::{AtomicU32, Ordering};
/// # use beluga_runtime::service::{RetryConfig, retry};
/// # use beluga_runtime::SystemRandom;
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let tries = AtomicU32::new(0);
/// let flaky = service_fn(move |(), _| {
///     let number = tries.fetch_add(1, Ordering::Relaxed) + 1;
///     one(async move { if number < 3 { Err(Error::timeout("no answer in time")) } else { Ok(Word("hello")) } })
/// });
/// let service = retry(flaky, RetryConfig { attempts: 3, ..RetryConfig::default() }, SystemRandom::seeded(1));
/// assert_eq!(first(service.call((), CallContext::new())).await?.0, "hello");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn retry<Req, Item>(
    inner: SharedService<Req, Item>,
    config: RetryConfig,
    random: SystemRandom,
) -> SharedService<Req, Item>
where
    Req: Clone + Send + Sync + 'static,
    Item: Content + Send + 'static,
{
    Arc::new(RetryService(Arc::new(Shared { inner, config, random })))
}

struct RetryService<Req, Item>(Arc<Shared<Req, Item>>);

struct Shared<Req, Item> {
    inner: SharedService<Req, Item>,
    config: RetryConfig,
    random: SystemRandom,
}

impl<Req, Item> Service<Req> for RetryService<Req, Item>
where
    Req: Clone + Send + Sync + 'static,
    Item: Content + Send + 'static,
{
    type Item = Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Item>> {
        let shared = Arc::clone(&self.0);
        Box::pin(RetryStream { shared, request, context, failed: 0, phase: Phase::Start })
    }
}

pin_project! {
    struct RetryStream<Req, Item> {
        shared: Arc<Shared<Req, Item>>,
        request: Req,
        context: CallContext,
        failed: u32,
        #[pin]
        phase: Phase<Item>,
    }
}

pin_project! {
    #[project = PhaseView]
    enum Phase<Item> {
        Start,
        Running { inner: BoxStream<'static, Result<Item>>, has_content: bool },
        Waiting { #[pin] sleep: Sleep },
        Done,
    }
}

impl<Req, Item> Stream for RetryStream<Req, Item>
where
    Req: Clone + Send + Sync + 'static,
    Item: Content + Send + 'static,
{
    type Item = Result<Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        let mut this = self.project();
        loop {
            match this.phase.as_mut().project() {
                PhaseView::Start => {
                    let inner = this.shared.inner.call(this.request.clone(), this.context.clone());
                    this.phase.set(Phase::Running { inner, has_content: false });
                }
                PhaseView::Waiting { sleep } => {
                    ready!(sleep.poll(cx));
                    this.phase.set(Phase::Start);
                }
                PhaseView::Running { inner, has_content } => match ready!(inner.poll_next_unpin(cx)) {
                    Some(Ok(item)) => {
                        *has_content |= item.is_content();
                        return Poll::Ready(Some(Ok(item)));
                    }
                    Some(Err(error)) => {
                        let has_content = *has_content;
                        this.phase.set(Phase::Done);
                        if has_content || !this.shared.config.allows(&error) {
                            return Poll::Ready(Some(Err(error)));
                        }
                        *this.failed += 1;
                        let Shared { config, random, .. } = &**this.shared;
                        match config.wait(&error, *this.failed, this.context, random) {
                            None => return Poll::Ready(Some(Err(give_up(error, *this.failed)))),
                            Some(wait) => {
                                announce(&error, *this.failed, wait, this.context);
                                this.phase.set(Phase::Waiting { sleep: time::sleep(wait) });
                            }
                        }
                    }
                    None => {
                        this.phase.set(Phase::Done);
                        return Poll::Ready(None);
                    }
                },
                PhaseView::Done => return Poll::Ready(None),
            }
        }
    }
}

fn announce(error: &Error, failed: u32, wait: Duration, context: &CallContext) {
    let (trace_id, span_id) = log_ids(context);
    let wait_ms = wait.as_millis();
    let request_id = request_id(context);
    tracing::info!(code = %error.code(), failed, wait_ms, %trace_id, %span_id, request_id, "trying again");
}

fn give_up(error: Error, tries: u32) -> Error {
    error.with("tries", tries).exhausted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::testing::{Answer, Script, fails, hang, items};

    fn down() -> Answer {
        fails(Error::provider_unavailable("down"))
    }

    fn limited(seconds: u64) -> Answer {
        fails(Error::new(Code::RateLimit, "slow down").with_retry(Retry::After(Duration::from_secs(seconds))))
    }

    struct Outcome {
        items: Vec<u32>,
        error: Option<Error>,
        calls: usize,
        took: Duration,
    }

    async fn run_with(config: RetryConfig, context: CallContext, answers: Vec<Answer>) -> Outcome {
        let script = Script::new(answers);
        let service = retry(script.service(), config, SystemRandom::seeded(1));
        let started = time::now();
        let mut stream = service.call((), context);
        let (mut items, mut error) = (Vec::new(), None);
        while let Some(item) = stream.next().await {
            match item {
                Ok(item) => items.push(item.number),
                Err(last) => error = Some(last),
            }
        }
        Outcome { items, error, calls: script.calls(), took: time::now() - started }
    }

    async fn run(answers: Vec<Answer>) -> Outcome {
        run_with(RetryConfig::default(), CallContext::new(), answers).await
    }

    #[tokio::test(start_paused = true)]
    async fn the_third_try_may_still_succeed_and_waits_grow() {
        let outcome = run(vec![down(), down(), items([1, 2])]).await;
        assert_eq!((outcome.items, outcome.calls), (vec![1, 2], 3));
        // Half of 500 ms and 1 s is left to chance; timers round up to a millisecond.
        assert!((750..=1502).contains(&outcome.took.as_millis()), "{:?}", outcome.took);
    }

    #[tokio::test(start_paused = true)]
    async fn used_up_tries_mark_the_error_exhausted() {
        let error = run(vec![down(), down(), down(), items([1])]).await.error.unwrap();
        assert_eq!((error.retry(), error.get("tries")), (Retry::Exhausted, Some("3")));
        assert_eq!(error.code(), Code::ProviderUnavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_a_floor_and_capped() {
        let outcome = run(vec![limited(20), items([1])]).await;
        assert_eq!((outcome.items, outcome.took), (vec![1], Duration::from_secs(20)));
        let outcome = run(vec![limited(61), items([1])]).await;
        assert_eq!(outcome.error.unwrap().retry(), Retry::Exhausted);
        assert_eq!((outcome.calls, outcome.took), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn no_wait_goes_past_the_deadline() {
        let context = CallContext::new().with_timeout(time::now(), Duration::from_secs(5));
        let outcome = run_with(RetryConfig::default(), context, vec![limited(6), items([1])]).await;
        assert_eq!(outcome.error.unwrap().retry(), Retry::Exhausted);
        assert_eq!((outcome.calls, outcome.took), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_first_content_item_the_error_passes() {
        let outcome = run(vec![items([0, 5]).chain(down()).boxed(), items([6])]).await;
        assert_eq!((outcome.items, outcome.calls), (vec![0, 5], 1));
        assert!(outcome.error.unwrap().is_retryable(), "the caller may still try again");
        let outcome = run(vec![items([0]).chain(down()).boxed(), items([0, 6])]).await;
        assert_eq!((outcome.items, outcome.calls), (vec![0, 0, 6], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_help_is_not_tried_again() {
        for error in [
            Error::invalid_input("bad"),
            Error::new(Code::CircuitOpen, "open"),
            Error::cancelled("gone"),
            Error::timeout("late").exhausted(),
        ] {
            let (code, class) = (error.code(), error.retry());
            let outcome = run(vec![fails(error), items([1])]).await;
            assert_eq!(outcome.calls, 1, "{code}");
            assert_eq!(outcome.error.unwrap().retry(), class);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_of_codes_decides_alone() {
        let config = RetryConfig { codes: Some(vec![Code::Internal]), ..RetryConfig::default() };
        let answers = || vec![fails(Error::internal("bug")), down(), items([1])];
        let outcome = run_with(config, CallContext::new(), answers()).await;
        assert_eq!(outcome.calls, 2);
        assert_eq!(outcome.error.unwrap().code(), Code::ProviderUnavailable);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_stream_drops_the_try_in_flight() {
        let script = Script::new(vec![down(), hang()]);
        let service = retry(script.service(), RetryConfig::default(), SystemRandom::seeded(1));
        let mut stream = service.call((), CallContext::new());
        assert!(time::timeout(Duration::from_secs(5), stream.next()).await.is_err());
        assert_eq!((script.calls(), script.live()), (2, 1));
        drop(stream);
        assert_eq!(script.live(), 0);
    }
}
