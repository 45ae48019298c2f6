//! Those who may wait for one thing, each under a key that is its own until it leaves.

use std::task::Waker;

use slab::Slab;

#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// The wakers of those who wait now; `None` for those who were woken or never waited.
    wakers: Slab<Option<Waker>>,
    asleep: usize,
}

impl Sleepers {
    pub(super) fn enter(&mut self) -> usize {
        self.wakers.insert(None)
    }

    pub(super) fn leave(&mut self, key: usize) {
        if self.wakers.try_remove(key).flatten().is_some() {
            self.asleep -= 1;
        }
        if self.wakers.is_empty() {
            // Whoever was here leaves no room behind.
            self.wakers = Slab::new();
        }
    }

    /// Notes that one of them waits, or by which waker now.
    pub(super) fn sleep(&mut self, key: usize, waker: &Waker) {
        match self.wakers.get_mut(key) {
            Some(Some(known)) => known.clone_from(waker),
            Some(none) => {
                *none = Some(waker.clone());
                self.asleep += 1;
            }
            None => {}
        }
    }

    /// Takes the wakers of all who wait.
    pub(super) fn rouse(&mut self, into: &mut Vec<Waker>) {
        if self.asleep > 0 {
            into.extend(self.wakers.iter_mut().filter_map(|(_, waker)| waker.take()));
            self.asleep = 0;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.wakers.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }
}

#[cfg(test)]
impl Sleepers {
    pub(super) fn asleep(&self) -> usize {
        self.asleep
    }
}
