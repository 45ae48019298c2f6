//! Lets a number of calls run at once; the others wait in the order they came, and not without bound.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use beluga_core::{CallContext, Error, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gate::{Entry, Gate, Pass, gated};
use super::{Content, SharedService};
use crate::time;

/// A fair queue before `max` places, with at most `waiting_max` callers in it.
///
/// See [`concurrency`](concurrency()) for an example.
pub struct Concurrency {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

impl Concurrency {
    /// Makes a queue; `max` is at least 1.
    #[must_use]
    pub fn new(max: usize, waiting_max: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Self { places, waiting: AtomicUsize::new(0), waiting_max })
    }

    /// Returns how many places are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// Returns how many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Concurrency").field("free", &self.free()).field("waiting", &self.waiting()).finish()
    }
}

/// Runs calls as places become free. The place is held until the stream ends or is dropped.
///
/// Errors: `overloaded` if too many wait already, `timeout` or `cancelled` if the call ends while it waits.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::service::{Concurrency, concurrency};
/// # use beluga_runtime::time;
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let slow = service_fn(|(), _| one(async {
///     time::sleep(Duration::from_secs(1)).await;
///     Ok(Word("done"))
/// }));
/// let service = concurrency(slow, Concurrency::new(2, 100));
/// let started = time::now();
/// let calls = (0..6).map(|_| first(service.call((), CallContext::new())));
/// assert!(futures_util::future::join_all(calls).await.iter().all(Result::is_ok));
/// assert_eq!(time::now() - started, Duration::from_secs(3), "two at a time");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn concurrency<Req, Item>(inner: SharedService<Req, Item>, limit: Arc<Concurrency>) -> SharedService<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
{
    gated(inner, limit)
}

impl Gate for Concurrency {
    type Pass = OwnedSemaphorePermit;

    fn enter(self: &Arc<Self>, context: &CallContext) -> Entry<OwnedSemaphorePermit> {
        // The semaphore gives freed places to its queue first, so this never overtakes anybody.
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Entry::Now(Ok(place));
        }
        let join = |count: usize| (count < self.waiting_max).then_some(count + 1);
        if self.waiting.fetch_update(Ordering::AcqRel, Ordering::Relaxed, join).is_err() {
            return Entry::Now(Err(
                Error::overloaded("too many calls wait for a place").with("waiting_max", self.waiting_max)
            ));
        }
        Entry::Later(Box::pin(wait(Waiting(Arc::clone(self)), context.clone())))
    }
}

impl Pass for OwnedSemaphorePermit {}

async fn wait(waiting: Waiting, context: CallContext) -> Result<OwnedSemaphorePermit> {
    let place = Arc::clone(&waiting.0.places).acquire_owned();
    time::within(&context, place).await?.map_err(|_| Error::internal("the semaphore was closed"))
}

struct Waiting(Arc<Concurrency>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beluga_core::Code;
    use futures_util::StreamExt;

    use super::*;
    use crate::service::testing::{Script, hang, items};

    #[tokio::test(start_paused = true)]
    async fn at_most_n_run_at_once_and_all_get_their_turn_in_order() {
        let limit = Concurrency::new(3, 100);
        let script = Script::repeat(|| {
            futures_util::stream::once(async {
                time::sleep(Duration::from_secs(1)).await;
                Ok(1.into())
            })
            .boxed()
        });
        let service = concurrency(script.service(), Arc::clone(&limit));
        let started = time::now();
        let calls = (0..9).map(|_| async {
            service.call((), CallContext::new()).next().await.unwrap().unwrap();
            (time::now() - started).as_secs()
        });
        let ended = futures_util::future::join_all(calls).await;
        assert_eq!(ended, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
        assert_eq!((script.peak(), limit.free(), limit.waiting()), (3, 3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded_and_a_waiting_call_keeps_its_deadline() {
        let limit = Concurrency::new(1, 1);
        let service = concurrency(Script::repeat(hang).service(), Arc::clone(&limit));
        let mut running = service.call((), CallContext::new());
        assert!(futures_util::poll!(running.next()).is_pending());
        let short = CallContext::new().with_timeout(time::now(), Duration::from_secs(5));
        let mut waiting = service.call((), short);
        assert!(futures_util::poll!(waiting.next()).is_pending());
        let refused = service.call((), CallContext::new()).next().await.unwrap().unwrap_err();
        assert_eq!((refused.code(), refused.get("waiting_max")), (Code::Overloaded, Some("1")));
        assert_eq!(waiting.next().await.unwrap().unwrap_err().code(), Code::Timeout);
        assert_eq!(limit.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_stream_gives_its_place_to_the_next_at_once() {
        let limit = Concurrency::new(1, 1);
        let script = Script::new(vec![hang(), items([7])]);
        let service = concurrency(script.service(), limit);
        let mut running = service.call((), CallContext::new());
        assert!(futures_util::poll!(running.next()).is_pending());
        let mut waiting = service.call((), CallContext::new());
        assert!(futures_util::poll!(waiting.next()).is_pending());
        drop(running);
        assert_eq!(waiting.next().await.unwrap().unwrap(), 7.into());
    }
}
