//! The circuit breaker: stop asking what keeps failing, and probe it carefully later.
//!
//! A breaker belongs to the supervisor of what it protects, so it survives restarts; callers hold it by [`Arc`] and
//! take one [`Permit`] per try. Closed counts failures in a row; open refuses at once with the time to wait; half open
//! admits exactly `half_open_max` probes and closes when all of them succeeded. A verdict that arrives after the state
//! changed belongs to the past and is ignored. Limits: no history is kept, only counters.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beluga_core::{Code, Error, Result, Retry};
use serde::Serialize;

use crate::sync::Mutex;
use crate::time;

/// The wait told to callers while all probes of a half-open breaker are out, unless the reset time-out is shorter.
pub const PROBE_WAIT: Duration = Duration::from_secs(1);

/// When a breaker opens, for how long, and how it is probed.
///
/// See [`Breaker`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open it; 0 counts as 1.
    pub max_failures: u32,
    /// How long it stays open before it is probed.
    pub reset_timeout: Duration,
    /// How many probes are admitted while half open, all of which must succeed; 0 counts as 1.
    pub half_open_max: u32,
}

impl Default for BreakerConfig {
    /// Returns 5 failures, 30 s, one probe.
    fn default() -> Self {
        Self { max_failures: 5, reset_timeout: Duration::from_secs(30), half_open_max: 1 }
    }
}

/// What a breaker does with the next call.
///
/// See [`Breaker`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are refused with `circuit_open`.
    Open,
    /// A few probes pass, other calls are refused.
    HalfOpen,
}

/// A breaker as introspection shows it.
///
/// See [`Breaker`] for an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BreakerStatus {
    /// What it does with the next call.
    pub state: BreakerState,
    /// Failures in a row, counted while closed.
    pub failures: u32,
    /// How often it has opened since it was made.
    pub opened: u64,
    /// The time until it may be probed, in milliseconds; 0 unless it is open.
    pub retry_after_ms: u64,
}

/// Protects callers from something that keeps failing, and that from its callers.
///
/// ```
/// use std::sync::Arc;
/// use beluga_runtime::{Breaker, BreakerConfig, BreakerState};
///
/// let breaker = Breaker::new("groq", BreakerConfig { max_failures: 2, ..BreakerConfig::default() });
/// breaker.try_acquire()?.failure();
/// drop(breaker.try_acquire()?); // No verdict: not counted.
/// breaker.try_acquire()?.failure();
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert_eq!(breaker.try_acquire().unwrap_err().code(), beluga_core::Code::CircuitOpen);
/// # Ok::<(), beluga_core::Error>(())
/// ```
pub struct Breaker {
    name: Arc<str>,
    config: BreakerConfig,
    inner: Mutex<Inner>,
}

struct Inner {
    phase: Phase,
    /// Counts changes of the phase: a permit of an earlier one has no say any more.
    generation: u64,
    opened: u64,
}

#[derive(Clone, Copy)]
enum Phase {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { out: u32, succeeded: u32 },
}

impl Breaker {
    /// Makes a closed breaker. The name shows in its errors and log lines.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, config: BreakerConfig) -> Arc<Self> {
        let config = BreakerConfig {
            max_failures: config.max_failures.max(1),
            half_open_max: config.half_open_max.max(1),
            ..config
        };
        let inner = Inner { phase: Phase::Closed { failures: 0 }, generation: 0, opened: 0 };
        Arc::new(Self { name: name.into(), config, inner: Mutex::new(inner) })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Asks to make one try. The verdict is given to the permit.
    ///
    /// # Errors
    /// `circuit_open`, with the time until the next probe.
    pub fn try_acquire(self: &Arc<Self>) -> Result<Permit> {
        let mut inner = self.inner.lock();
        if let Phase::Open { until } = inner.phase {
            let remaining = until.saturating_duration_since(time::now());
            if !remaining.is_zero() {
                return Err(self.refusal(remaining));
            }
            inner.enter(Phase::HalfOpen { out: 0, succeeded: 0 });
        }
        if let Phase::HalfOpen { out, succeeded } = &mut inner.phase {
            if *out + *succeeded >= self.config.half_open_max {
                return Err(self.refusal(PROBE_WAIT.min(self.config.reset_timeout)));
            }
            *out += 1;
        }
        Ok(Permit { breaker: Arc::clone(self), generation: inner.generation, settled: false })
    }

