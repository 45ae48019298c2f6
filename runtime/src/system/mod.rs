//! The system: the root of one tree of actors, with its own names, clock, randomness and dead letters. No global state:
//! two systems live side by side in one process.

mod asks;
mod builder;
mod bus;
mod census;
mod inspect;
mod snapshot;

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use beluga_core::{Error, Result};

use crate::actor::{Actor, StopReason};
use crate::address::Address;
use crate::dead_letter::DeadLetters;
use crate::exit::ExitReason;
use crate::family::{Family, FamilyOptions, Seat};
use crate::ground::Ground;
use crate::host::RuntimeHost;
use crate::mailbox::Stop;
use crate::naming::{NAME_MAX_BYTES, check_name};
use crate::pool::{self, Pool, PoolSpec};
use crate::protocol::{Protocol, Silent};
use crate::random::SystemRandom;
use crate::reference::Ref;
use crate::shell::Serves;
use crate::slot::{Fate, Slot};
use crate::spec::Spec;
use crate::time;

pub(crate) use asks::as_millis;
pub use asks::{AskInFlight, Deadlock};
pub use builder::{ASK_TIMEOUT, SHUTDOWN_GRACE, SystemBuilder};
pub use census::{Census, KindCensus};
pub use inspect::{ActorView, INSPECT_MAX, LaneLimit, LaneLimits, Policy};
pub use snapshot::{BreakerNode, LaneDepths, TreeBounds, TreeNode};

/// A system of actors. A clone is the same system.
///
/// See [`Actor`] for an example. It ends by [`shutdown`](Self::shutdown), not by being dropped.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_runtime::System;
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
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let system = System::builder("counting").build()?;
/// let counter = system.spawn("counter", Counter::default).await?;
/// assert_eq!(counter.ask(Add(3)).await?, 3);
/// assert!(system.get::<CounterProtocol>("counter").is_some() && !system.is_down());
/// system.shutdown(Duration::from_secs(5)).await?;
/// assert!(system.is_down() && counter.is_gone());
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct System {
    ground: Arc<Ground>,
}

impl System {
    /// Starts describing a system.
    pub fn builder(name: impl AsRef<str>) -> SystemBuilder {
        SystemBuilder::new(name.as_ref())
    }

    pub(crate) fn of(ground: &Arc<Ground>) -> Self {
        Self { ground: Arc::clone(ground) }
    }

