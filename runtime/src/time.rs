//! The only room that reads a clock or sleeps.
//!
//! Everything goes through tokio's clock, so a test that pauses time pauses all of Beluga. Where no runtime is entered
//! the operating system's clock answers; [`task::spawn_thread`](crate::task::spawn_thread) enters the runtime for its
//! thread, so own threads see paused time too. Calendar time ([`wall`]) is never paused and decides nothing.
#![allow(clippy::disallowed_methods)] // The room the rule sends everybody to.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use beluga_core::{CallContext, Cancelled, Error, Result};
use pin_project_lite::pin_project;

pub use tokio::time::{Interval, Sleep};

/// The shortest period of an [`interval`]; shorter ones are raised to it.
pub const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// How far ahead a [`sleep`] may lie, about 30 years; longer ones are cut to it.
pub const SLEEP_MAX: Duration = Duration::from_secs(86_400 * 365 * 30);

/// Returns the monotonic time, which tests may pause.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::time;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let before = time::now();
/// time::sleep(Duration::from_secs(3600)).await;
/// assert_eq!(time::now() - before, Duration::from_secs(3600), "a test's paused time");
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
#[must_use]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Returns the calendar time, UTC. For people and records only: it may jump, and no decision hangs on it.
///
/// ```
/// assert!(beluga_runtime::time::wall() > std::time::UNIX_EPOCH);
/// ```
#[must_use]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Waits. Cancel safe; millisecond resolution, never early.
///
/// See [`now`] for an example.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use = "a future does nothing unless polled"]
pub fn sleep(duration: Duration) -> Sleep {
    tokio::time::sleep(duration.min(SLEEP_MAX))
}

/// Waits until an instant of [`now`]'s clock. Cancel safe; ready at once if it has passed.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::time;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let start = time::now();
/// time::sleep_until(start + Duration::from_secs(5)).await;
/// time::sleep_until(start).await; // It has passed.
/// assert_eq!(time::now() - start, Duration::from_secs(5));
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside a tokio runtime.
#[must_use = "a future does nothing unless polled"]
pub fn sleep_until(instant: Instant) -> Sleep {
    tokio::time::sleep_until(tokio::time::Instant::from_std(instant))
}

/// Runs a future for at most `limit`, then drops it. As cancel safe as the future.
///
/// ```
/// use std::time::Duration;
/// use beluga_core::Code;
/// use beluga_runtime::time;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// assert_eq!(time::timeout(Duration::from_secs(1), async { 7 }).await?, 7);
/// let error = time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.unwrap_err();
/// assert_eq!((error.code(), error.get("limit_ms")), (Code::Timeout, Some("1000")));
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// `timeout` names the limit.
///
/// # Panics
/// Outside a tokio runtime.
pub fn timeout<F: Future>(limit: Duration, future: F) -> Timeout<F> {
    Timeout { future: tokio::time::timeout(limit.min(SLEEP_MAX), future), limit }
}

/// Runs a future until the call's deadline or cancellation, whichever is first, then drops it.
///
/// Cancellation is looked at before the future on every wake, the deadline after it.
///
/// ```
/// use std::time::Duration;
/// use beluga_core::{CallContext, Code};
/// use beluga_runtime::time;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let call = CallContext::new().with_timeout(time::now(), Duration::from_secs(5));
/// assert_eq!(time::within(&call, async { 7 }).await?, 7);
/// let error = time::within(&call, std::future::pending::<()>()).await.unwrap_err();
/// assert_eq!(error.code(), Code::Timeout);
/// call.cancel_token().cancel();
/// assert!(time::within(&call, async { 7 }).await.is_err());
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// `cancelled` or `timeout`.
pub fn within<F: Future>(context: &CallContext, future: F) -> Within<F> {
    Within {
        future,
        refused: context.check(now()).err(),
        cancelled: context.cancel_token().cancelled(),
        deadline: context.deadline(),
        sleep: None,
    }
}

// Futures of their own: an async function would keep room for what it is given twice.
pin_project! {
    /// The future of [`timeout`].
    ///
    /// See [`timeout`] for an example.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        future: tokio::time::Timeout<F>,
        limit: Duration,
    }
}