    /// Opens the breaker from outside, as when restart intensity is used up.
    pub fn trip(&self, reset_after: Duration) {
        let change = open(&mut self.inner.lock(), reset_after);
        self.announce(change);
    }

    /// Closes the breaker from outside and forgets all failures.
    pub fn reset(&self) {
        self.inner.lock().enter(Phase::Closed { failures: 0 });
    }

    /// Returns what it does with the next call. An open breaker whose time is up shows as half open.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.status().state
    }

    /// Returns state and counters.
    #[must_use]
    pub fn status(&self) -> BreakerStatus {
        let inner = self.inner.lock();
        let (state, failures, wait) = match inner.phase {
            Phase::Closed { failures } => (BreakerState::Closed, failures, Duration::ZERO),
            Phase::HalfOpen { .. } => (BreakerState::HalfOpen, 0, Duration::ZERO),
            Phase::Open { until } => match until.saturating_duration_since(time::now()) {
                Duration::ZERO => (BreakerState::HalfOpen, 0, Duration::ZERO),
                wait => (BreakerState::Open, 0, wait),
            },
        };
        let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        BreakerStatus { state, failures, opened: inner.opened, retry_after_ms }
    }

    fn refusal(&self, wait: Duration) -> Error {
        Error::new(Code::CircuitOpen, "the circuit breaker is open")
            .with("breaker", &self.name)
            .with_retry(Retry::After(wait))
    }

    fn settle(&self, generation: u64, verdict: Verdict) {
        let change = {
            let mut inner = self.inner.lock();
            if inner.generation != generation {
                return;
            }
            self.judge(&mut inner, verdict)
        };
        self.announce(change);
    }

    fn judge(&self, inner: &mut Inner, verdict: Verdict) -> Change {
        match (&mut inner.phase, verdict) {
            (Phase::Closed { failures }, Verdict::Success) => *failures = 0,
            (Phase::Closed { failures }, Verdict::Failure) => {
                *failures += 1;
                if *failures >= self.config.max_failures {
                    return open(inner, self.config.reset_timeout);
                }
            }
            (Phase::HalfOpen { out, succeeded }, Verdict::Success) => {
                *out -= 1;
                *succeeded += 1;
                if *succeeded >= self.config.half_open_max {
                    inner.enter(Phase::Closed { failures: 0 });
                    return Change::Closed;
                }
            }
            (Phase::HalfOpen { .. }, Verdict::Failure) => return open(inner, self.config.reset_timeout),
            (Phase::HalfOpen { out, .. }, Verdict::Ignore) => *out -= 1,
            (Phase::Closed { .. }, Verdict::Ignore) | (Phase::Open { .. }, _) => {}
        }
        Change::None
    }

    /// Logs a change; never under the lock, because a subscriber is code of somebody else.
    fn announce(&self, change: Change) {
        match change {
            Change::None => {}
            Change::Closed => tracing::info!(breaker = %self.name, "circuit breaker closed"),
            Change::Opened(reset_after) => {
                tracing::warn!(breaker = %self.name, reset_ms = reset_after.as_millis(), "circuit breaker opened");
            }
        }
    }
}

fn open(inner: &mut Inner, reset_after: Duration) -> Change {
    let now = time::now();
    let until = now.checked_add(reset_after.min(time::SLEEP_MAX)).unwrap_or(now);
    inner.enter(Phase::Open { until });
    inner.opened += 1;
    Change::Opened(reset_after)
}

