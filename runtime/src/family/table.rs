//! Which keys of a family are active.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use beluga_core::{Error, ErrorRecord, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Activation, Activator, FamilyOptions};
use crate::ground::Ground;
use crate::mailbox::Signal;
use crate::protocol::Protocol;
use crate::slot::Slot;
use crate::system::{System, spawn_child};
use crate::{task, time};

/// How many idle actors are asked to leave for one newcomer before it is refused.
const EVICTIONS_MAX: usize = 4;
/// How long an actor that was asked to leave may take to say goodbye.
const EVICTION_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Table {
    ground: Arc<Ground>,
    options: FamilyOptions,
    entries: Mutex<HashMap<Arc<str>, Entry>>,
}

enum Entry {
    Activating(Arc<Waiting>),
    Active(Arc<Slot>),
}

/// The outcome of an activation in progress, for all who wait for it.
#[derive(Default)]
struct Waiting {
    outcome: Mutex<Option<Result<Arc<Slot>, ErrorRecord>>>,
    done: Notify,
}

/// What a caller that found no open mailbox does next.
enum Turn {
    Use(Arc<Slot>),
    WaitFor(Arc<Waiting>),
    /// The old activation is ending; the name is free once it is gone.
    WaitForEnd(Arc<Slot>),
    /// The cap is reached; the actor idle for longest, if one is idle.
    Evict(Option<Arc<Slot>>),
    Start(Arc<Waiting>),
}

impl Table {
    pub(super) fn new(system: &System, options: FamilyOptions) -> Arc<Self> {
        let options = FamilyOptions { max_active: options.max_active.max(1), ..options };
        Arc::new(Self { ground: Arc::clone(system.ground()), options, entries: Mutex::default() })
    }

    pub(super) fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    pub(super) fn active(&self, key: &str) -> Option<Arc<Slot>> {
        match self.entries.lock().get(key) {
            Some(Entry::Active(slot)) if !slot.mailbox.is_closed() => Some(Arc::clone(slot)),
            _ => None,
        }
    }

