//! The tree in numbers: how many actors and jobs of each kind there are, and who refuses callers.
//!
//! Unlike a [snapshot](System::snapshot) it asks no actor for its own view and makes nothing per actor, so that a scrape of
//! a system with very many actors stays cheap. Its size is bounded by the kinds of actors and the breakers there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use beluga_core::Result;
use serde::Serialize;

use super::snapshot::breaker_of;
use super::{BreakerNode, LaneDepths, System};
use crate::slot::{Phase, Slot};

/// The most actors that are named because they refuse callers.
const GATED_NAMED_MAX: usize = 64;

/// A system in numbers.
///
/// See [`System::census`] for an example.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Census {
    /// Actors by kind.
    pub actors: BTreeMap<&'static str, KindCensus>,
    /// Running jobs by kind.
    pub jobs: BTreeMap<String, usize>,
    /// Actors with a circuit breaker: path, kind, breaker.
    pub breakers: Vec<(Arc<str>, &'static str, BreakerNode)>,
    /// Actors that refuse callers because their restarts are used up; at most 64 are named.
    pub gated: Vec<Arc<str>>,
    /// How many actors are paused.
    pub paused: usize,
    /// Messages that were not handled, since the system began.
    pub dead_letters: u64,
}

/// The actors of one kind.
///
/// See [`System::census`] for an example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KindCensus {
    /// How many there are.
    pub live: usize,
    /// How many messages wait for them, together.
    pub lanes: LaneDepths,
    /// How often one of them was built anew since the system began, those that are gone included.
    pub restarts: u64,
}

impl System {
    /// Counts the tree as it is now. Each actor is read on its own, so the whole is no consistent cut.
    ///
    /// ```
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
    /// for name in ["a", "b"] {
    ///     system.spawn(name, Counter::default).await?;
    /// }
    /// let census = system.census()?;
    /// assert_eq!((census.actors["counter"].live, census.actors["counter"].restarts), (2, 0));
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `unavailable` once the system was shut down.
    pub fn census(&self) -> Result<Census> {
        let root = self.root()?;
        let mut census = Census { dead_letters: root.ground.dead_letters.total(), ..Census::default() };
        count(&root, &mut census);
        for (kind, restarts) in root.ground.restarts() {
            census.actors.entry(kind).or_default().restarts = restarts;
        }
        Ok(census)
    }
}

fn count(slot: &Arc<Slot>, census: &mut Census) {
    let of_kind = census.actors.entry(slot.kind()).or_default();
    of_kind.live += 1;
    let ([control, interrupt, normal, bulk], _) = slot.mailbox.depths();
    of_kind.lanes.control += control;
    of_kind.lanes.interrupt += interrupt;
    of_kind.lanes.normal += normal;
    of_kind.lanes.bulk += bulk;
    census.paused += usize::from(slot.mailbox.is_suspended());
    if slot.phase() == Phase::Gated && census.gated.len() < GATED_NAMED_MAX {
        census.gated.push(Arc::clone(slot.name()));
    }
    if let Some(breaker) = breaker_of(slot) {
        census.breakers.push((Arc::clone(slot.name()), slot.kind(), breaker));
    }
    let incarnation = slot.life.lock().incarnation.clone();
    for (_, record) in incarnation.map(|incarnation| incarnation.jobs.records()).unwrap_or_default() {
        match census.jobs.get_mut(&*record.kind) {
            Some(running) => *running += 1,
            None => drop(census.jobs.insert(record.kind.to_string(), 1)),
        }
    }
    let children = slot.children.lock().all();
    children.iter().for_each(|child| count(child, census));
}
