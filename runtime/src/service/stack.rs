//! The order of the layers, written once.
//!
//! Router level, outside in: trace → log → total deadline → fallback. Guards, cache and budget check stand between
//! deadline and fallback, hedging below the fallback; they belong to rooms that know what they guard.
//!
//! Provider level, outside in: admission → retry → trace of a try → breaker → budget → tenant limit → concurrency → rate
//! limit → time-outs of a try. One breaker permit and one reservation per try; an open breaker is not waited for, so a
//! fallback can go on at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::gate::weighed;
use super::{
    Admission, Concurrency, Content, Layer, Named, Observe, RateLimiter, RetryConfig, SharedService, TenantLimits,
    TimeoutConfig, Weigh, admission, breaker, concurrency, deadline, fallback, log, retry, timeout, trace,
};
use crate::breaker::Breaker;
use crate::random::SystemRandom;

/// The layers before one provider. `None` stacks nothing.
///
/// ```
/// # use beluga_runtime::service::{Admission, ProviderStack, RetryConfig, TimeoutConfig};
/// # use beluga_runtime::{Breaker, BreakerConfig, SystemRandom};
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let breaker = Breaker::new("vendor", BreakerConfig::default()); // Made by the supervisor, so it survives restarts.
/// let stack = ProviderStack {
///     admission: Some(Admission::new(100)),
///     retry: Some(RetryConfig { attempts: 3, ..RetryConfig::default() }),
///     breaker: Some(breaker.clone()),
///     timeout: Some(TimeoutConfig::default()),
///     ..ProviderStack::default()
/// };
/// let broken = service_fn(|(), _| one(async { Err::<Word, _>(Error::provider_unavailable("down")) }));
/// let service = stack.stack(broken, &SystemRandom::seeded(1));
/// let error = first(service.call((), CallContext::new())).await.err().unwrap();
/// assert_eq!((error.get("tries"), breaker.status().failures), (Some("3"), 3), "one permit for each try");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub struct ProviderStack<Req, Item> {
    /// The bound of calls in flight, waiting ones included.
    pub admission: Option<Arc<Admission>>,
    /// Tries after retryable errors.
    pub retry: Option<RetryConfig>,
    /// Records each try.
    pub observer: Option<Arc<dyn Observe<Req, Item>>>,
    /// The breaker of the provider's supervisor.
    pub breaker: Option<Arc<Breaker>>,
    /// Reserves before each try what it may cost and settles what it did. A layer of the room that knows costs.
    pub budget: Option<Layer<SharedService<Req, Item>>>,
    /// Limits per minute of each tenant.
    pub tenant_limits: Option<Arc<TenantLimits>>,
    /// Tells what a call will weigh at least, before it is made; asked where there is a limit of tokens.
    pub weigh: Option<Weigh<Req>>,
    /// The bound of calls at once.
    pub concurrency: Option<Arc<Concurrency>>,
    /// Limits per minute of the credential.
    pub rate_limit: Option<Arc<RateLimiter>>,
    /// Time limits of one try.
    pub timeout: Option<TimeoutConfig>,
}

impl<Req, Item> Default for ProviderStack<Req, Item> {
    /// Returns a stack of no layers.
    fn default() -> Self {
        Self {
            admission: None,
            retry: None,
            observer: None,
            breaker: None,
            budget: None,
            tenant_limits: None,
            weigh: None,
            concurrency: None,
            rate_limit: None,
            timeout: None,
        }
    }
}

