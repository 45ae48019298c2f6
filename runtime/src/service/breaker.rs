//! Takes one permit of a circuit breaker per try.

use std::sync::Arc;

use beluga_core::{CallContext, Error};

use super::gate::{Entry, Gate, Pass, gated};
use super::{Content, SharedService};
use crate::breaker::{Breaker, Permit};
use crate::time;

/// Asks the breaker before each call and tells it how the call ended.
///
/// A stream that ends well is a success. An error counts as [`failure_counts`](crate::failure_counts) says, unless the
/// call itself was cancelled or its deadline had passed: that is the caller's haste. A dropped stream is not counted.
///
/// Errors: `circuit_open`, with the time until the next probe.
///
/// ```
/// # use beluga_runtime::service::breaker;
/// # use beluga_runtime::{Breaker, BreakerConfig};
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let guard = Breaker::new("groq", BreakerConfig { max_failures: 1, ..BreakerConfig::default() });
/// let broken = service_fn(|(), _| one(async { Err::<Word, _>(Error::provider_unavailable("down")) }));
/// let service = breaker(broken, guard);
/// let code = async || first(service.call((), CallContext::new())).await.err().map(|error| error.code());
/// assert_eq!(code().await, Some(Code::ProviderUnavailable));
/// assert_eq!(code().await, Some(Code::CircuitOpen), "it is not asked any more");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn breaker<Req, Item>(inner: SharedService<Req, Item>, breaker: Arc<Breaker>) -> SharedService<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
{
    gated(inner, breaker)
}

impl Gate for Breaker {
    type Pass = Permit;

    fn enter(self: &Arc<Self>, _context: &CallContext) -> Entry<Permit> {
        Entry::Now(self.try_acquire())
    }
}

impl Pass for Permit {
    fn ended(self, error: Option<&Error>, context: &CallContext) {
        match error {
            None => self.success(),
            Some(_) if context.check(time::now()).is_err() => self.ignore(),
            Some(error) => self.settle(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beluga_core::{Code, Retry};
    use futures_util::StreamExt;

    use super::*;
    use crate::breaker::{BreakerConfig, BreakerState};
    use crate::service::testing::{Script, fails, hang, items};

    #[tokio::test(start_paused = true)]
    async fn a_failing_service_is_not_asked_while_the_breaker_is_open_and_probed_once_after() {
        let guard = Breaker::new("test", BreakerConfig::default());
        let script = Script::repeat(|| fails(Error::provider_unavailable("down")));
        let service = super::breaker(script.service(), Arc::clone(&guard));
        for _ in 0..5 {
            service.call((), CallContext::new()).next().await.unwrap().unwrap_err();
        }
        let error = service.call((), CallContext::new()).next().await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.retry()), (Code::CircuitOpen, Retry::After(Duration::from_secs(30))));
        assert_eq!(script.calls(), 5);
        time::sleep(Duration::from_secs(30)).await;
        for _ in 0..1000 {
            service.call((), CallContext::new()).next().await.unwrap().unwrap_err();
        }
        assert_eq!(script.calls(), 6, "one probe of a thousand calls");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_stream_and_a_passed_deadline_are_not_counted() {
        let guard = Breaker::new("test", BreakerConfig { max_failures: 1, ..BreakerConfig::default() });
        let script = Script::new(vec![hang(), fails(Error::timeout("late")), items([1])]);
        let service = super::breaker(script.service(), Arc::clone(&guard));
        let mut dropped = service.call((), CallContext::new());
        assert!(futures_util::poll!(dropped.next()).is_pending());
        drop(dropped);
        let hasty = CallContext::new().with_deadline(time::now());
        service.call((), hasty).next().await.unwrap().unwrap_err();
        assert_eq!(guard.state(), BreakerState::Closed);
        assert_eq!(service.call((), CallContext::new()).count().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_breaks_after_content_is_a_failure() {
        let guard = Breaker::new("test", BreakerConfig { max_failures: 1, ..BreakerConfig::default() });
        let broken = items([1]).chain(fails(Error::provider_unavailable("cut"))).boxed();
        let service = super::breaker(Script::new(vec![broken]).service(), Arc::clone(&guard));
        assert_eq!(service.call((), CallContext::new()).count().await, 2);
        assert_eq!(guard.state(), BreakerState::Open);
    }
}
