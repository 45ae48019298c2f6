//! Virtual actors: a key instead of a slot. The first message activates it, idleness passivates it.
//!
//! A family holds at most one activation per key. Concurrent callers share one activation; it runs in its own task, so a
//! caller that leaves does not stop it. A passivated actor has no slot at all: its ref is a key. Passivation is decided
//! by the actor's own drain, which shuts the mailbox in the same step in which it sees it empty; a send that races gets
//! its envelope back and resolves the key again, and the next activation waits until the old slot is gone.
//!
//! When `max_active` is reached the actor that has been idle for longest leaves; busy ones are skipped, and if all are
//! busy the caller gets `overloaded`.

mod table;

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Weak};
use std::time::Duration;

use beluga_core::{BoxFuture, Result};
use parking_lot::Mutex;

use crate::address::Address;
use crate::delivery::{Resolve, Route};
use crate::ground::Ground;
use crate::mailbox::Signal;
use crate::protocol::Protocol;
use crate::reference::Ref;
use crate::slot::Slot;
use crate::spec::Spec;
use crate::system::System;

use table::Table;

/// The default of [`FamilyOptions::idle_after`].
pub const IDLE_AFTER: Duration = Duration::from_secs(300);
/// The default of [`FamilyOptions::max_active`].
pub const MAX_ACTIVE: usize = 10_000;

/// A reference to a key: an ordinary [`Ref`] that activates on demand.
pub type VirtualRef<P> = Ref<P>;

/// The bounds of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyOptions {
    /// After how long without a message and without a job an actor leaves memory; 5 minutes.
    pub idle_after: Duration,
    /// How many actors may be active; 10,000.
    pub max_active: usize,
}

impl Default for FamilyOptions {
    fn default() -> Self {
        Self { idle_after: IDLE_AFTER, max_active: MAX_ACTIVE }
    }
}

/// Where an activation starts, and from what.
#[derive(Debug)]
pub struct Activation<P> {
    /// Who supervises it.
    pub supervisor: Address,
    /// What it is started from; its name must be unique under the supervisor.
    pub spec: Spec<P>,
}

/// Says what a key stands for.
pub trait Activator<P>: Send + Sync + 'static {
    /// Prepares the activation of a key: may load, may refuse.
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<P>>>;
}

/// The virtual actors of one kind. A clone is the same family.
pub struct Family<P> {
    kind: &'static str,
    table: Arc<Table>,
    protocol: PhantomData<fn(P)>,
}

impl<P: Protocol> Family<P> {
    pub(crate) fn new(system: &System, kind: &'static str, options: FamilyOptions) -> Self {
        Self { kind, table: Table::new(system, options), protocol: PhantomData }
    }

    /// Returns the reference of a key. Nothing is started; the first message does that, through the activator.
    #[must_use]
    pub fn resolve(&self, key: impl AsRef<str>, activator: Arc<dyn Activator<P>>) -> VirtualRef<P> {
        let key: Arc<str> = Arc::from(key.as_ref());
        let resolve = Key {
            name: format!("{}/{key}", self.kind),
            kind: self.kind,
            cached: Mutex::new(self.table.active(&key).map_or_else(Weak::new, |slot| Arc::downgrade(&slot))),
            key,
            table: Arc::clone(&self.table),
            activator,
        };
        Ref::to_route(Route::Virtual(Arc::new(resolve)))
    }

    /// Returns the reference of a key that is active now: it leads to this activation only.
    #[must_use]
    pub fn active_ref(&self, key: &str) -> Option<Ref<P>> {
        self.table.active(key).map(Ref::to_slot)
    }

    /// Returns the keys that are active or being activated, sorted.
    #[must_use]
    pub fn active(&self) -> Vec<Arc<str>> {
        self.table.keys()
    }

    /// Returns how many keys are active or being activated.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns whether no key is active.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks the actor of a key to leave memory as soon as it is idle.
    pub fn passivate(&self, key: &str) {
        if let Some(slot) = self.table.active(key) {
            slot.mailbox.signal(Signal::Passivate);
        }
    }
}

impl<P> Clone for Family<P> {
    fn clone(&self) -> Self {
        Self { kind: self.kind, table: Arc::clone(&self.table), protocol: PhantomData }
    }
}

impl<P> fmt::Debug for Family<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family").field("kind", &self.kind).field("active", &self.table.len()).finish()
    }
}

/// One key as a route. It remembers the slot it met last, so that a send to an active actor asks no table.
struct Key<P> {
    key: Arc<str>,
    name: String,
    kind: &'static str,
    cached: Mutex<Weak<Slot>>,
    table: Arc<Table>,
    activator: Arc<dyn Activator<P>>,
}

impl<P: Protocol> Resolve for Key<P> {
    fn active(&self) -> Option<Arc<Slot>> {
        let cached = self.cached.lock().upgrade().filter(|slot| !slot.mailbox.is_closed());
        cached.or_else(|| {
            let slot = self.table.active(&self.key)?;
            *self.cached.lock() = Arc::downgrade(&slot);
            Some(slot)
        })
    }

    fn activate(&self) -> BoxFuture<'static, Result<Arc<Slot>>> {
        let (table, key, activator) = (Arc::clone(&self.table), Arc::clone(&self.key), Arc::clone(&self.activator));
        Box::pin(async move { table.activate(key, activator).await })
    }

    fn ground(&self) -> &Arc<Ground> {
        self.table.ground()
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }
}

impl<P> fmt::Debug for Key<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.name)
    }
}
