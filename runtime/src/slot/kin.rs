//! Whom a slot supervises, by whom it is supervised, and who wants to know of its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::{Phase, Slot};

/// The children of the living incarnation, by number, which is the order they were started in. A supervisor of a family
/// has very many, so what is done for one of them walks over no others.
pub(crate) struct Children {
    by_id: BTreeMap<u64, Arc<Slot>>,
    /// Set while no incarnation may start children.
    pub(crate) closed: bool,
}

impl Children {
    /// Makes the list of a slot that has not lived yet.
    pub(super) fn new() -> Self {
        Self { by_id: BTreeMap::new(), closed: true }
    }

    pub(crate) fn insert(&mut self, child: &Arc<Slot>) {
        self.by_id.insert(child.id, Arc::clone(child));
    }

    pub(crate) fn remove(&mut self, child: &Slot) {
        self.by_id.remove(&child.id);
    }

    pub(crate) fn contains(&self, child: &Slot) -> bool {
        self.by_id.contains_key(&child.id)
    }

    /// Returns all children, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        self.by_id.values().cloned().collect()
    }
}

impl Slot {
    /// Returns the youngest child below a number that must end with this incarnation.
    pub(crate) fn next_to_end(&self, below: u64) -> Option<Arc<Slot>> {
        let for_good = self.ends_for_good();
        let children = self.children.lock();
        let mut youngest_first = children.by_id.range(..below).rev().map(|(_, child)| child);
        youngest_first.find(|child| for_good || !child.is_resting()).map(Arc::clone)
    }

    pub(crate) fn supervisor(&self) -> Option<Arc<Slot>> {
        self.parent.as_ref().and_then(Weak::upgrade)
    }

    /// Sets what is done when the slot ends for good; at once if it has.
    pub(crate) fn set_on_gone(&self, hook: Box<dyn FnOnce() + Send>) {
        let late = {
            let life = self.life.lock();
            if life.phase == Phase::Gone {
                Some(hook)
            } else {
                *self.on_gone.lock() = Some(hook);
                None
            }
        };
        if let Some(hook) = late {
            hook();
        }
    }

    /// Registers a watcher. False if the slot is gone already.
    pub(crate) fn watch(&self, watcher: &Arc<Slot>) -> bool {
        let life = self.life.lock();
        if life.phase == Phase::Gone {
            return false;
        }
        let mut watchers = self.watchers.lock();
        watchers.retain(|known| known.strong_count() > 0);
        if !watchers.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(watcher))) {
            watchers.push(Arc::downgrade(watcher));
        }
        true
    }

    pub(crate) fn unwatch(&self, watcher: &Arc<Slot>) {
        self.watchers.lock().retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(watcher)));
    }
}