impl<Req, Item> ProviderStack<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + 'static,
{
    /// Stacks the layers on a provider.
    pub fn stack(self, provider: SharedService<Req, Item>, random: &SystemRandom) -> SharedService<Req, Item> {
        let mut service = provider;
        if let Some(config) = self.timeout {
            service = timeout(service, config);
        }
        if let Some(limiter) = self.rate_limit {
            service = weighed(service, limiter, self.weigh.clone());
        }
        if let Some(limit) = self.concurrency {
            service = concurrency(service, limit);
        }
        if let Some(limits) = self.tenant_limits {
            service = weighed(service, limits, self.weigh);
        }
        if let Some(budget) = self.budget {
            service = budget.wrap(service);
        }
        if let Some(guard) = self.breaker {
            service = breaker(service, guard);
        }
        if let Some(observer) = self.observer {
            service = trace(service, observer, random.fork());
        }
        if let Some(config) = self.retry {
            service = retry(service, config, random.fork());
        }
        if let Some(bound) = self.admission {
            service = admission(service, bound);
        }
        service
    }
}

impl<Req, Item> fmt::Debug for ProviderStack<Req, Item> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderStack")
            .field("admission", &self.admission)
            .field("retry", &self.retry)
            .field("breaker", &self.breaker)
            .field("budget", &self.budget)
            .field("tenant_limits", &self.tenant_limits)
            .field("concurrency", &self.concurrency)
            .field("rate_limit", &self.rate_limit)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The layers before all providers of a call.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::SystemRandom;
/// # use beluga_runtime::service::{Named, RouterStack};
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let broken = service_fn(|(), _| one(async { Err::<Word, _>(Error::provider_unavailable("down")) }));
/// let healthy = service_fn(|(), _| one(async { Ok(Word("hello")) }));
/// let router = RouterStack { total: Some(Duration::from_secs(60)), ..RouterStack::default() };
/// let fallbacks = vec![Named::new("second", healthy)];
/// let service = router.stack(Named::new("first", broken), fallbacks, &SystemRandom::seeded(1));
/// assert_eq!(first(service.call((), CallContext::new())).await?.0, "hello");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub struct RouterStack<Req, Item> {
    /// Records the call.
    pub observer: Option<Arc<dyn Observe<Req, Item>>>,
    /// Logs the call under this name.
    pub log: Option<Arc<str>>,
    /// The most time of the whole call. The deadline layer is stacked in any case: it enforces the context.
    pub total: Option<Duration>,
}

impl<Req, Item> Default for RouterStack<Req, Item> {
    /// Returns a stack that enforces the context and nothing else.
    fn default() -> Self {
        Self { observer: None, log: None, total: None }
    }
}

impl<Req, Item> RouterStack<Req, Item>
where
    Req: Clone + Send + Sync + Unpin + 'static,
    Item: Content + Send + 'static,
{
    /// Stacks the layers on a provider and those that may answer for it.
    pub fn stack(
        self,
        first: Named<Req, Item>,
        fallbacks: Vec<Named<Req, Item>>,
        random: &SystemRandom,
    ) -> SharedService<Req, Item> {
        let mut service = deadline(fallback(first, fallbacks), self.total);
        if let Some(name) = self.log {
            service = log(service, name);
        }
        if let Some(observer) = self.observer {
            service = trace(service, observer, random.fork());
        }
        service
    }
}