    pub(crate) fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.ground.name
    }

    /// Returns the system's seeded randomness.
    #[must_use]
    pub fn random(&self) -> &SystemRandom {
        &self.ground.random
    }

    /// Returns time, spawning and randomness for stores, providers and tools.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn host(&self) -> Arc<RuntimeHost> {
        Arc::new(RuntimeHost::new(self.ground.random.clone()))
    }

    /// Returns the messages that were not handled.
    #[must_use]
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.ground.dead_letters
    }

    /// Starts a top-level actor and waits until it has started. The factory is called again for each restart.
    ///
    /// # Errors
    /// `conflict` if the name is taken, `invalid_input` for a bad name, `unavailable` if the system is shutting down,
    /// and whatever the actor's `started` answered.
    pub async fn spawn<A, F>(&self, name: impl Into<String>, factory: F) -> Result<Ref<A::Protocol>>
    where
        A: Serves,
        F: Fn() -> A + Send + Sync + 'static,
    {
        self.spawn_with(Spec::new(name, factory)).await
    }

    /// Starts a top-level actor by its spec. See [`spawn`](Self::spawn).
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub async fn spawn_with<P: Protocol>(&self, spec: Spec<P>) -> Result<Ref<P>> {
        spawn_child(&self.root()?, None, spec).await
    }

    /// Starts an actor under another one, which supervises it by its own spec's strategy.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn); `unavailable` if the parent is between two incarnations or ending.
    pub async fn spawn_under<P: Protocol>(&self, parent: &Address, spec: Spec<P>) -> Result<Ref<P>> {
        spawn_child(&parent.0, None, spec).await
    }

    /// Starts a top-level pool and waits until all its workers have started. See [`PoolSpec`].
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn), for the pool and for each worker; `invalid_input` for a number of workers that is 0
    /// or above [`WORKERS_MAX`](crate::WORKERS_MAX).
    pub async fn spawn_pool<P: Protocol>(&self, spec: PoolSpec<P>) -> Result<Pool<P>> {
        pool::spawn(&self.root()?, None, spec).await
    }

    /// Starts a pool under an actor, which supervises it by its own spec's strategy.
    ///
    /// # Errors
    /// As [`spawn_pool`](Self::spawn_pool); `unavailable` if the parent is between two incarnations or ending.
    pub async fn spawn_pool_under<P: Protocol>(&self, parent: &Address, spec: PoolSpec<P>) -> Result<Pool<P>> {
        pool::spawn(&parent.0, None, spec).await
    }

    /// Finds an actor by its full path. `None` if there is none, or it speaks another protocol.
    #[must_use]
    pub fn get<P: Protocol>(&self, name: &str) -> Option<Ref<P>> {
        let slot = self.ground.find(name)?;
        (slot.protocol() == std::any::TypeId::of::<P>()).then(|| Ref::to_slot(slot))
    }

    /// Finds the place of an actor by its full path.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Address> {
        self.ground.find(name).map(Address)
    }

    /// Finds the place of an actor by the number of its slot, the root's included. `None` if there is none any more.
    ///
    /// It walks the tree, so it is for people and not for a hot path.
    #[must_use]
    pub fn find_by_id(&self, id: u64) -> Option<Address> {
        with_id(&self.root().ok()?, id).map(Address)
    }

    /// Returns how long ago the system was built.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        Duration::from_nanos(self.ground.clock.read())
    }

    /// Returns the place of the root, which supervises the top-level actors.
    ///
    /// # Errors
    /// `unavailable` once the system was shut down.
    pub fn root_address(&self) -> Result<Address> {
        self.root().map(Address)
    }

    /// Returns the paths of all live actors but the root, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        self.ground.names()
    }

    /// Makes a family of virtual actors. Hold it: two families of one kind know nothing of each other.
    #[must_use]
    pub fn family<P: Protocol>(&self, kind: &'static str, options: FamilyOptions) -> Family<P> {
        Family::new(self, kind, options)
    }

    /// Returns whether the system was shut down, or ended because its root's children failed too often.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.root().is_err()
    }

    /// Waits until the system is down. Cancel safe.
    pub async fn down(&self) {
        if let Ok(root) = self.root() {
            root.wait_gone().await;
        }
    }

    /// Ends all actors in order: parents finish what they accepted, then their children end, the youngest first. What is
    /// still alive when `grace` is over is killed. A second call waits for the first.
    ///
    /// # Errors
    /// `timeout` if something had to be killed.
    pub async fn shutdown(&self, grace: Duration) -> Result<()> {
        let Ok(root) = self.root() else { return Ok(()) };
        let deadline = time::now() + grace;
        let stop = Stop { reason: StopReason::Shutdown, drain: true, deadline: Some(deadline) };
        let killed = self.ground.killed();
        let clean = root.end(Fate::Terminate, stop).await;
        if !clean {
            crate::incarnation::end_children(&root, Stop { drain: false, ..stop }).await;
        }
        root.terminate(&ExitReason::Stopped);
        self.ground.waits.close();
        self.ground.watchdog.end().await;
        let killed = self.ground.killed() - killed;
        if clean && killed == 0 {
            return Ok(());
        }
        Err(Error::timeout("actors had to be killed").with("grace_ms", grace.as_millis()).with("killed", killed))
    }

    /// Shuts down with the grace the system was built with.
    ///
    /// # Errors
    /// As [`shutdown`](Self::shutdown).
    pub async fn shutdown_gracefully(&self) -> Result<()> {
        self.shutdown(self.ground.settings.shutdown_grace).await
    }

    pub(crate) fn root(&self) -> Result<Arc<Slot>> {
        self.ground
            .root
            .get()
            .and_then(Weak::upgrade)
            .filter(|root| !root.is_gone())
            .ok_or_else(|| Error::unavailable("the system is down").with("system", self.name()))
    }
}

