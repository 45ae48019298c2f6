//! What a pool shares with its successors and its workers' leases: the roster, and the message that found no worker.
//!
//! One lock guards it. Nothing of a message is dropped under it: a dropped lease takes it too. What has to be buried,
//! answered or stopped is put down in [`After`] and done when the lock is free. Below it come the locks of slots and
//! mailboxes, never the other way round.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use beluga_core::Error;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::dead_letter::DeadReason;
use crate::envelope::Envelope;
use crate::mailbox::{Overflow, Refusal};
use crate::message::Lane;
use crate::slot::{Phase, Slot};
use crate::task;

use super::handle::{PoolStatus, WorkerStatus};
use super::keys::{Keys, PoolKey};
use super::roster::{Given, Roster};
use super::settings::Routing;

pub(super) struct Crew {
    routing: Routing,
    keys: Keys,
    /// The pool's own slot. Weak: its recipe holds the crew.
    slot: OnceLock<Weak<Slot>>,
    desk: Mutex<Desk>,
    /// Taken by whoever changes the number of workers.
    pub(super) resizing: tokio::sync::Mutex<()>,
}

struct Desk {
    roster: Roster,
    /// Ordinary messages that left the queue and found no worker; the queue is held while there are any, so it is one,
    /// or a few after a race.
    waiting: VecDeque<Waiting>,
    /// Whether the queue is held.
    held: bool,
    /// Until when the pool's own gate is open.
    gated: Option<Instant>,
    /// Whether a task is on its way to settle what waits.
    settling: bool,
    handed: u64,
}

struct Waiting {
    envelope: Envelope,
    key: Option<PoolKey>,
}

/// What is done once the lock is free.
#[derive(Default)]
struct After {
    buried: Vec<(Arc<Slot>, Envelope, DeadReason, Error)>,
    leaving: Option<Arc<Slot>>,
}

impl After {
    fn run(self) {
        for (slot, envelope, reason, error) in self.buried {
            slot.bury(envelope, reason, error);
        }
        if let Some(slot) = self.leaving {
            slot.request_stop(true);
        }
    }
}

/// Tells the pool by its drop that a worker has done with a message.
struct Lease {
    crew: Weak<Crew>,
    given: Given,
    key: Option<PoolKey>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(crew) = self.crew.upgrade() {
            crew.take_back(self.given, self.key);
        }
    }
}

impl Crew {
    pub(super) fn new(routing: Routing, keys: Keys, seed: u64) -> Arc<Self> {
        let desk = Desk {
            roster: Roster::new(seed),
            waiting: VecDeque::new(),
            held: false,
            gated: None,
            settling: false,
            handed: 0,
        };
        Arc::new(Self {
            routing,
            keys,
            slot: OnceLock::new(),
            desk: Mutex::new(desk),
            resizing: tokio::sync::Mutex::new(()),
        })
    }

    /// Makes the pool's slot known, and forgets what its last incarnation had begun.
    pub(super) fn begin(&self, slot: &Arc<Slot>) {
        // Every incarnation has the same slot.
        let _ = self.slot.set(Arc::downgrade(slot));
        // The launch of the pool has shut its gate.
        self.desk.lock().gated = None;
    }

    fn slot(&self) -> Option<Arc<Slot>> {
        self.slot.get().and_then(Weak::upgrade)
    }

    /// Gives a message of the pool's to a worker, or keeps it and holds the queue.
    pub(super) fn forward(self: &Arc<Self>, envelope: Envelope) {
        // The application's code, so not under the lock.
        let key = self.keys.of(&*envelope);
        let mut after = After::default();
        {
            let mut desk = self.desk.lock();
            let message = Waiting { envelope, key };
            let queues = !desk.waiting.is_empty() && !is_urgent(message.envelope.head().lane);
            let kept = if queues { Some(message) } else { self.place(&mut desk, message, &mut after) };
            desk.waiting.extend(kept);
            self.hold_or_release(&mut desk);
        }
        after.run();
    }

