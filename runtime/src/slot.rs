//! A slot: the lasting part of an actor. It owns the mailbox, the children's list, the supervision data and the name;
//! incarnations come and go on it. Its [life](life) and its [kin](kin) have a file each.

mod kin;
mod life;
#[cfg(test)]
mod tests;
mod waiters;

use std::any::TypeId;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use beluga_core::Error;
use parking_lot::Mutex;

use crate::breaker::Breaker;
use crate::dead_letter::DeadReason;
use crate::family::Seat;
use crate::ground::Ground;
use crate::incarnation::Incarnation;
use crate::mailbox::Mailbox;
use crate::shell::Incarnate;
use crate::spec::Settings;
use crate::time;

pub(crate) use kin::Attached;
use kin::Children;
pub use life::Phase;
pub(crate) use life::{Fate, Life};

pub(crate) struct Slot {
    id: u64,
    name: Arc<str>,
    pub(crate) ground: Arc<Ground>,
    pub(crate) parent: Option<Weak<Slot>>,
    pub(crate) settings: Settings,
    pub(crate) mailbox: Mailbox,
    pub(crate) stats: Stats,
    pub(crate) breaker: Option<Arc<Breaker>>,
    kind: &'static str,
    protocol: TypeId,
    pub(crate) life: Mutex<Life>,
    pub(crate) children: Mutex<Children>,
    attached: Mutex<Option<Box<Attached>>>,
    /// What a virtual actor's family knows it by; `None` for any other.
    pub(crate) seat: Option<Box<Seat>>,
}

/// Counters an incarnation writes and introspection reads.
#[derive(Default)]
pub(crate) struct Stats {
    pub(crate) handled: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) job_panics: AtomicU64,
    pub(crate) restarts: AtomicU32,
    /// Since when a handler awaits, in nanoseconds of the coarse clock; 0 for not.
    pub(crate) hand_since_ns: AtomicU64,
    /// What it handles; `None` for a step of its life.
    pub(crate) hand_message: Mutex<Option<&'static str>>,
}

impl Stats {
    /// Counts handled messages. Called by the drain alone.
    pub(crate) fn add_handled(&self, count: u64) {
        self.handled.store(self.handled.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }
}

impl Slot {
    pub(crate) fn new(
        ground: &Arc<Ground>,
        parent: Option<&Arc<Slot>>,
        name: Arc<str>,
        recipe: Arc<dyn Incarnate>,
        settings: Settings,
        seat: Option<Box<Seat>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: ground.next_id(),
            kind: recipe.kind(),
            protocol: recipe.protocol(),
            breaker: settings.breaker.map(|config| Breaker::new(Arc::clone(&name), config)),
            name,
            ground: Arc::clone(ground),
            parent: parent.map(Arc::downgrade),
            mailbox: Mailbox::new(settings.lanes),
            stats: Stats::default(),
            life: Mutex::new(Life::new(recipe)),
            children: Mutex::new(Children::new()),
            attached: Mutex::default(),
            settings,
            seat,
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Counts that the actor is built anew.
    pub(crate) fn count_restart(&self) {
        self.stats.restarts.fetch_add(1, Ordering::Relaxed);
        self.ground.count_restart(self.kind);
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn protocol(&self) -> TypeId {
        self.protocol
    }

    /// Shuts the door for good: what was accepted stays, and a virtual actor's senders look for the next activation.
    pub(crate) fn shut(&self) {
        self.mailbox.close();
        if let Some(seat) = &self.seat {
            seat.shut(self);
        }
    }

    /// The actor rests; a loath one does not want to leave memory. A virtual actor's family is told.
    pub(crate) fn rest(self: &Arc<Self>, loath: bool) {
        if let Some(seat) = &self.seat {
            seat.rest(self, self.ground.clock.read(), loath);
        }
    }

    /// The actor works again, or its incarnation has ended.
    pub(crate) fn wake(&self) {
        if let Some(seat) = &self.seat {
            seat.wake();
        }
    }

    /// The last job of the actor has ended.
    pub(crate) fn jobs_ended(self: &Arc<Self>) {
        if let Some(seat) = &self.seat {
            seat.jobs_ended(self, self.ground.clock.read());
        }
    }

    /// Returns whether messages wait for the actor or jobs run for it, although it may rest just now.
    pub(crate) fn has_work(&self) -> bool {
        let (depths, _) = self.mailbox.depths();
        let has_jobs = |incarnation: &Arc<Incarnation>| !incarnation.jobs.is_idle();
        depths.into_iter().any(|depth| depth > 0) || self.life.lock().incarnation.as_ref().is_some_and(has_jobs)
    }

    /// Turns a message into a dead letter and answers whoever waits for it.
    pub(crate) fn bury(&self, envelope: crate::envelope::Envelope, reason: DeadReason, answer: Error) {
        let kept = if envelope.head().keep { envelope.kept() } else { None };
        self.ground.bury(&self.name, envelope.head(), reason, kept, None);
        envelope.refuse(answer);
    }

    /// Does that to everything that still waits. The door must be shut.
    fn bury_rest(&self) {
        for envelope in self.mailbox.empty() {
            self.bury(envelope, DeadReason::Stopped, self.refusal_gone());
        }
    }

    pub(crate) fn refusal_gone(&self) -> Error {
        Error::not_sent("the actor ended").with_retry(beluga_core::Retry::Never).with("actor", &self.name)
    }

    pub(crate) fn refusal_gated(&self, until: Instant) -> Error {
        let wait = until.saturating_duration_since(time::now());
        Error::unavailable("the actor's restarts are used up")
            .with_retry(beluga_core::Retry::After(wait))
            .with("actor", &self.name)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.id)
    }
}
