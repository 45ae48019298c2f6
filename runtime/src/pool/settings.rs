//! What a pool is started from.

use std::fmt;

use beluga_core::{CallContext, Error, Result};
use serde::Serialize;

use crate::breaker::BreakerConfig;
use crate::mailbox::{Lanes, Overflow};
use crate::message::{Lane, Message, StreamMessage};
use crate::protocol::{Accepts, Protocol};
use crate::spec::{Graces, Spec};

use super::keys::{Keys, PoolKey};

/// The most workers of one pool.
pub const WORKERS_MAX: usize = 1024;

/// Which worker gets a message.
///
/// See [`PoolSpec`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Routing {
    /// Any free one, the one that has been free for longest. Each has one message in hand; the rest waits in the pool's
    /// queue, so no message stands behind a slow one while another worker is free.
    #[default]
    Queuer,
    /// One after the other, busy or not: each worker has a queue of its own, its lanes. One that is full or down is
    /// passed over; when none has a place the lane's policy decides.
    RoundRobin,
    /// The one that has a message of that key, in hand or in its queue; else any free one, as [`Queuer`](Self::Queuer).
    /// So messages of one key run one after the other and in order, and keys stay with nobody.
    Sticky,
    /// The same worker for a key as long as the number of workers stays and that worker's gate is shut; one worker
    /// more takes each key with a chance of one in their number and moves no other. Each worker has a queue of its own.
    /// Finding it costs a look at each worker.
    KeyPersistent,
}

/// The size of a pool as data, for what is configured rather than written.
///
/// ```
/// # use beluga_runtime::{PoolSettings, PoolSpec, Spec};
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
/// # #[derive(Message)]
/// # #[message(name = "counter.add", reply = u64)]
/// # struct Add(u64);
/// # protocol!(CounterProtocol: Add);
/// # #[derive(Default)]
/// # struct Counter { total: u64 }
/// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
/// # impl Handler<Add> for Counter {
/// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
/// #         self.total += n;
/// #         Ok(self.total)
/// #     }
/// # }
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let settings = PoolSettings { workers: 2, queue: 100, ..PoolSettings::default() };
/// let pool = system.spawn_pool(PoolSpec::sized("counters", settings, Spec::new("counter", Counter::default))).await?;
/// assert_eq!(pool.workers(), 2);
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// How many workers there are, 1 to [`WORKERS_MAX`]. Default: 4.
    pub workers: usize,
    /// How many ordinary messages may wait: in the pool, or at each worker by a routing that gives each a queue of its
    /// own. Default: [`Lanes::CAPACITY`](crate::Lanes::CAPACITY).
    pub queue: usize,
    /// What happens to the next one. Default: its sender gets `overloaded`.
    pub overflow: Overflow,
    /// Which worker gets a message. Default: any free one.
    pub routing: Routing,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { workers: 4, queue: Lanes::CAPACITY, overflow: Overflow::Reject, routing: Routing::Queuer }
    }
}

/// Says how to start a pool, and how its workers are started and supervised.
///
/// ```
/// use beluga_core::Result;
/// use beluga_runtime::{Actor, Cx, Handler, Lane, Message, Overflow, PoolKey, PoolSpec, Routing, Spec, System, protocol};
///
/// #[derive(Message)]
/// #[message(name = "square.of", reply = u64)]
/// struct Square(u64);
/// protocol!(SquareProtocol: Square);
///
/// struct Worker;
/// impl Actor for Worker { type Protocol = SquareProtocol; const KIND: &'static str = "worker"; }
/// impl Handler<Square> for Worker {
///     async fn handle(&mut self, Square(n): Square, _cx: &mut Cx<Self>) -> Result<u64> { Ok(n * n) }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let system = System::builder("pools").build()?;
/// let spec = PoolSpec::new("squares", 4, Spec::new("worker", || Worker))
///     .routing(Routing::KeyPersistent)
///     .key_of::<Square>(|Square(n)| Some(PoolKey::of(n)))
///     .lane(Lane::Normal, 100, Overflow::Reject);
/// let pool = system.spawn_pool(spec).await?;
/// assert_eq!(pool.ask(Square(7)).await?, 49);
/// pool.resize(2).await?;
/// assert_eq!(pool.workers(), 2);
/// system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
pub struct PoolSpec<P> {
    pub(super) name: String,
    pub(super) workers: usize,
    pub(super) template: Spec<P>,
    pub(super) routing: Routing,
    pub(super) keys: Keys,
    pub(super) breaker: Option<BreakerConfig>,
    pub(super) kept: bool,
}

