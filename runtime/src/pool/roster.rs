//! The workers of a pool: who is there, who is free, whose hand holds which key, and who gets the next message.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::random::mix;
use crate::slot::{Phase, Slot};

use super::keys::PoolKey;
use super::settings::Routing;

pub(super) struct Worker {
    pub(super) slot: Arc<Slot>,
    /// How many messages it was given and has not handled.
    pub(super) in_flight: usize,
    /// Whether it gets nothing more and ends when it has handled what it has.
    pub(super) leaving: bool,
    /// Whether somebody waits for it to run again.
    watched: bool,
    gated_until: Option<Instant>,
}

/// A key in the hand or the queue of a worker.
struct InHand {
    worker: Given,
    messages: usize,
}

/// Whom a message was given to: the number tells where, the slot's id tells one from the next of that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) number: u32,
    pub(super) id: u64,
}

/// The workers by their number. The keys in hand are bounded by the messages in the workers' lanes.
pub(super) struct Roster {
    pub(super) workers: BTreeMap<u32, Worker>,
    /// Those with nothing in flight, the longest free first.
    free: VecDeque<u32>,
    in_hand: HashMap<PoolKey, InHand>,
    /// Whom round robin chose last.
    cursor: u32,
    /// Makes it unforeseeable which worker a key belongs to.
    seed: u64,
}

impl Worker {
    /// Returns whether it may get an ordinary message now.
    fn is_ready(&self) -> bool {
        !self.leaving && self.slot.phase() == Phase::Running
    }

    fn is_gated(&self) -> bool {
        self.slot.phase() == Phase::Gated
    }
}

impl Roster {
    pub(super) fn new(seed: u64) -> Self {
        Self { workers: BTreeMap::new(), free: VecDeque::new(), in_hand: HashMap::new(), cursor: 0, seed }
    }

    fn staying(&self) -> impl Iterator<Item = (u32, &Worker)> {
        self.workers.iter().filter(|(_, worker)| !worker.leaving).map(|(number, worker)| (*number, worker))
    }

    /// Returns how many workers there are, without those that leave.
    pub(super) fn len(&self) -> usize {
        self.staying().count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.staying().next().is_none()
    }

    /// Returns whether a free worker can take a message now.
    pub(super) fn has_free(&self) -> bool {
        self.free().is_some()
    }

    /// Chooses the worker of the next message. `None` if it has to wait for one.
    pub(super) fn pick(&mut self, routing: Routing, key: Option<PoolKey>, urgent: bool) -> Option<(u32, Arc<Slot>)> {
        let keyed = key.and_then(|key| match routing {
            Routing::Sticky => self.holder(key),
            Routing::KeyPersistent => self.owner(key),
            Routing::Queuer | Routing::RoundRobin => None,
        });
        let number = match (keyed, routing) {
            (Some(number), _) => Some(number),
            (None, _) if urgent => self.free().or_else(|| self.least_busy(|_| true)),
            (None, Routing::RoundRobin) => self.next_in_turn(),
            (None, Routing::KeyPersistent) if key.is_some() => None,
            (None, Routing::KeyPersistent) => self.free().or_else(|| self.least_busy(Worker::is_ready)),
            (None, Routing::Queuer | Routing::Sticky) => self.free(),
        }?;
        self.cursor = number;
        Some((number, Arc::clone(&self.workers.get(&number)?.slot)))
    }

    fn free(&self) -> Option<u32> {
        self.free.iter().copied().find(|number| self.workers.get(number).is_some_and(Worker::is_ready))
    }

    /// Returns whose hand or queue holds a message of the key.
    fn holder(&self, key: PoolKey) -> Option<u32> {
        let Given { number, id } = self.in_hand.get(&key)?.worker;
        let worker = self.workers.get(&number)?;
        (worker.slot.id() == id && !worker.leaving && !worker.is_gated()).then_some(number)
    }

    /// Returns whose a key is: the worker with the highest mark for it (rendezvous hashing: Thaler, Ravishankar, "Using
    /// name-based mappings to increase hit rates", 1998), so that a change of their number moves few keys.
    fn owner(&self, key: PoolKey) -> Option<u32> {
        let mark = |number: u32| mix(key.0 ^ mix(self.seed ^ u64::from(number)));
        let best = self.staying().max_by_key(|(number, _)| mark(*number))?;
        if !best.1.is_gated() {
            return Some(best.0);
        }
        let others = self.staying().filter(|(_, worker)| !worker.is_gated());
        others.max_by_key(|(number, _)| mark(*number)).map(|(number, _)| number)
    }

    fn next_in_turn(&self) -> Option<u32> {
        let behind = self.workers.range(self.cursor.saturating_add(1)..);
        let before = self.workers.range(..=self.cursor);
        behind.chain(before).find(|(_, worker)| worker.is_ready()).map(|(number, _)| *number)
    }

