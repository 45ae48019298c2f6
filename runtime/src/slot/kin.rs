//! Whom a slot supervises, by whom it is supervised, and who wants to know of its end.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::{Phase, Slot};
use crate::actor::StatusSource;
use crate::exit::ExitReason;
use crate::testkit::Injected;

/// What few actors have: made with the first of it.
#[derive(Default)]
pub(crate) struct Attached {
    /// Who wants to know of the end.
    pub(super) watchers: Vec<Weak<Slot>>,
    /// What is done at the end.
    pub(super) on_gone: Option<Box<dyn FnOnce() + Send>>,
    /// The living incarnation's own view of itself.
    pub(super) status: Option<StatusSource>,
    /// What the test kit lets happen to the messages.
    pub(crate) faults: Option<Injected>,
}

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

    /// Returns whether it was one.
    pub(crate) fn remove(&mut self, child: &Slot) -> bool {
        self.by_id.remove(&child.id).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
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

    /// Changes what few actors have; it is made if there is none yet.
    pub(crate) fn attach<T>(&self, change: impl FnOnce(&mut Attached) -> T) -> T {
        change(self.attached.lock().get_or_insert_default())
    }

    /// Looks at what few actors have; `None` if there is nothing.
    pub(crate) fn attached<T>(&self, look: impl FnOnce(&mut Attached) -> T) -> Option<T> {
        self.attached.lock().as_deref_mut().map(look)
    }

    /// Lets nobody start a child of this incarnation any more. Returns whether there are children.
    pub(crate) fn close_children(&self) -> bool {
        let mut children = self.children.lock();
        children.closed = true;
        !children.is_empty()
    }

    /// Ends those that rest for an incarnation that will not come.
    pub(super) fn end_resting(&self, reason: &ExitReason) {
        let children = {
            let children = self.children.lock();
            if children.is_empty() {
                return;
            }
            children.all()
        };
        children.iter().rev().filter(|child| child.is_resting()).for_each(|child| child.terminate(reason));
    }

    /// Sets the actor's own view of itself.
    pub(crate) fn show(&self, status: StatusSource) {
        let earlier = self.attach(|attached| attached.status.replace(status));
        drop(earlier);
    }

    /// Forgets the actor's own view of itself. It is users' code, and drops without the lock.
    pub(crate) fn hide(&self) {
        let status = self.attached(|attached| attached.status.take());
        drop(status);
    }

    /// Returns the actor's own view of itself.
    pub(crate) fn status(&self) -> Option<StatusSource> {
        self.attached(|attached| attached.status.clone()).flatten()
    }

    /// Sets what is done when the slot ends for good; at once if it has.
    pub(crate) fn set_on_gone(&self, hook: Box<dyn FnOnce() + Send>) {
        let late = {
            let life = self.life.lock();
            if life.phase == Phase::Gone {
                Some(hook)
            } else {
                self.attach(|attached| attached.on_gone = Some(hook));
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
        self.attach(|Attached { watchers, .. }| {
            watchers.retain(|known| known.strong_count() > 0);
            if !watchers.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(watcher))) {
                watchers.push(Arc::downgrade(watcher));
            }
        });
        true
    }

    pub(crate) fn unwatch(&self, watcher: &Arc<Slot>) {
        self.attached(|Attached { watchers, .. }| {
            watchers.retain(|known| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(watcher)));
        });
    }
}