impl<P: Protocol> PoolSpec<P> {
    /// Makes a spec of a pool of `workers` (1 to [`WORKERS_MAX`]) that are started by `template`. The template's name
    /// does not count; its lanes, graces and restarts do. Routing is [`Routing::Queuer`].
    #[must_use]
    pub fn new(name: impl Into<String>, workers: usize, template: Spec<P>) -> Self {
        Self {
            name: name.into(),
            workers,
            template,
            routing: Routing::default(),
            keys: Keys::default(),
            breaker: None,
            kept: false,
        }
    }

    /// Makes a spec of a pool of a given size, whose queue is the normal lane. See [`new`](Self::new).
    #[must_use]
    pub fn sized(name: impl Into<String>, settings: PoolSettings, template: Spec<P>) -> Self {
        let PoolSettings { workers, queue, overflow, routing } = settings;
        Self::new(name, workers, template).routing(routing).lane(Lane::Normal, queue, overflow)
    }

    /// Sets which worker gets a message.
    #[must_use]
    pub fn routing(mut self, routing: Routing) -> Self {
        self.routing = routing;
        self
    }

    /// Sets how the key of a call is found in its context: tenant, principal, request, idempotency key. What has no key
    /// goes to any free worker; if there is none it waits in the queue (sticky) or goes to the one with least to do.
    #[must_use]
    pub fn key(mut self, key: impl Fn(&CallContext) -> Option<PoolKey> + Send + Sync + 'static) -> Self {
        self.keys.set_context(key);
        self
    }

    /// Sets how the key of one message type is found. It goes before [`key`](Self::key), which answers where this
    /// gives none.
    #[must_use]
    pub fn key_of<M: Message>(mut self, key: impl Fn(&M) -> Option<PoolKey> + Send + Sync + 'static) -> Self
    where
        P: Accepts<M>,
    {
        self.keys.set_call(<P as Accepts<M>>::INDEX, key);
        self
    }

    /// Sets how the key of one streaming message type is found, as [`key_of`](Self::key_of).
    #[must_use]
    pub fn key_of_stream<M: StreamMessage>(
        mut self,
        key: impl Fn(&M) -> Option<PoolKey> + Send + Sync + 'static,
    ) -> Self
    where
        P: Accepts<M>,
    {
        self.keys.set_stream(<P as Accepts<M>>::INDEX, key);
        self
    }

    /// Sets bound and policy of one lane, of the pool and of each of its workers; the template's by default.
    ///
    /// Messages wait in the pool's lane, or in a worker's by a routing that gives each a queue of its own. There a full
    /// lane that waits holds the pool's queue, and with it the messages for others.
    #[must_use]
    pub fn lane(mut self, lane: Lane, capacity: usize, overflow: Overflow) -> Self {
        self.template = self.template.lane(lane, capacity, overflow);
        self
    }

    /// Gives the pool a circuit breaker, which its workers share as [`Cx::breaker`](crate::Cx::breaker). It survives
    /// them.
    #[must_use]
    pub fn breaker(mut self, config: BreakerConfig) -> Self {
        self.breaker = Some(config);
        self
    }

    /// Keeps the pool's slot when its parent fails. See [`Spec::kept`].
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.kept = true;
        self
    }

    /// Returns the graces of the pool: those of a worker, and time to hear that it did not start.
    pub(super) fn graces(&self) -> Graces {
        let worker = self.template.settings.graces;
        Graces { start: worker.start.saturating_add(START_MARGIN), ..worker }
    }
}

/// How much longer than a worker a pool may take to start.
const START_MARGIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Checks how many workers are wanted.
pub(super) fn check_workers(workers: usize) -> Result<()> {
    if (1..=WORKERS_MAX).contains(&workers) {
        return Ok(());
    }
    Err(Error::invalid_input(format!("a pool has 1 to {WORKERS_MAX} workers")).with("workers", workers))
}

impl<P> Clone for PoolSpec<P> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            workers: self.workers,
            template: self.template.clone(),
            routing: self.routing,
            keys: self.keys.clone(),
            breaker: self.breaker,
            kept: self.kept,
        }
    }
}

impl<P> fmt::Debug for PoolSpec<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolSpec")
            .field("name", &self.name)
            .field("workers", &self.workers)
            .field("routing", &self.routing)
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}
