//! What all slots of one system share: its name, clock, randomness, dead letters, limits and the index of names.
//!
//! The ground holds slots weakly, a slot holds the ground strongly and its children strongly; so nothing keeps itself alive.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use beluga_core::{CallContext, Result};
use parking_lot::Mutex;

use crate::cell::Carriers;
use crate::clock::Clock;
use crate::dead_letter::{DeadLetter, DeadLetters, DeadReason};
use crate::envelope::Head;
use crate::group::Groups;
use crate::naming::Names;
use crate::random::SystemRandom;
use crate::slot::Slot;
use crate::topic::Topics;
use crate::waits::WaitTable;
use crate::watchdog::beats::{Beat, Beats};
use crate::watchdog::{Watchdog, WatchdogSettings};
use crate::wire::Registry;

/// The settings of one system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroundSettings {
    pub(crate) ask_timeout: Duration,
    pub(crate) shutdown_grace: Duration,
    pub(crate) watchdog: WatchdogSettings,
}

pub(crate) struct Ground {
    pub(crate) name: Arc<str>,
    pub(crate) settings: GroundSettings,
    pub(crate) clock: Arc<Clock>,
    pub(crate) random: SystemRandom,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) root: OnceLock<Weak<Slot>>,
    next_id: AtomicU64,
    killed: AtomicU64,
    /// How often actors of a kind were built anew.
    restarts: Mutex<BTreeMap<&'static str, u64>>,
    index: Names<Weak<Slot>>,
    pub(crate) groups: Groups<u64, Weak<Slot>>,
    pub(crate) topics: Topics<u64>,
    pub(crate) waits: Arc<WaitTable>,
    pub(crate) beats: Arc<Beats>,
    pub(crate) watchdog: Watchdog,
    pub(crate) carriers: Arc<Carriers>,
    /// What may be said from other nodes.
    pub(crate) wire: Registry,
}

impl Ground {
    pub(crate) fn new(
        name: Arc<str>,
        settings: GroundSettings,
        random: SystemRandom,
        dead_letters: DeadLetters,
    ) -> Arc<Self> {
        let clock = Arc::new(Clock::new());
        Arc::new(Self {
            name,
            settings,
            random,
            dead_letters,
            root: OnceLock::new(),
            next_id: AtomicU64::new(1),
            killed: AtomicU64::new(0),
            restarts: Mutex::default(),
            index: Names::default(),
            groups: Groups::new(),
            topics: Topics::new(),
            waits: WaitTable::new(Arc::clone(&clock)),
            beats: Beats::new(),
            watchdog: Watchdog::default(),
            carriers: Arc::default(),
            wire: Registry::default(),
            clock,
        })
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts an actor that did not stop in its time.
    pub(crate) fn count_kill(&self) {
        self.killed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn killed(&self) -> u64 {
        self.killed.load(Ordering::Relaxed)
    }

    /// Counts an actor that is built anew.
    pub(crate) fn count_restart(&self, kind: &'static str) {
        *self.restarts.lock().entry(kind).or_default() += 1;
    }

    pub(crate) fn restarts(&self) -> BTreeMap<&'static str, u64> {
        self.restarts.lock().clone()
    }

    /// Enters a name.
    pub(crate) fn enter(&self, slot: &Arc<Slot>) -> Result<()> {
        self.index.enter(Arc::clone(slot.name()), Arc::downgrade(slot))
    }

    /// Removes a name, if it is still this slot's, and all memberships.
    pub(crate) fn leave(&self, slot: &Slot) {
        self.index.remove(slot.name(), |entered| std::ptr::eq(entered.as_ptr(), slot));
        self.groups.leave_all(&slot.id());
        self.topics.unsubscribe_all(&slot.id());
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Slot>> {
        self.index.get(name).as_ref().and_then(Weak::upgrade)
    }

    /// Returns the names of all live actors, sorted.
    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.index.names()
    }

    /// Returns all live actors.
    pub(crate) fn slots(&self) -> Vec<Arc<Slot>> {
        self.names().iter().filter_map(|name| self.find(name)).collect()
    }

    /// Writes a dead letter.
    pub(crate) fn bury(
        &self,
        actor: &Arc<str>,
        head: &Head,
        reason: DeadReason,
        payload: Option<String>,
        panic: Option<Arc<str>>,
    ) {
        let context = head.carried.nearest().unwrap_or_else(|| CallContext::root());
        let trace = context.trace();
        self.dead_letters.push(DeadLetter {
            reason,
            message: head.name(),
            id: context.message(),
            actor: Arc::clone(actor),
            sender: self.name_of(head.sender),
            lane: head.lane,
            age: Duration::from_nanos(self.clock.read().saturating_sub(head.sent_ns)),
            tenant: context.tenant().to_string(),
            trace: trace.is_valid().then(|| trace.to_string()),
            panic,
            payload,
        });
    }

    /// Finds the name behind an id, for dead letters. Walks the index; never on a hot path.
    pub(crate) fn name_of(&self, id: u64) -> Option<Arc<str>> {
        if id == 0 {
            return None;
        }
        self.slots().iter().find(|slot| slot.id() == id).map(|slot| Arc::clone(slot.name()))
    }
}

thread_local! {
    static CURRENT: Cell<u64> = const { Cell::new(0) };
}

/// Marks the code of a job, which does not hold its actor up.
pub(crate) const IN_JOB: u64 = 1 << 63;

/// Returns whose code this thread runs: the actor's id, marked if it is a job's, 0 for none.
#[inline]
pub(crate) fn current() -> u64 {
    CURRENT.get()
}

/// Returns the id of the actor whose code this thread runs, 0 for none.
#[inline]
pub(crate) fn current_actor() -> u64 {
    current() & !IN_JOB
}

/// Returns whether this thread runs a handler, and no job, of an actor.
#[inline]
pub(crate) fn in_handler() -> bool {
    let current = current();
    current != 0 && current & IN_JOB == 0
}

/// Sets the current actor of this thread until the result drops, and lets the watchdog see it.
pub(crate) fn enter_actor(beats: &Arc<Beats>, id: u64) -> Entered<'_> {
    Entered { beat: beats.begin(id), before: CURRENT.replace(id) }
}

/// Sets the actor whose job this thread runs until the result drops, and lets the watchdog see it.
pub(crate) fn enter_job(beats: &Arc<Beats>, id: u64) -> Entered<'_> {
    enter_actor(beats, id | IN_JOB)
}

pub(crate) struct Entered<'a> {
    before: u64,
    beat: Option<&'a Beat>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
        if let Some(beat) = self.beat {
            beat.end();
        }
    }
}