impl<Req, Item> fmt::Debug for RouterStack<Req, Item> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterStack").field("log", &self.log).field("total", &self.total).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use beluga_core::{CallContext, Code, Error, Retry};
    use futures_util::{FutureExt, StreamExt};

    use super::*;
    use crate::backoff::Backoff;
    use crate::breaker::{BreakerConfig, BreakerState};
    use crate::service::RateLimitConfig;
    use crate::service::testing::{self, Script, fails, hang, items};
    use crate::time;

    struct Provider {
        script: Script,
        breaker: Arc<Breaker>,
        admission: Arc<Admission>,
        concurrency: Arc<Concurrency>,
        service: SharedService<(), testing::Item>,
    }

    fn provider(script: Script) -> Provider {
        let breaker = Breaker::new("test", BreakerConfig::default());
        let (admission, concurrency) = (Admission::new(10), Concurrency::new(2, 10));
        let exact = Backoff { jitter: 0.0, ..Backoff::default() };
        let stack = ProviderStack {
            admission: Some(Arc::clone(&admission)),
            retry: Some(RetryConfig { backoff: exact, ..RetryConfig::default() }),
            observer: None,
            breaker: Some(Arc::clone(&breaker)),
            budget: None,
            tenant_limits: Some(TenantLimits::new(RateLimitConfig::default())),
            weigh: None,
            concurrency: Some(Arc::clone(&concurrency)),
            rate_limit: Some(RateLimiter::new(RateLimitConfig::default())),
            timeout: Some(TimeoutConfig { first_item: Some(Duration::from_secs(10)), ..TimeoutConfig::default() }),
        };
        let service = stack.stack(script.service(), &SystemRandom::seeded(1));
        Provider { script, breaker, admission, concurrency, service }
    }

    #[tokio::test(start_paused = true)]
    async fn each_try_takes_one_permit_and_an_open_breaker_ends_the_tries() {
        let provider = provider(Script::repeat(|| fails(Error::provider_unavailable("down"))));
        let first = provider.service.call((), CallContext::new()).next().await.unwrap().unwrap_err();
        assert_eq!((first.retry(), provider.breaker.status().failures), (Retry::Exhausted, 3));
        let started = time::now();
        let second = provider.service.call((), CallContext::new()).next().await.unwrap().unwrap_err();
        assert_eq!(second.code(), Code::CircuitOpen, "the fifth failure opened it, the sixth try met it");
        assert_eq!((provider.script.calls(), (time::now() - started).as_millis()), (5, 1_500));
        assert_eq!(provider.breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hanging_try_is_cut_and_the_next_one_answers() {
        let provider = provider(Script::new(vec![hang(), items([1, 2])]));
        let started = time::now();
        assert_eq!(provider.service.call((), CallContext::new()).count().await, 2);
        assert_eq!((time::now() - started).as_millis(), 10_500);
        assert_eq!(provider.breaker.status().failures, 0, "the success forgave the failure");
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_outer_stream_returns_everything_at_once() {
        let provider = provider(Script::repeat(|| items([1]).chain(hang()).boxed()));
        let mut stream = provider.service.call((), CallContext::new());
        stream.next().await.unwrap().unwrap();
        assert!(stream.next().now_or_never().is_none());
        assert_eq!((provider.admission.in_flight(), provider.concurrency.free(), provider.script.live()), (1, 1, 1));
        drop(stream);
        assert_eq!((provider.admission.in_flight(), provider.concurrency.free(), provider.script.live()), (0, 2, 0));
        assert_eq!(provider.breaker.status().failures, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_router_falls_back_from_an_open_breaker_and_keeps_the_total() {
        let broken = provider(Script::repeat(|| fails(Error::provider_unavailable("down"))));
        broken.breaker.trip(Duration::from_secs(60));
        let healthy = provider(Script::new(vec![items([7]), hang()]));
        let router =
            RouterStack { log: Some("model".into()), total: Some(Duration::from_secs(4)), ..Default::default() }.stack(
                Named::new("broken", broken.service),
                vec![Named::new("healthy", healthy.service)],
                &SystemRandom::seeded(1),
            );
        let started = time::now();
        assert_eq!(router.call((), CallContext::new()).next().await.unwrap().unwrap(), 7.into());
        assert_eq!((time::now(), broken.script.calls()), (started, 0));
        let error = router.call((), CallContext::new()).next().await.unwrap().unwrap_err();
        assert_eq!((error.code(), (time::now() - started).as_secs()), (Code::Timeout, 4));
        assert_eq!(healthy.script.live(), 0);
    }

    #[tokio::test]
    async fn an_empty_stack_is_the_provider_itself() {
        let inner = Script::repeat(hang).service();
        let stacked = ProviderStack::default().stack(Arc::clone(&inner), &SystemRandom::seeded(1));
        assert!(Arc::ptr_eq(&inner, &stacked));
    }
}