    /// Returns the one with least to do; those that run come first, those that are gated last.
    fn least_busy(&self, fits: impl Fn(&Worker) -> bool) -> Option<u32> {
        let fitting = self.staying().filter(|(_, worker)| fits(worker));
        let rank = |worker: &Worker| (worker.is_gated(), !worker.is_ready(), worker.in_flight);
        fitting.min_by_key(|(_, worker)| rank(worker)).map(|(number, _)| number)
    }

    /// Counts a message given to a worker.
    pub(super) fn gave(&mut self, number: u32, key: Option<PoolKey>) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        if worker.in_flight == 0 {
            self.free.retain(|free| *free != number);
        }
        worker.in_flight += 1;
        let given = Given { number, id: worker.slot.id() };
        if let Some(key) = key {
            let in_hand = self.in_hand.entry(key).or_insert(InHand { worker: given, messages: 0 });
            if in_hand.worker != given {
                *in_hand = InHand { worker: given, messages: 0 };
            }
            in_hand.messages += 1;
        }
    }

    /// Counts a message that a worker has done with. Returns the worker if it leaves now.
    pub(super) fn took_back(&mut self, given: Given, key: Option<PoolKey>) -> Option<Arc<Slot>> {
        if let Some(key) = key
            && let Some(in_hand) = self.in_hand.get_mut(&key).filter(|in_hand| in_hand.worker == given)
        {
            in_hand.messages = in_hand.messages.saturating_sub(1);
            if in_hand.messages == 0 {
                self.in_hand.remove(&key);
            }
        }
        let worker = self.workers.get_mut(&given.number).filter(|worker| worker.slot.id() == given.id)?;
        worker.in_flight = worker.in_flight.saturating_sub(1);
        if worker.in_flight > 0 {
            return None;
        }
        if worker.leaving {
            return self.workers.remove(&given.number).map(|worker| worker.slot);
        }
        self.free.push_back(given.number);
        None
    }

    /// Enters a worker that has started.
    pub(super) fn add(&mut self, number: u32, slot: Arc<Slot>) {
        let worker = Worker { slot, in_flight: 0, leaving: false, watched: false, gated_until: None };
        self.workers.insert(number, worker);
        self.free.retain(|free| *free != number);
        self.free.push_back(number);
    }

    /// Forgets a worker that is gone.
    pub(super) fn remove(&mut self, slot: &Arc<Slot>) {
        let number = self.find(slot).map(|(number, _)| number);
        if let Some(number) = number {
            self.workers.remove(&number);
            self.free.retain(|free| *free != number);
        }
    }

    fn find(&mut self, slot: &Arc<Slot>) -> Option<(u32, &mut Worker)> {
        let found = self.workers.iter_mut().find(|(_, worker)| Arc::ptr_eq(&worker.slot, slot));
        found.map(|(number, worker)| (*number, worker))
    }

    /// Marks until when a worker's gate is open.
    pub(super) fn set_gated(&mut self, slot: &Arc<Slot>, until: Option<Instant>) {
        if let Some((_, worker)) = self.find(slot) {
            worker.gated_until = until;
        }
    }

    /// Returns when the first worker is tried again, if all are gated.
    pub(super) fn gated_until(&self) -> Option<Instant> {
        if !self.staying().all(|(_, worker)| worker.is_gated()) {
            return None;
        }
        self.staying().filter_map(|(_, worker)| worker.gated_until).min()
    }

    /// Returns the workers that do not run and that nobody waits for, and marks them as waited for. Nobody waits for
    /// any at the beginning of a pool's life.
    pub(super) fn watch_down(&mut self, anew: bool) -> Vec<(u32, Arc<Slot>)> {
        let mut found = Vec::new();
        for (number, worker) in &mut self.workers {
            worker.watched &= !anew;
            if !worker.watched && worker.slot.phase() != Phase::Running {
                worker.watched = true;
                found.push((*number, Arc::clone(&worker.slot)));
            }
        }
        found
    }

    pub(super) fn unwatch(&mut self, slot: &Arc<Slot>) {
        if let Some((_, worker)) = self.find(slot) {
            worker.watched = false;
            worker.gated_until = None;
        }
    }

    /// Brings the workers to a number: those that are too many leave, the highest first, those that were leaving stay.
    /// Returns the numbers that have to be started, and who leaves at once.
    pub(super) fn plan(&mut self, wanted: usize) -> (Vec<u32>, Vec<Arc<Slot>>) {
        let surplus: Vec<u32> = self.staying().map(|(number, _)| number).skip(wanted).collect();
        let mut ending = Vec::new();
        for number in surplus {
            self.free.retain(|free| *free != number);
            let Some(worker) = self.workers.get_mut(&number) else { continue };
            worker.leaving = true;
            if worker.in_flight == 0 {
                ending.extend(self.workers.remove(&number).map(|worker| worker.slot));
            }
        }
        let mut missing = wanted.saturating_sub(self.len());
        for worker in self.workers.values_mut().filter(|worker| worker.leaving).take(missing) {
            // One that leaves is busy, or it would be gone.
            worker.leaving = false;
            missing -= 1;
        }
        let unused = (1..=u32::MAX).filter(|number| !self.workers.contains_key(number));
        (unused.take(missing).collect(), ending)
    }
}
