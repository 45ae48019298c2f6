//! Refuses work above a bound instead of queueing it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use beluga_core::{CallContext, Error};

use super::gate::{Entry, Gate, Pass, gated};
use super::{Content, SharedService};
use crate::time;

/// Counts the calls in flight, waiting ones included, and admits at most `max`.
///
/// See [`admission`](admission()) for an example.
#[derive(Debug)]
pub struct Admission {
    max: usize,
    in_flight: AtomicUsize,
}

impl Admission {
    /// Makes a counter; 0 admits nothing.
    #[must_use]
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, in_flight: AtomicUsize::new(0) })
    }

    /// Returns how many calls are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// Admits a call if it is still wanted and the bound allows it.
///
/// Errors: `overloaded` at the bound; `cancelled`, `timeout` or `overloaded` (a circle) of a call that is not wanted.
///
/// ```
/// # use beluga_runtime::service::{Admission, admission};
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let bound = Admission::new(1);
/// let service = admission(service_fn(|(), _| one(async { Ok(Word("hello")) })), bound.clone());
/// let mut held = service.call((), CallContext::new());
/// # use futures_util::StreamExt;
/// held.next().await; // Its answer has begun.
/// assert_eq!(bound.in_flight(), 1);
/// let refused = first(service.call((), CallContext::new())).await;
/// assert_eq!(refused.err().map(|error| error.code()), Some(Code::Overloaded));
/// drop(held);
/// assert!(first(service.call((), CallContext::new())).await.is_ok());
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn admission<Req, Item>(inner: SharedService<Req, Item>, admission: Arc<Admission>) -> SharedService<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
{
    gated(inner, admission)
}

impl Gate for Admission {
    type Pass = Admitted;

    fn enter(self: &Arc<Self>, context: &CallContext) -> Entry<Admitted> {
        if let Err(error) = context.check(time::now()) {
            return Entry::Now(Err(error));
        }
        let admit = |count: usize| (count < self.max).then_some(count + 1);
        match self.in_flight.fetch_update(Ordering::AcqRel, Ordering::Relaxed, admit) {
            Ok(_) => Entry::Now(Ok(Admitted(Arc::clone(self)))),
            Err(_) => Entry::Now(Err(Error::overloaded("too many calls in flight").with("in_flight_max", self.max))),
        }
    }
}

pub(super) struct Admitted(Arc<Admission>);

impl Pass for Admitted {}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use beluga_core::Code;
    use futures_util::StreamExt;

    use super::*;
    use crate::service::testing::{Script, hang, items};

    #[tokio::test(start_paused = true)]
    async fn the_call_above_the_bound_is_refused_and_a_dropped_one_makes_room() {
        let bound = Admission::new(2);
        let script = Script::repeat(hang);
        let service = admission(script.service(), Arc::clone(&bound));
        let mut running: Vec<_> = (0..2).map(|_| service.call((), CallContext::new())).collect();
        assert_eq!(bound.in_flight(), 0, "a stream is lazy");
        for stream in &mut running {
            assert!(futures_util::poll!(stream.next()).is_pending());
        }
        let error = service.call((), CallContext::new()).next().await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.get("in_flight_max")), (Code::Overloaded, Some("2")));
        running.pop();
        assert_eq!(bound.in_flight(), 1);
        assert!(futures_util::poll!(service.call((), CallContext::new()).next()).is_pending());
        drop(running);
        assert_eq!((bound.in_flight(), script.live()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_no_longer_wanted_is_not_made() {
        let script = Script::repeat(|| items([1]));
        let service = admission(script.service(), Admission::new(1));
        let context = CallContext::new();
        context.cancel_token().cancel();
        assert!(service.call((), context).next().await.unwrap().unwrap_err().is_cancelled());
        let expired = CallContext::new().with_deadline(time::now());
        assert_eq!(service.call((), expired).next().await.unwrap().unwrap_err().code(), Code::Timeout);
        assert_eq!(script.calls(), 0);
    }
}
