//! Where threads leave bundles of boxes for each other: who only sends needs what who only handles is done with.
//!
//! It is of the process, as the memory is. What lies here is nobody's state: no system can tell whose message a box held.
#![allow(unsafe_code)] // A place of memory may be handed to another thread; the compiler cannot know.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::BOXES_MAX;

/// How many bundles of a layout are kept.
const BUNDLES_MAX: usize = 16;

/// How many boxes a bundle has: it leaves a full shelf half full.
const BUNDLE: usize = BOXES_MAX / 2;

/// The bundles of one layout.
pub(super) struct Depot {
    /// How many there are, to look at without the lock.
    count: AtomicUsize,
    bundles: Mutex<Vec<Bundle>>,
}

struct Bundle(Vec<NonNull<u64>>);

// SAFETY: it owns memory that holds nothing, and whoever gets it is the only one to have it.
unsafe impl Send for Bundle {}

impl Depot {
    pub(super) const fn new() -> Self {
        Self { count: AtomicUsize::new(0), bundles: Mutex::new(Vec::new()) }
    }

    /// Returns whether there seems to be any.
    pub(super) fn has_some(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Takes a bundle from a full shelf, unless there are enough.
    #[cold]
    pub(super) fn leave(&self, shelf: &mut Vec<NonNull<u64>>) -> bool {
        if self.count.load(Ordering::Relaxed) >= BUNDLES_MAX {
            return false;
        }
        let mut bundles = self.bundles.lock();
        if bundles.len() >= BUNDLES_MAX {
            return false;
        }
        bundles.push(Bundle(shelf.split_off(shelf.len().saturating_sub(BUNDLE))));
        self.count.store(bundles.len(), Ordering::Relaxed);
        true
    }

    /// Puts a bundle on an empty shelf, if there is one.
    #[cold]
    pub(super) fn fetch(&self, shelf: &mut Vec<NonNull<u64>>) {
        if !self.has_some() {
            return;
        }
        let mut bundles = self.bundles.lock();
        if let Some(Bundle(boxes)) = bundles.pop() {
            self.count.store(bundles.len(), Ordering::Relaxed);
            drop(bundles);
            shelf.extend(boxes);
        }
    }
}
