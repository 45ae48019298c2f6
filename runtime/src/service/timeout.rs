//! Time limits of one try: to the first item, between items, and as a whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use beluga_core::{BoxStream, CallContext, Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;
use pin_project_lite::pin_project;

use super::{Content, Service, SharedService};
use crate::time::{self, Sleep};

/// The limits of one try; `None` is no limit.
///
/// See [`timeout`](timeout()) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutConfig {
    /// From the start to the first item of any kind.
    pub first_item: Option<Duration>,
    /// Between one item and the next. Only time in which the reader waits counts, not a slow reader's own.
    pub gap: Option<Duration>,
    /// From the start to the end.
    pub total: Option<Duration>,
}

impl Default for TimeoutConfig {
    /// Returns 60 s to the first item, 60 s between items, 10 minutes in all.
    fn default() -> Self {
        let minutes = |count: u64| Some(Duration::from_secs(60 * count));
        Self { first_item: minutes(1), gap: minutes(1), total: minutes(10) }
    }
}

impl TimeoutConfig {
    /// Returns whether there is no limit.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self { first_item: None, gap: None, total: None }
    }
}

/// Ends a try that takes too long. The inner stream is dropped before the error is given.
///
/// Errors: `timeout` with the keys `limit` (`first_item`, `gap` or `total`) and `limit_ms`.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::service::{TimeoutConfig, timeout};
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let hanging = service_fn(|(), _| one(std::future::pending::<Result<Word>>()));
/// let limits = TimeoutConfig { first_item: Some(Duration::from_secs(10)), ..TimeoutConfig::default() };
/// let error = first(timeout(hanging, limits).call((), CallContext::new())).await.err().unwrap();
/// assert_eq!((error.get("limit"), error.get("limit_ms")), (Some("first_item"), Some("10000")));
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn timeout<Req, Item>(inner: SharedService<Req, Item>, config: TimeoutConfig) -> SharedService<Req, Item>
where
    Req: Send + 'static,
    Item: Content + Send + 'static,
{
    if config.is_off() { inner } else { Arc::new(Timeout { inner, config }) }
}

struct Timeout<Req, Item> {
    inner: SharedService<Req, Item>,
    config: TimeoutConfig,
}

impl<Req, Item> Service<Req> for Timeout<Req, Item>
where
    Req: Send + 'static,
    Item: Content + Send + 'static,
{
    type Item = Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Item>> {
        Box::pin(TimeoutStream {
            inner: Some(self.inner.call(request, context)),
            watch: Watch { config: self.config, started: None, waiting: None, has_first: false, armed: None },
            sleep: None,
        })
    }
}

pin_project! {
    struct TimeoutStream<Item> {
        inner: Option<BoxStream<'static, Result<Item>>>,
        watch: Watch,
        #[pin]
        sleep: Option<Sleep>,
    }
}

struct Watch {
    config: TimeoutConfig,
    started: Option<Instant>,
    /// Since when the reader has waited for the next item.
    waiting: Option<Instant>,
    has_first: bool,
    /// When the timer fires; it may be too early, never too late.
    armed: Option<Instant>,
}

impl<Item> Stream for TimeoutStream<Item> {
    type Item = Result<Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        let mut this = self.project();
        let Some(inner) = this.inner else { return Poll::Ready(None) };
        if let Poll::Ready(item) = inner.poll_next_unpin(cx) {
            this.watch.has_first = true;
            this.watch.waiting = None;
            if !matches!(item, Some(Ok(_))) {
                *this.inner = None;
            }
            return Poll::Ready(item);
        }
        let Some((end, limit, allowed)) = this.watch.next_limit(time::now()) else { return Poll::Pending };
        loop {
            match this.sleep.as_mut().as_pin_mut() {
                None => this.sleep.set(Some(time::sleep_until(end))),
                Some(sleep) if this.watch.armed.is_none_or(|armed| armed > end) => {
                    sleep.reset(tokio::time::Instant::from_std(end));
                }
                Some(sleep) => {
                    ready!(sleep.poll(cx));
                    if this.watch.armed == Some(end) {
                        *this.inner = None;
                        let error = Error::timeout("the call took too long")
                            .with("limit", limit)
                            .with("limit_ms", allowed.as_millis());
                        return Poll::Ready(Some(Err(error)));
                    }
                    // It was armed for an earlier item.
                    this.watch.armed = None;
                    continue;
                }
            }
            this.watch.armed = Some(end);
        }
    }
}

impl Watch {
    /// Returns the next limit: when it ends, its name, and how long it allows.
    fn next_limit(&mut self, now: Instant) -> Option<(Instant, &'static str, Duration)> {
        let started = *self.started.get_or_insert(now);
        let waiting = *self.waiting.get_or_insert(now);
        let step = if self.has_first {
            (waiting, "gap", self.config.gap)
        } else {
            (started, "first_item", self.config.first_item)
        };
        [step, (started, "total", self.config.total)]
            .into_iter()
            .filter_map(|(from, limit, allowed)| Some((from.checked_add(allowed?)?, limit, allowed?)))
            .min_by_key(|(end, ..)| *end)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::service::testing::{Answer, Script, hang, items};

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Items that come after these waits, in seconds.
    fn after(waits: &'static [u64]) -> Answer {
        stream::iter(waits)
            .then(|wait| async move {
                time::sleep(seconds(*wait)).await;
                Ok(1.into())
            })
            .boxed()
    }

    async fn run(config: TimeoutConfig, answer: Answer) -> (usize, Option<String>, u64) {
        let script = Script::new(vec![answer]);
        let mut stream = timeout(script.service(), config).call((), CallContext::new());
        let (started, mut count) = (time::now(), 0);
        let limit = loop {
            match stream.next().await {
                Some(Ok(_)) => count += 1,
                Some(Err(error)) => {
                    assert_eq!(script.live(), 0, "the inner stream is gone with the error");
                    assert!(stream.next().await.is_none());
                    break error.get("limit").map(str::to_owned);
                }
                None => break None,
            }
        };
        (count, limit, (time::now() - started).as_secs())
    }

    const LIMITS: TimeoutConfig =
        TimeoutConfig { first_item: Some(seconds(10)), gap: Some(seconds(3)), total: Some(seconds(20)) };

    #[tokio::test(start_paused = true)]
    async fn each_limit_ends_the_try_at_its_time() {
        assert_eq!(run(LIMITS, hang()).await, (0, Some("first_item".into()), 10));
        assert_eq!(run(LIMITS, items([1, 2]).chain(hang()).boxed()).await, (2, Some("gap".into()), 3));
        assert_eq!(run(LIMITS, after(&[9, 2, 2, 4])).await, (3, Some("gap".into()), 16));
        assert_eq!(run(LIMITS, after(&[9, 2, 2, 2, 2, 2, 2, 2])).await, (6, Some("total".into()), 20));
        assert_eq!(run(LIMITS, after(&[9, 2, 2, 2])).await, (4, None, 15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_not_a_slow_vendor() {
        let mut stream = timeout(Script::new(vec![after(&[1, 1, 1])]).service(), LIMITS).call((), CallContext::new());
        for _ in 0..2 {
            stream.next().await.unwrap().unwrap();
            time::sleep(seconds(6)).await;
        }
        stream.next().await.unwrap().unwrap();
        assert!(stream.next().await.is_none());
    }

    #[test]
    fn without_limits_nothing_is_stacked() {
        let inner = Script::repeat(hang).service();
        let off = TimeoutConfig { first_item: None, gap: None, total: None };
        assert!(Arc::ptr_eq(&timeout(Arc::clone(&inner), off), &inner));
    }
}