pin_project! {
    /// The future of [`within`].
    ///
    /// See [`within`] for an example.
    #[derive(Debug)]
    #[must_use = "a future does nothing unless polled"]
    pub struct Within<F> {
        #[pin]
        future: F,
        refused: Option<Error>,
        cancelled: Cancelled,
        deadline: Option<Instant>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<F::Output>> {
        let this = self.project();
        let limit = *this.limit;
        let ended = ready!(this.future.poll(cx));
        Poll::Ready(ended.map_err(|_| Error::timeout("no answer in time").with("limit_ms", limit.as_millis())))
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<F::Output>> {
        let mut this = self.project();
        if let Some(error) = this.refused.take() {
            return Poll::Ready(Err(error));
        }
        if Pin::new(this.cancelled).poll(cx).is_ready() {
            return Poll::Ready(Err(Error::cancelled("the call was cancelled")));
        }
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let Some(deadline) = *this.deadline else { return Poll::Pending };
        if this.sleep.is_none() {
            this.sleep.set(Some(sleep_until(deadline)));
        }
        if let Some(sleep) = this.sleep.as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        Poll::Ready(Err(Error::timeout("the deadline passed")))
    }
}

/// Returns a ticker: first tick after one period, and a late tick delays the following ones (no bursts).
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::time;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let (start, mut ticks) = (time::now(), time::interval(Duration::from_secs(2)));
/// ticks.tick().await;
/// ticks.tick().await;
/// assert_eq!(time::now() - start, Duration::from_secs(4));
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn interval(period: Duration) -> Interval {
    let period = period.clamp(INTERVAL_MIN, SLEEP_MAX);
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

/// Returns whether the entered runtime's clock stands still, as in a test with paused time.
///
/// Two readings with real time between them tell; no public call of tokio does. A multi-thread runtime cannot pause and
/// is not read.
///
/// ```
/// use beluga_runtime::{testkit, time};
///
/// assert!(!time::is_paused(), "there is no runtime");
/// testkit::run(1, |_system| async { assert!(time::is_paused()) });
/// ```
#[must_use]
pub fn is_paused() -> bool {
    let Ok(handle) = tokio::runtime::Handle::try_current() else { return false };
    if handle.runtime_flavor() != tokio::runtime::RuntimeFlavor::CurrentThread {
        return false;
    }
    let (first, real) = (now(), Instant::now());
    while Instant::now() == real {
        std::hint::spin_loop();
    }
    now() == first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sleeping_moves_paused_time_by_exactly_that_much() {
        let before = now();
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(now() - before, Duration::from_secs(3600));
        assert!(is_paused());
    }

    #[tokio::test]
    async fn a_running_clock_is_not_paused() {
        assert!(!is_paused());
    }

    #[test]
    fn the_clock_answers_without_a_runtime() {
        let before = now();
        assert!(now() >= before);
        assert!(!is_paused());
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_names_its_limit() {
        let error = timeout(Duration::from_millis(250), std::future::pending::<()>()).await.unwrap_err();
        assert_eq!((error.code(), error.get("limit_ms")), (beluga_core::Code::Timeout, Some("250")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline_or_its_cancellation() {
        let call = CallContext::new().with_timeout(now(), Duration::from_secs(5));
        let before = now();
        let error = within(&call, std::future::pending::<()>()).await.unwrap_err();
        assert_eq!((error.code(), now() - before), (beluga_core::Code::Timeout, Duration::from_secs(5)));

        let call = CallContext::new();
        let token = call.cancel_token().clone();
        let cancel = async {
            sleep(Duration::from_secs(1)).await;
            token.cancel();
        };
        let (outcome, ()) = tokio::join!(within(&call, std::future::pending::<()>()), cancel);
        assert!(outcome.unwrap_err().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_of_nothing_is_raised_to_its_minimum() {
        let before = now();
        interval(Duration::ZERO).tick().await;
        assert_eq!(now() - before, INTERVAL_MIN);
    }
}