impl Inner {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.name).field("status", &self.status()).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
#[must_use]
enum Change {
    None,
    Closed,
    Opened(Duration),
}

enum Verdict {
    Success,
    Failure,
    Ignore,
}

/// The right to make one try. Dropped without a verdict it counts as ignored, and a probe's place is free again.
///
/// ```
/// # use beluga_core::Error;
/// # use beluga_runtime::{Breaker, BreakerConfig};
/// let breaker = Breaker::new("groq", BreakerConfig::default());
/// breaker.try_acquire()?.settle(&Error::timeout("no answer in time"));
/// breaker.try_acquire()?.settle(&Error::invalid_input("no such model")); // The caller's fault: not counted.
/// assert_eq!(breaker.status().failures, 1);
/// breaker.try_acquire()?.success();
/// assert_eq!(breaker.status().failures, 0);
/// # Ok::<(), Error>(())
/// ```
#[must_use = "a permit without a verdict is not counted"]
pub struct Permit {
    breaker: Arc<Breaker>,
    generation: u64,
    settled: bool,
}

impl Permit {
    /// Says that the try succeeded.
    pub fn success(self) {
        self.give(Verdict::Success);
    }

    /// Says that the try failed.
    pub fn failure(self) {
        self.give(Verdict::Failure);
    }

    /// Says that the try tells nothing about what is protected, as when the caller gave up.
    pub fn ignore(self) {
        self.give(Verdict::Ignore);
    }

    /// Judges a failed try by [`failure_counts`].
    pub fn settle(self, error: &Error) {
        if failure_counts(error) { self.failure() } else { self.ignore() }
    }

    fn give(mut self, verdict: Verdict) {
        self.settled = true;
        self.breaker.settle(self.generation, verdict);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.settle(self.generation, Verdict::Ignore);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("breaker", &self.breaker.name).finish_non_exhaustive()
    }
}

