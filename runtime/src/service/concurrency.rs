//! Lets a number of calls run at once; the others wait, tenant by tenant in turn, and not without bound.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use beluga_core::{CallContext, Error, Result, TenantId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::gate::{Entry, Gate, Pass, gated};
use super::{Content, SharedService};
use crate::time;

/// A fair queue before `max` places, with at most `waiting_max` callers in it.
///
/// A freed place goes to the tenants that wait in turn, and within a tenant in the order its calls came: a tenant with a
/// thousand calls delays another's next one by one place.
///
/// See [`concurrency`](concurrency()) for an example.
pub struct Concurrency {
    waiting_max: usize,
    state: Mutex<State>,
}

struct State {
    free: usize,
    waiting: usize,
    /// The tenants that wait, the one whose turn it is first; each once.
    turns: VecDeque<TenantId>,
    queues: HashMap<TenantId, VecDeque<oneshot::Sender<Place>>>,
}

impl Concurrency {
    /// Makes a queue; `max` is at least 1.
    #[must_use]
    pub fn new(max: usize, waiting_max: usize) -> Arc<Self> {
        let state = State { free: max.max(1), waiting: 0, turns: VecDeque::new(), queues: HashMap::new() };
        Arc::new(Self { waiting_max, state: Mutex::new(state) })
    }

    /// Returns how many places are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.state.lock().free
    }

    /// Returns how many calls wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.lock().waiting
    }

    /// Gives a place to the next in turn; to nobody if nobody waits.
    fn release(self: &Arc<Self>) {
        let mut place = Place(Some(Arc::clone(self)));
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = state.next();
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else {
                place.0 = None;
                return;
            };
            match next.send(place) {
                Ok(()) => return,
                // It left meanwhile.
                Err(back) => place = back,
            }
        }
    }
}

impl State {
    /// Takes the next call out: the tenant's oldest, whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        while let Some(tenant) = self.turns.pop_front() {
            let Some(queue) = self.queues.get_mut(&tenant) else { continue };
            let next = queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&tenant);
            } else {
                self.turns.push_back(tenant);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    fn join(&mut self, tenant: &TenantId, sender: oneshot::Sender<Place>) {
        let queue = self.queues.entry(tenant.clone()).or_default();
        // Whoever left while it waited takes no room: swept when the queue would grow.
        if queue.len() == queue.capacity() {
            queue.retain(|waiting| !waiting.is_closed());
        }
        if queue.is_empty() && !self.turns.contains(tenant) {
            self.turns.push_back(tenant.clone());
        }
        queue.push_back(sender);
    }
}

/// One of the places; given on when it drops.
pub(super) struct Place(Option<Arc<Concurrency>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.release();
        }
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
    type Pass = Place;

    fn enter(self: &Arc<Self>, context: &CallContext) -> Entry<Place> {
        let mut state = self.state.lock();
        // Whoever frees a place gives it to the queue, so a free one means that nobody waits.
        if let Some(free) = state.free.checked_sub(1) {
            state.free = free;
            return Entry::Now(Ok(Place(Some(Arc::clone(self)))));
        }
        if state.waiting >= self.waiting_max {
            let error = Error::overloaded("too many calls wait for a place");
            return Entry::Now(Err(error.with("waiting_max", self.waiting_max)));
        }
        state.waiting += 1;
        let (sender, receiver) = oneshot::channel();
        state.join(context.tenant(), sender);
        drop(state);
        Entry::Later(Box::pin(wait(Waiting(Arc::clone(self)), receiver, context.clone())))
    }
}

impl Pass for Place {}

async fn wait(waiting: Waiting, place: oneshot::Receiver<Place>, context: CallContext) -> Result<Place> {
    let place = time::within(&context, place).await?;
    drop(waiting);
    place.map_err(|_| Error::internal("the queue forgot a call"))
}

struct Waiting(Arc<Concurrency>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.state.lock().waiting -= 1;
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
    async fn tenants_wait_in_turn_however_many_calls_one_of_them_has() {
        let limit = Concurrency::new(1, 1_000);
        let script = Script::repeat(|| {
            futures_util::stream::once(async {
                time::sleep(Duration::from_secs(1)).await;
                Ok(1.into())
            })
            .boxed()
        });
        let service = concurrency(script.service(), Arc::clone(&limit));
        let started = time::now();
        let call = |tenant: &str| {
            let context = CallContext::new().with_tenant(TenantId::parse(tenant).unwrap());
            let mut stream = service.call((), context);
            async move {
                stream.next().await.unwrap().unwrap();
                drop(stream);
                (time::now() - started).as_secs()
            }
        };
        let rush = futures_util::future::join_all((0..100).map(|_| call("rush")));
        let others = futures_util::future::join_all([call("ann"), call("ben"), call("ann")]);
        let (rush, others) = futures_util::join!(rush, others);
        assert_eq!(others, [3, 4, 6], "one runs, and one of each tenant by turns");
        assert_eq!((rush.iter().min(), rush.iter().max()), (Some(&1), Some(&103)));
        assert_eq!((limit.free(), limit.waiting()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_is_given_to_a_call_that_left_goes_to_the_next() {
        let limit = Concurrency::new(1, 10);
        let service = concurrency(Script::new(vec![hang(), items([7])]).service(), Arc::clone(&limit));
        let mut running = service.call((), CallContext::new());
        assert!(futures_util::poll!(running.next()).is_pending());
        let mut left: Vec<_> = (0..3).map(|_| service.call((), CallContext::new())).collect();
        for stream in &mut left {
            assert!(futures_util::poll!(stream.next()).is_pending());
        }
        let mut last = service.call((), CallContext::new());
        assert!(futures_util::poll!(last.next()).is_pending());
        drop(running);
        drop(left);
        assert_eq!(last.next().await.unwrap().unwrap(), 7.into());
        drop(last);
        assert_eq!((limit.free(), limit.waiting()), (1, 0));
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