    pub(super) fn keys(&self) -> Vec<Arc<str>> {
        let mut keys: Vec<_> = self.entries.lock().keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    pub(super) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Returns the slot of a key, starting it or waiting for whoever does.
    pub(super) async fn activate<P: Protocol>(
        self: Arc<Self>,
        key: Arc<str>,
        activator: Arc<dyn Activator<P>>,
    ) -> Result<Arc<Slot>> {
        let mut evictions = 0;
        loop {
            match self.turn(&key) {
                Turn::Use(slot) => return Ok(slot),
                Turn::WaitFor(waiting) => return waiting.outcome().await,
                Turn::WaitForEnd(slot) => slot.wait_gone().await,
                Turn::Evict(oldest) => {
                    evictions += 1;
                    let Some(oldest) = oldest.filter(|_| evictions <= EVICTIONS_MAX) else {
                        return Err(Error::overloaded("every active actor of the family is busy")
                            .with("max_active", self.options.max_active)
                            .with("key", &key));
                    };
                    oldest.mailbox.signal(Signal::Passivate);
                    drop(time::timeout(EVICTION_WAIT, oldest.wait_gone()).await);
                }
                Turn::Start(waiting) => {
                    let start = Arc::clone(&self).start(Arc::clone(&key), activator, Arc::clone(&waiting));
                    drop(task::spawn("activate", start));
                    return waiting.outcome().await;
                }
            }
        }
    }

    fn turn(&self, key: &Arc<str>) -> Turn {
        let mut entries = self.entries.lock();
        match entries.get(key) {
            Some(Entry::Active(slot)) if slot.is_gone() => {}
            Some(Entry::Active(slot)) if slot.mailbox.is_closed() => return Turn::WaitForEnd(Arc::clone(slot)),
            Some(Entry::Active(slot)) => return Turn::Use(Arc::clone(slot)),
            Some(Entry::Activating(waiting)) => return Turn::WaitFor(Arc::clone(waiting)),
            None if entries.len() >= self.options.max_active => return Turn::Evict(idle_longest(&entries)),
            None => {}
        }
        let waiting = Arc::new(Waiting::default());
        entries.insert(Arc::clone(key), Entry::Activating(Arc::clone(&waiting)));
        Turn::Start(waiting)
    }

    async fn start<P: Protocol>(
        self: Arc<Self>,
        key: Arc<str>,
        activator: Arc<dyn Activator<P>>,
        waiting: Arc<Waiting>,
    ) {
        let mut unstarted = Unstarted { table: &self, key: &key, waiting: &waiting, outcome: None };
        let outcome = match activator.activate(&key).await {
            Ok(activation) => self.spawn(activation).await,
            Err(error) => Err(error),
        };
        let outcome = outcome.map_err(|error| ErrorRecord::from(&error.with("key", &key)));
        unstarted.outcome = Some(outcome);
    }

    async fn spawn<P: Protocol>(&self, Activation { supervisor, mut spec }: Activation<P>) -> Result<Arc<Slot>> {
        spec.settings.idle_after = Some(self.options.idle_after);
        let started = spawn_child(&supervisor.0, None, spec).await?;
        match started.active() {
            Some(address) => Ok(address.0),
            None => Err(Error::internal("a started actor has no slot")),
        }
    }

    /// Writes the outcome of an activation into the table and wakes those who wait.
    fn settle(self: &Arc<Self>, key: &Arc<str>, waiting: &Waiting, outcome: Result<Arc<Slot>, ErrorRecord>) {
        {
            let mut entries = self.entries.lock();
            match &outcome {
                Ok(slot) => entries.insert(Arc::clone(key), Entry::Active(Arc::clone(slot))),
                Err(_) => entries.remove(key),
            };
        }
        if let Ok(slot) = &outcome {
            let (table, key): (Weak<Self>, _) = (Arc::downgrade(self), Arc::clone(key));
            slot.set_on_gone(Box::new(move || {
                if let Some(table) = table.upgrade() {
                    table.forget_gone(&key);
                }
            }));
        }
        *waiting.outcome.lock() = Some(outcome);
        waiting.done.notify_waiters();
    }

    fn forget_gone(&self, key: &Arc<str>) {
        let mut entries = self.entries.lock();
        if matches!(entries.get(key), Some(Entry::Active(slot)) if slot.is_gone()) {
            entries.remove(key);
        }
    }
}

/// Settles an activation however it ends: a panic or an abort of its task must not leave callers waiting.
struct Unstarted<'a> {
    table: &'a Arc<Table>,
    key: &'a Arc<str>,
    waiting: &'a Waiting,
    outcome: Option<Result<Arc<Slot>, ErrorRecord>>,
}

impl Drop for Unstarted<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| {
            Err(ErrorRecord::from(&Error::internal("the activation panicked or was dropped").with("key", self.key)))
        });
        self.table.settle(self.key, self.waiting, outcome);
    }
}

impl Waiting {
    async fn outcome(&self) -> Result<Arc<Slot>> {
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            done.as_mut().enable();
            if let Some(outcome) = &*self.outcome.lock() {
                return outcome.clone().map_err(Error::from);
            }
            done.await;
        }
    }
}

/// Returns the actor that has been idle for longest.
fn idle_longest(entries: &HashMap<Arc<str>, Entry>) -> Option<Arc<Slot>> {
    let idle_since = |slot: &Arc<Slot>| slot.stats.idle_since_ns.load(Ordering::Relaxed);
    let active = entries.values().filter_map(|entry| match entry {
        Entry::Active(slot) if idle_since(slot) != 0 => Some(slot),
        _ => None,
    });
    active.min_by_key(|slot| idle_since(slot)).map(Arc::clone)
}