/// Returns whether an error says that the thing called is unwell.
///
/// Not counted, because the callee answered as it should, or was never asked:
/// - the caller gave up: `cancelled`;
/// - the request was wrong or not allowed: `invalid_input`, `auth_error`, `permission_denied`, `not_found`, `conflict`,
///   `context_length`, `unsupported`, `config`;
/// - a policy refused: `guard_blocked`, `content_filtered`, `budget_exhausted`, `turn_poisoned`;
/// - a limit did its work, the node's or the vendor's: `rate_limit`, `overloaded` (a vendor's "overloaded" answer is to
///   be reported as `provider_unavailable`);
/// - another breaker refused: `circuit_open`.
///
/// Everything else counts: `timeout`, `provider_unavailable`, `unavailable`, `not_sent`, `unknown_outcome`, `decode`
/// (garbage instead of an answer), `tool_failed`, `internal`, and codes added later.
///
/// ```
/// use beluga_core::Error;
/// use beluga_runtime::failure_counts;
///
/// assert!(failure_counts(&Error::timeout("no answer in time")));
/// assert!(!failure_counts(&Error::cancelled("the caller left")));
/// ```
#[must_use]
pub fn failure_counts(error: &Error) -> bool {
    !matches!(
        error.code(),
        Code::Cancelled
            | Code::InvalidInput
            | Code::AuthError
            | Code::PermissionDenied
            | Code::NotFound
            | Code::Conflict
            | Code::ContextLength
            | Code::Unsupported
            | Code::Config
            | Code::GuardBlocked
            | Code::ContentFiltered
            | Code::BudgetExhausted
            | Code::TurnPoisoned
            | Code::RateLimit
            | Code::Overloaded
            | Code::CircuitOpen
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(half_open_max: u32) -> Arc<Breaker> {
        Breaker::new("test", BreakerConfig { half_open_max, ..BreakerConfig::default() })
    }

    fn fail(breaker: &Arc<Breaker>, times: u32) {
        for _ in 0..times {
            breaker.try_acquire().unwrap().failure();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn breaker_opens_after_five_failures_in_a_row() {
        let breaker = breaker(1);
        fail(&breaker, 4);
        breaker.try_acquire().unwrap().success();
        fail(&breaker, 4);
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&breaker, 1);
        assert_eq!(breaker.state(), BreakerState::Open);
        time::sleep(Duration::from_secs(10)).await;
        let error = breaker.try_acquire().unwrap_err();
        assert_eq!((error.code(), error.retry()), (Code::CircuitOpen, Retry::After(Duration::from_secs(20))));
        assert_eq!(breaker.status().retry_after_ms, 20_000);
    }

    #[tokio::test(start_paused = true)]
    async fn half_open_admits_exactly_n_of_a_thousand_concurrent_calls() {
        for admitted in [1, 3] {
            let breaker = breaker(admitted);
            fail(&breaker, 5);
            time::sleep(Duration::from_secs(30)).await;
            let start = Arc::new(std::sync::Barrier::new(8));
            let permits: Vec<Permit> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|_| {
                        let (breaker, start) = (Arc::clone(&breaker), Arc::clone(&start));
                        let runtime = tokio::runtime::Handle::current();
                        scope.spawn(move || {
                            let _entered = runtime.enter();
                            start.wait();
                            (0..125).filter_map(|_| breaker.try_acquire().ok()).collect::<Vec<_>>()
                        })
                    })
                    .collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(permits.len(), usize::try_from(admitted).unwrap());
            permits.into_iter().for_each(Permit::success);
            assert_eq!(breaker.state(), BreakerState::Closed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_probe_opens_the_breaker_again_for_the_whole_time() {
        let breaker = breaker(2);
        fail(&breaker, 5);
        time::sleep(Duration::from_secs(30)).await;
        let other = breaker.try_acquire().unwrap();
        fail(&breaker, 1);
        assert_eq!(breaker.status().retry_after_ms, 30_000);
        other.success();
        assert_eq!(breaker.state(), BreakerState::Open, "the other probe's verdict came too late");
        assert_eq!(breaker.status().opened, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_without_verdict_gives_its_place_back() {
        let breaker = breaker(1);
        fail(&breaker, 5);
        time::sleep(Duration::from_secs(30)).await;
        let probe = breaker.try_acquire().unwrap();
        assert_eq!(breaker.try_acquire().unwrap_err().retry(), Retry::After(PROBE_WAIT));
        drop(probe);
        breaker.try_acquire().unwrap().ignore();
        breaker.try_acquire().unwrap().success();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn verdicts_of_calls_from_before_the_opening_are_ignored() {
        let breaker = breaker(1);
        let (slow_success, slow_failure) = (breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap());
        fail(&breaker, 5);
        time::sleep(Duration::from_secs(30)).await;
        let probe = breaker.try_acquire().unwrap();
        slow_failure.failure();
        slow_success.success();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        probe.success();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tripped_breaker_is_probed_after_the_given_time_and_can_be_reset() {
        let breaker = breaker(1);
        breaker.trip(Duration::from_secs(7));
        assert_eq!(breaker.status().retry_after_ms, 7_000);
        breaker.reset();
        breaker.try_acquire().unwrap().success();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_callers_cancellation_and_bad_requests_are_no_failures() {
        let breaker = breaker(1);
        for code in [Code::Cancelled, Code::InvalidInput, Code::NotFound, Code::ContextLength, Code::RateLimit] {
            for _ in 0..10 {
                breaker.try_acquire().unwrap().settle(&Error::new(code, "test"));
            }
        }
        assert_eq!(breaker.status().failures, 0);
        for code in [Code::Timeout, Code::ProviderUnavailable, Code::Decode, Code::Internal, Code::NotSent] {
            breaker.try_acquire().unwrap().settle(&Error::new(code, "test"));
        }
        assert_eq!(breaker.state(), BreakerState::Open);
    }
}
