//! Keeps a vendor's limits per minute: requests, tokens, and the pause it asked for.

mod bucket;
mod tenants;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beluga_core::{CallContext, Code, Error, Result, Retry};
use parking_lot::Mutex;

use self::bucket::Bucket;
pub use self::tenants::{TENANTS_MAX, TenantLimits, tenant_rate_limit};
use super::gate::{Entry, Gate, Pass, gated};
use super::{Content, SharedService};
use crate::time;

/// The share of a new observation in the running estimate of a call's weight.
const ESTIMATE_GAIN: f64 = 0.2;

/// The limits of one credential, or of one tenant.
///
/// See [`rate_limit`](rate_limit()) for an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimitConfig {
    /// Requests per minute; `None` is no limit.
    pub requests_per_minute: Option<u32>,
    /// Tokens per minute, as [`Content::weight`] tells them; `None` is no limit.
    pub tokens_per_minute: Option<u64>,
    /// The least pause after the vendor answered `rate_limit`; a longer `Retry-After` prevails. `None` makes no pause.
    pub cooldown: Option<Duration>,
    /// The longest pause a vendor's `Retry-After` can cause.
    pub cooldown_max: Duration,
    /// The longest a call may wait here, whatever its deadline.
    pub wait_max: Duration,
    /// How many calls may wait here.
    pub waiting_max: usize,
}

impl Default for RateLimitConfig {
    /// Returns no limits, a pause of 1 s to 5 min after a 429, and 1,000 calls that wait up to 60 s.
    fn default() -> Self {
        Self {
            requests_per_minute: None,
            tokens_per_minute: None,
            cooldown: Some(Duration::from_secs(1)),
            cooldown_max: Duration::from_secs(300),
            wait_max: Duration::from_secs(60),
            waiting_max: 1_000,
        }
    }
}

/// The state of the limits: two token buckets and a pause, of constant size.
///
/// A bucket holds one minute's worth and refills evenly, as the vendors' own do. A call takes its place when it comes,
/// so the order of arrival is kept. Tokens are reserved by the running mean of earlier calls, or by what the call is known
/// to weigh at least if that is more, and settled by what it really used; a call above the limit leaves a debt that the following ones wait for, it never waits for ever.
///
/// See [`rate_limit`](rate_limit()) for an example.
pub struct RateLimiter {
    config: RateLimitConfig,
    state: Mutex<State>,
}

struct State {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    /// The mean weight of a call, in tokens.
    estimate: f64,
    /// Until when the vendor wants no calls.
    paused_until: Option<Instant>,
    waiting: usize,
}

impl RateLimiter {
    /// Makes full buckets.
    #[must_use]
    pub fn new(config: RateLimitConfig) -> Arc<Self> {
        let now = time::now();
        #[allow(clippy::cast_precision_loss)] // No vendor's limit needs 53 bits.
        let tokens = config.tokens_per_minute.map(|limit| limit.max(1) as f64);
        let state = State {
            requests: config.requests_per_minute.map(|limit| Bucket::new(f64::from(limit.max(1)), now)),
            tokens: tokens.map(|limit| Bucket::new(limit, now)),
            // Until the first call has told its weight: small, so that a small limit is not used up by a guess.
            estimate: tokens.map_or(0.0, |limit| (limit / 10.0).min(1_000.0)),
            paused_until: None,
            waiting: 0,
        };
        Arc::new(Self { config, state: Mutex::new(state) })
    }

    /// Returns how many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// Returns whether nobody waits and the buckets are full: such a limiter can be made anew without a difference.
    fn is_idle(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let State { requests, tokens, paused_until, waiting, .. } = &mut *state;
        *waiting == 0
            && paused_until.is_none_or(|until| until <= now)
            && [requests, tokens].into_iter().flatten().all(|bucket| bucket.is_full(now))
    }

    fn admit(self: &Arc<Self>, context: &CallContext, weight: &dyn Fn() -> u64) -> Entry<Lease> {
        let weight = if self.config.tokens_per_minute.is_some() { weight() } else { 0 };
        let now = time::now();
        let mut state = self.state.lock();
        let wait = state.wait(now);
        if !wait.is_zero()
            && let Err(error) = self.may_wait(&state, wait, now, context)
        {
            return Entry::Now(Err(error));
        }
        let (limiter, reserved, made) = (Arc::clone(self), state.take(weight, now), wait.is_zero());
        let lease = Lease { limiter, reserved, made, used: None, has_content: false };
        if made {
            return Entry::Now(Ok(lease));
        }
        state.waiting += 1;
        Entry::Later(Box::pin(wait_for(Waiting(lease.limiter.clone()), lease, wait, context.clone())))
    }

    fn may_wait(&self, state: &State, wait: Duration, now: Instant, context: &CallContext) -> Result<()> {
        if state.waiting >= self.config.waiting_max {
            return Err(refusal("too many calls wait for the rate limit", wait));
        }
        if wait > self.config.wait_max || context.remaining(now).is_some_and(|remaining| wait >= remaining) {
            return Err(refusal("the rate limit leaves no room in time", wait));
        }
        Ok(())
    }