    /// Finds a worker for a message; gives it back if it has to wait.
    fn place(self: &Arc<Self>, desk: &mut Desk, mut message: Waiting, after: &mut After) -> Option<Waiting> {
        let urgent = is_urgent(message.envelope.head().lane);
        let in_turn = self.routing == Routing::RoundRobin && !urgent;
        let rounds = if in_turn { desk.roster.len() } else { 1 };
        let mut refused = None;
        for _ in 0..rounds {
            let Some((number, worker)) = desk.roster.pick(self.routing, message.key, urgent) else { break };
            match self.offer(desk, number, &worker, message, after) {
                Ok(()) => return None,
                Err((refusal, back)) => {
                    message = back;
                    refused = Some((worker, refusal));
                }
            }
        }
        let lane = message.envelope.head().lane;
        let (slot, reason, error) = match refused {
            None if desk.roster.is_empty() => {
                let Some(slot) = self.slot() else { return Some(message) };
                let error = Error::unavailable("the pool has no worker").with("actor", slot.name());
                (slot, DeadReason::Stopped, error)
            }
            None => return Some(message),
            Some((worker, Refusal::Full)) => {
                if !urgent && worker.settings.lanes.of(lane).overflow == Overflow::Wait {
                    return Some(message);
                }
                let error = Error::overloaded("the lane is full").with("actor", worker.name());
                (worker, DeadReason::Overflow, error.with("lane", lane.as_str()))
            }
            // Its exit will be told, and what waits looks for another.
            Some(_) if !urgent => return Some(message),
            Some((worker, Refusal::Gated(until))) => {
                let error = worker.refusal_gated(until);
                (worker, DeadReason::Stopped, error)
            }
            Some((worker, _)) => {
                let error = worker.refusal_gone();
                (worker, DeadReason::Stopped, error)
            }
        };
        after.buried.push((slot, message.envelope, reason, error));
        None
    }

    /// Puts a message into a worker's lane with a lease, or gives it back without one.
    fn offer(
        self: &Arc<Self>,
        desk: &mut Desk,
        number: u32,
        worker: &Arc<Slot>,
        message: Waiting,
        after: &mut After,
    ) -> Result<(), (Refusal, Waiting)> {
        let Waiting { mut envelope, key } = message;
        let lane = envelope.head().lane;
        let given = Given { number, id: worker.id() };
        envelope.head_mut().lease = Some(Box::new(Lease { crew: Arc::downgrade(self), given, key }));
        match worker.mailbox.offer(lane, envelope, None) {
            Ok(dropped) => {
                desk.roster.gave(number, key);
                desk.handed += 1;
                let buried = dropped.map(|dropped| {
                    let error = Error::overloaded("the lane is full").with("actor", worker.name());
                    (Arc::clone(worker), dropped, DeadReason::Overflow, error.with("lane", lane.as_str()))
                });
                after.buried.extend(buried);
                Ok(())
            }
            Err((refusal, mut envelope)) => {
                // Nothing was counted, so its drop must tell nothing.
                if let Some(Ok(mut lease)) = envelope.head_mut().lease.take().map(|lease| lease.downcast::<Lease>()) {
                    lease.crew = Weak::new();
                }
                Err((refusal, Waiting { envelope, key }))
            }
        }
    }

    fn take_back(self: &Arc<Self>, given: Given, key: Option<PoolKey>) {
        let mut after = After::default();
        let settle = {
            let mut desk = self.desk.lock();
            after.leaving = desk.roster.took_back(given, key);
            if desk.waiting.is_empty() {
                self.hold_or_release(&mut desk);
            }
            !desk.waiting.is_empty() && !std::mem::replace(&mut desk.settling, true)
        };
        after.run();
        if !settle {
            return;
        }
        // Not here: a worker that gives a lease back because it is about to end still looks as if it ran.
        if Handle::try_current().is_ok() {
            let crew = Arc::clone(self);
            drop(task::spawn("pool", async move { crew.settle() }));
        }
    }

    /// Looks for workers for what waits. Called after every change that may have brought one.
    pub(super) fn settle(self: &Arc<Self>) {
        let mut after = After::default();
        {
            let mut desk = self.desk.lock();
            desk.settling = false;
            while let Some(message) = desk.waiting.pop_front() {
                if let Some(message) = self.place(&mut desk, message, &mut after) {
                    desk.waiting.push_front(message);
                    break;
                }
            }
            self.hold_or_release(&mut desk);
            self.gate(&mut desk);
        }
        after.run();
    }