impl fmt::Debug for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("System").field("name", &self.ground.name).finish_non_exhaustive()
    }
}

/// Looks for a slot from `slot` down. Numbers are given in the order slots are made, so no child has a lower one.
fn with_id(slot: &Arc<Slot>, id: u64) -> Option<Arc<Slot>> {
    if slot.id() >= id {
        return (slot.id() == id).then(|| Arc::clone(slot));
    }
    let children = slot.children.lock().all();
    children.iter().find_map(|child| with_id(child, id))
}

/// The root of the tree: an ordinary actor without messages.
pub(crate) struct Root;

impl Actor for Root {
    type Protocol = Silent;
    const KIND: &'static str = "system";
}

/// Starts a child of a slot, and waits until it has started. With an incarnation, only under that one.
pub(crate) async fn spawn_child<P: Protocol>(
    parent: &Arc<Slot>,
    incarnation: Option<u32>,
    spec: Spec<P>,
) -> Result<Ref<P>> {
    start_child(parent, incarnation, spec, None).await.map(Ref::to_slot)
}

/// Starts the actor of a key, and waits until it has started.
pub(crate) async fn spawn_seated<P: Protocol>(parent: &Arc<Slot>, spec: Spec<P>, seat: Box<Seat>) -> Result<Arc<Slot>> {
    start_child(parent, None, spec, Some(seat)).await
}

async fn start_child<P: Protocol>(
    parent: &Arc<Slot>,
    incarnation: Option<u32>,
    spec: Spec<P>,
    seat: Option<Box<Seat>>,
) -> Result<Arc<Slot>> {
    let name = path_of(parent, &spec.name)?;
    let ground = &parent.ground;
    let slot = Slot::new(ground, Some(parent), name, spec.recipe, spec.settings, seat);
    {
        let is_other = incarnation.is_some_and(|wanted| wanted != parent.life.lock().number);
        let mut children = parent.children.lock();
        if children.closed || is_other {
            return Err(Error::unavailable("the parent is not running")
                .with("actor", slot.name())
                .with("parent", parent.name()));
        }
        ground.enter(&slot)?;
        children.insert(&slot);
    }
    slot.launch(false);
    let unstarted = Unstarted(&slot);
    slot.wait_settled().await;
    if slot.life.lock().proven {
        std::mem::forget(unstarted);
        return Ok(slot);
    }
    drop(unstarted);
    // The parent may be ending it at the same time; afterwards the name is free.
    slot.wait_gone().await;
    let exit = slot.life.lock().failed_start.take();
    let error = match exit.as_deref() {
        Some(ExitReason::StartFailed(record) | ExitReason::Failed(record)) => Error::from((**record).clone()),
        Some(other) => Error::unavailable("the actor ended while it started").with("exit", other),
        None => Error::unavailable("the actor ended while it started"),
    };
    Err(error.with("actor", slot.name()))
}

/// Ends a slot whose first start failed, or whose spawner left.
struct Unstarted<'a>(&'a Arc<Slot>);

impl Drop for Unstarted<'_> {
    fn drop(&mut self) {
        let slot = self.0;
        slot.request_stop(false);
        // An incarnation that lives hears the stop, and what comes then ends the slot: terminated under it, the slot would
        // forget the stop and the incarnation would stay for ever.
        if !slot.is_alive() {
            slot.terminate(&ExitReason::Stopped);
        }
    }
}

/// Returns the path of a child. The root's children have no prefix.
fn path_of(parent: &Slot, name: &str) -> Result<Arc<str>> {
    check_name(name)?;
    if name.contains('/') {
        return Err(Error::invalid_input("a name has no slash; paths are made of parents").with("name", name));
    }
    if parent.parent.is_none() {
        return Ok(Arc::from(name));
    }
    let path = format!("{}/{name}", parent.name());
    if path.len() > NAME_MAX_BYTES {
        return Err(
            Error::invalid_input(format!("a path has at most {NAME_MAX_BYTES} bytes")).with("parent", parent.name())
        );
    }
    Ok(Arc::from(path))
}
