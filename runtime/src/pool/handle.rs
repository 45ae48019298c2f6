//! What users hold of a pool, and how it is started and resized.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use beluga_core::{Error, Result};
use futures_util::future::join_all;
use serde::Serialize;

use crate::delivery::Route;
use crate::protocol::Protocol;
use crate::reference::Ref;
use crate::shell::Recipe;
use crate::slot::{Phase, Slot};
use crate::spec::Spec;
use crate::system;

use super::actor::PoolActor;
use super::crew::Crew;
use super::settings::{PoolSpec, Routing, check_workers};

/// A running pool: a [`Ref`] with the power to resize. A clone is the same pool; see [`PoolSpec`] for an example.
///
/// It ends as an actor does: [`Ref::drain`] handles everything accepted first, [`Ref::stop`] does not.
pub struct Pool<P> {
    actor: Ref<P>,
    parts: Arc<Parts<P>>,
}

struct Parts<P> {
    slot: Arc<Slot>,
    crew: Arc<Crew>,
    template: Spec<P>,
}

/// A pool as it is at one moment.
///
/// See [`Pool::status`] for an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// Which worker gets a message.
    pub routing: Routing,
    /// The workers, those that leave included, by their number.
    pub workers: Vec<WorkerStatus>,
    /// How many messages wait in the pool itself; those in a worker's lanes are among its `in_flight`.
    pub waiting: usize,
    /// How many messages workers were given so far.
    pub handed: u64,
}

/// A worker of a pool as it is at one moment.
///
/// See [`Pool::status`] for an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkerStatus {
    /// The path of its actor.
    pub name: String,
    /// What it is doing.
    pub state: Phase,
    /// How many messages it was given and has not handled.
    pub in_flight: usize,
    /// Whether it gets no more and ends when it has handled these.
    pub leaving: bool,
}

impl<P: Protocol> Pool<P> {
    /// Returns the reference others hold.
    #[must_use]
    pub fn actor(&self) -> Ref<P> {
        self.actor.clone()
    }

    /// Returns how many workers there are, without those that leave.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.parts.crew.len()
    }

    /// Returns the pool as it is now. Costs a look at each worker.
    ///
    /// ```
    /// # use beluga_runtime::{PoolSpec, Phase, Routing, Spec};
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
    /// let pool = system.spawn_pool(PoolSpec::new("counters", 2, Spec::new("counter", Counter::default))).await?;
    /// pool.ask(Add(1)).await?;
    /// let status = pool.status();
    /// assert_eq!((status.routing, status.waiting, status.handed), (Routing::Queuer, 0, 1));
    /// assert!(status.workers.iter().all(|worker| worker.state == Phase::Running && !worker.leaving));
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.parts.crew.status()
    }

    /// Brings the pool to that many workers, 1 to [`WORKERS_MAX`](crate::WORKERS_MAX). Ready when all that are missing
    /// have started; those that are too many get nothing more from now on and end when they have handled what they
    /// have. Also replaces workers that somebody stopped. One resize at a time; dropped, it starts no further ones.
    ///
    /// # Errors
    /// `invalid_input` for another number, `unavailable` if the pool is down or ending, and what a worker that did not
    /// start answered; the others stay.
    pub async fn resize(&self, workers: usize) -> Result<()> {
        check_workers(workers)?;
        let Parts { slot, crew, template } = &*self.parts;
        let _turn = crew.resizing.lock().await;
        if slot.phase() != Phase::Running {
            return Err(Error::unavailable("the pool is not running").with("actor", slot.name()));
        }
        start_workers(crew, template, slot, None, crew.plan(workers)).await
    }
}

impl<P> Deref for Pool<P> {
    type Target = Ref<P>;

    fn deref(&self) -> &Ref<P> {
        &self.actor
    }
}

impl<P: Protocol> Clone for Pool<P> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), parts: Arc::clone(&self.parts) }
    }
}

impl<P> fmt::Debug for Pool<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("actor", &self.actor).field("workers", &self.parts.crew.len()).finish()
    }
}

/// Starts a pool as the child of a slot. With an incarnation, only under that one.
pub(crate) async fn spawn<P: Protocol>(
    parent: &Arc<Slot>,
    incarnation: Option<u32>,
    spec: PoolSpec<P>,
) -> Result<Pool<P>> {
    check_workers(spec.workers).map_err(|error| error.with("pool", &spec.name))?;
    let graces = spec.graces();
    let PoolSpec { name, workers, template, routing, keys, breaker, kept } = spec;
    let mut template = template.kept();
    template.settings.pooled = true;
    let crew = Crew::new(routing, keys, parent.ground.random.next_u64());
    let factory = {
        let (crew, template) = (Arc::clone(&crew), template.clone());
        move || PoolActor::new(Arc::clone(&crew), template.clone(), workers)
    };
    let mut own: Spec<P> = Spec::of_recipe(name, Recipe::shared(factory, PoolActor::<P>::TABLE));
    own.settings.graces = graces;
    own.settings.lanes = template.settings.lanes;
    own.settings.breaker = breaker;
    let own = if kept { own.kept() } else { own };
    let actor = system::spawn_child(parent, incarnation, own).await?;
    let Route::Slot(slot) = &actor.route else { return Err(Error::internal("a pool without a slot")) };
    let slot = Arc::clone(slot);
    slot.set_on_gone({
        let (crew, weak) = (Arc::clone(&crew), Arc::downgrade(&slot));
        Box::new(move || {
            if let Some(slot) = weak.upgrade() {
                crew.end(&slot);
            }
        })
    });
    Ok(Pool { actor, parts: Arc::new(Parts { slot, crew, template }) })
}

/// Starts workers side by side; those that have started stay, whatever becomes of the others.
pub(super) async fn start_workers<P: Protocol>(
    crew: &Arc<Crew>,
    template: &Spec<P>,
    pool: &Arc<Slot>,
    incarnation: Option<u32>,
    numbers: Vec<u32>,
) -> Result<()> {
    let starts = numbers.into_iter().map(|number| async move {
        let name = number.to_string();
        // One that leaves may still have the name.
        if let Some(earlier) = pool.ground.find(&format!("{}/{name}", pool.name())) {
            earlier.wait_gone().await;
        }
        let worker = system::spawn_child(pool, incarnation, template.clone().named(name)).await?;
        if let Route::Slot(slot) = worker.route {
            crew.join(number, slot);
        }
        Ok(())
    });
    join_all(starts).await.into_iter().collect()
}