    /// Begins or prolongs the pause a vendor's answer asks for.
    fn pause(&self, error: &Error) {
        let (Some(least), Code::RateLimit) = (self.config.cooldown, error.code()) else { return };
        let asked = match error.retry() {
            Retry::After(asked) => asked,
            _ => Duration::ZERO,
        };
        let Some(until) = time::now().checked_add(asked.max(least).min(self.config.cooldown_max)) else { return };
        let mut state = self.state.lock();
        state.paused_until = Some(state.paused_until.map_or(until, |current| current.max(until)));
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter").field("config", &self.config).field("waiting", &self.waiting()).finish()
    }
}

impl State {
    /// Returns how long a call that comes now has to wait.
    fn wait(&mut self, now: Instant) -> Duration {
        let requests = self.requests.as_mut().map_or(Duration::ZERO, |bucket| bucket.wait(1.0, now));
        // Tokens may be borrowed: it is enough that the debt is paid and something is left.
        let tokens = self.tokens.as_mut().map_or(Duration::ZERO, |bucket| bucket.wait(1.0, now));
        requests.max(tokens).max(self.pause_left(now))
    }

    fn pause_left(&self, now: Instant) -> Duration {
        self.paused_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// Takes one request and the tokens it will weigh, estimated or known; returns the latter.
    fn take(&mut self, weight: u64, now: Instant) -> f64 {
        if let Some(bucket) = &mut self.requests {
            bucket.take(1.0, now);
        }
        let Some(bucket) = &mut self.tokens else { return 0.0 };
        #[allow(clippy::cast_precision_loss)] // No call has 2⁵³ tokens.
        let reserved = self.estimate.max(weight as f64).min(bucket.capacity());
        bucket.take(reserved, now);
        reserved
    }
}

/// Lets calls pass as the limits allow; the others wait in the order they came, at most to their deadline.
///
/// A `rate_limit` error from inside starts a pause for all calls. Tokens are settled when the stream ends or is dropped.
///
/// Errors: `rate_limit`, with the time until there is room, if a call would wait too long or too many wait.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::service::{RateLimitConfig, RateLimiter, rate_limit};
/// # use beluga_runtime::time;
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let limits = RateLimitConfig { requests_per_minute: Some(60), ..RateLimitConfig::default() };
/// let service = rate_limit(service_fn(|(), _| one(async { Ok(Word("hello")) })), RateLimiter::new(limits));
/// let started = time::now();
/// for _ in 0..62 {
///     first(service.call((), CallContext::new())).await?;
/// }
/// assert_eq!((time::now() - started).as_secs(), 2, "a minute's worth at once, then one a second");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn rate_limit<Req, Item>(inner: SharedService<Req, Item>, limiter: Arc<RateLimiter>) -> SharedService<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
{
    gated(inner, limiter)
}

impl Gate for RateLimiter {
    type Pass = Lease;

    fn enter(self: &Arc<Self>, context: &CallContext) -> Entry<Lease> {
        self.admit(context, &|| 0)
    }

    fn enter_weighed(self: &Arc<Self>, context: &CallContext, weight: &dyn Fn() -> u64) -> Entry<Lease> {
        self.admit(context, weight)
    }
}

fn refusal(message: &'static str, wait: Duration) -> Error {
    Error::new(Code::RateLimit, message).with_retry(Retry::After(wait))
}

async fn wait_for(waiting: Waiting, mut lease: Lease, mut wait: Duration, context: CallContext) -> Result<Lease> {
    let began = time::now();
    loop {
        time::within(&context, time::sleep(wait)).await?;
        // A pause may have begun meanwhile.
        let now = time::now();
        wait = waiting.0.state.lock().pause_left(now);
        if wait.is_zero() {
            lease.made = true;
            return Ok(lease);
        }
        let too_long = now.saturating_duration_since(began) + wait > waiting.0.config.wait_max;
        if too_long || context.remaining(now).is_some_and(|remaining| wait >= remaining) {
            return Err(refusal("the rate limit leaves no room in time", wait));
        }
    }
}

/// Counts a waiting call; it stops counting when it drops.
struct Waiting(Arc<RateLimiter>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
    }
}

/// What one call has taken from the buckets. It settles when it drops.
pub(super) struct Lease {
    limiter: Arc<RateLimiter>,
    reserved: f64,
    /// Whether the call was made, or left while it waited.
    made: bool,
    /// The weight told last.
    used: Option<u64>,
    has_content: bool,
}

impl Lease {
    /// Returns what the call cost, in tokens: what it told; without that the reservation if there was an answer.
    fn cost(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // No call has 2⁵³ tokens.
        match self.used {
            Some(used) => used as f64,
            None if self.has_content => self.reserved,
            None => 0.0,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = time::now();
        let mut state = self.limiter.state.lock();
        let State { requests, tokens, estimate, .. } = &mut *state;
        if let (Some(bucket), false) = (requests, self.made) {
            bucket.give(1.0);
        }
        let Some(bucket) = tokens else { return };
        let cost = self.cost();
        if self.used.is_some() {
            *estimate += ESTIMATE_GAIN * (cost - *estimate);
        }
        bucket.take(cost - self.reserved, now);
    }
}

impl Pass for Lease {
    fn item(&mut self, item: &impl Content) {
        self.has_content |= item.is_content();
        if let Some(used) = item.weight() {
            self.used = Some(used);
        }
    }

    fn ended(self, error: Option<&Error>, _context: &CallContext) {
        if let Some(error) = error {
            self.limiter.pause(error);
        }
    }
}

#[cfg(test)]
mod tests;