    /// Holds the pool's queue while its next message would find no worker.
    fn hold_or_release(&self, desk: &mut Desk) {
        let by_free = matches!(self.routing, Routing::Queuer | Routing::Sticky);
        let none_free = by_free && !desk.roster.is_empty() && !desk.roster.has_free();
        let hold = none_free || !desk.waiting.is_empty();
        if hold != desk.held
            && let Some(slot) = self.slot()
        {
            desk.held = hold;
            slot.mailbox.set_held(hold);
        }
    }

    /// Opens the pool's own gate while all workers' are open: what was accepted waits, callers hear when to come again.
    fn gate(&self, desk: &mut Desk) {
        let until = desk.roster.gated_until();
        if until != desk.gated
            && let Some(slot) = self.slot()
        {
            desk.gated = until;
            slot.mailbox.gate(until);
        }
    }

    /// Enters a worker that has started.
    pub(super) fn join(self: &Arc<Self>, number: u32, slot: Arc<Slot>) {
        self.desk.lock().roster.add(number, slot);
        self.settle();
    }

    /// A worker went down: until its gate shuts, or for a moment.
    pub(super) fn down(self: &Arc<Self>, slot: &Arc<Slot>, gated_until: Option<Instant>) {
        self.desk.lock().roster.set_gated(slot, gated_until);
        self.settle();
    }

    /// A worker is gone for good.
    pub(super) fn lost(self: &Arc<Self>, slot: &Arc<Slot>) {
        self.desk.lock().roster.remove(slot);
        self.settle();
    }

    /// Returns the workers that somebody should wait for. Anew, nobody waits for any yet.
    pub(super) fn watch_down(&self, anew: bool) -> Vec<(u32, Arc<Slot>)> {
        self.desk.lock().roster.watch_down(anew)
    }

    /// Waits until a worker takes messages again, or never will.
    pub(super) async fn await_worker(self: Arc<Self>, slot: Arc<Slot>) {
        loop {
            slot.wait_running().await;
            // In one step: a crash before it is waited out here, one after it is told to the pool, which waits anew.
            let phase = {
                let mut desk = self.desk.lock();
                let phase = slot.phase();
                if phase == Phase::Running {
                    desk.roster.unwatch(&slot);
                }
                phase
            };
            match phase {
                Phase::Running => return self.settle(),
                Phase::Gone => return self.lost(&slot),
                _ => {}
            }
        }
    }

    /// Brings the workers to a number. Returns the numbers of those that have to be started.
    pub(super) fn plan(self: &Arc<Self>, wanted: usize) -> Vec<u32> {
        let (missing, ending) = self.desk.lock().roster.plan(wanted);
        for slot in ending {
            slot.request_stop(true);
        }
        self.settle();
        missing
    }

    pub(super) fn is_new(&self) -> bool {
        self.desk.lock().roster.workers.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.desk.lock().roster.len()
    }

    /// The pool ended for good: what found no worker is answered.
    pub(super) fn end(&self, slot: &Arc<Slot>) {
        let waiting = std::mem::take(&mut self.desk.lock().waiting);
        for message in waiting {
            slot.bury(message.envelope, DeadReason::Stopped, slot.refusal_gone());
        }
    }

    pub(super) fn status(&self) -> PoolStatus {
        let queued: usize = self.slot().map_or(0, |slot| slot.mailbox.depths().0.iter().sum());
        let desk = self.desk.lock();
        let workers = desk.roster.workers.values();
        PoolStatus {
            routing: self.routing,
            workers: workers
                .map(|worker| WorkerStatus {
                    name: worker.slot.name().to_string(),
                    state: worker.slot.phase(),
                    in_flight: worker.in_flight,
                    leaving: worker.leaving,
                })
                .collect(),
            waiting: queued + desk.waiting.len(),
            handed: desk.handed,
        }
    }

    /// Returns what the tree shows of the pool; its workers stand below it.
    pub(super) fn shown(&self) -> Value {
        let desk = self.desk.lock();
        let workers = &desk.roster.workers;
        let busy = workers.values().filter(|worker| worker.in_flight > 0).count();
        json!({
            "routing": self.routing, "workers": desk.roster.len(), "leaving": workers.len() - desk.roster.len(),
            "busy": busy, "handed": desk.handed,
        })
    }
}

fn is_urgent(lane: Lane) -> bool {
    matches!(lane, Lane::Control | Lane::Interrupt)
}
