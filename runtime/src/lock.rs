//! A lock for a few instructions: taken with one atomic operation and released with a plain store.
//!
//! Taking and releasing a lock that knows its waiters costs two atomic operations; an ask takes five locks, and none for
//! longer than a queue takes to be pushed or popped. Whoever finds it taken spins for a moment, then lets others run, and
//! sleeps in the end: its holder was interrupted, and needs a processor to go on.
//!
//! Reason for unsafe: the interface of `lock_api`, which makes the guard, asks for it.
#![allow(unsafe_code)]
#![cfg_attr(beluga_loom, allow(dead_code))] // Only its own model has the lock itself.
#![allow(clippy::disallowed_methods)] // It waits for a thread that was interrupted, not for time.

use std::time::Duration;

#[cfg(not(beluga_loom))]
use lock_api::{GuardNoSend, RawMutex};

use crate::sync::{AtomicBool, Ordering, spin_loop, yield_now};

/// A value behind a lock that is held for a few instructions, never across an await and never while other code is called
/// that may take a lock.
#[cfg(not(beluga_loom))]
pub(crate) type BriefMutex<T> = lock_api::Mutex<Brief, T>;
/// The guard of a [`BriefMutex`].
#[cfg(not(beluga_loom))]
pub(crate) type BriefGuard<'a, T> = lock_api::MutexGuard<'a, Brief, T>;

/// How often it looks again at once; about a microsecond.
const SPINS: u32 = 100;
/// How often it lets others run before it sleeps.
const YIELDS: u32 = 100;
/// How long it sleeps.
const NAP: Duration = Duration::from_micros(50);

/// The lock itself.
pub(crate) struct Brief(AtomicBool);

// SAFETY: `try_take` succeeds for one caller until `give_back`, because it changes false to true in one step; taking
// acquires what giving back released. The models have no such constant and use the lock itself.
#[cfg(not(beluga_loom))]
unsafe impl RawMutex for Brief {
    #[allow(clippy::declare_interior_mutable_const)] // The interface asks for it.
    const INIT: Self = Self(AtomicBool::new(false));
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        self.take();
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.try_take()
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.give_back();
    }
}

#[cfg(beluga_loom)]
impl Brief {
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl Brief {
    #[inline]
    pub(crate) fn take(&self) {
        if !self.try_take() {
            self.take_late();
        }
    }

    #[inline]
    fn try_take(&self) -> bool {
        self.0.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Only for whoever took it.
    #[inline]
    pub(crate) fn give_back(&self) {
        self.0.store(false, Ordering::Release);
    }

    #[cold]
    fn take_late(&self) {
        let mut rounds = 0;
        loop {
            while self.0.load(Ordering::Relaxed) {
                rounds += 1;
                match rounds {
                    0..=SPINS => spin_loop(),
                    _ if rounds <= SPINS + YIELDS => yield_now(),
                    _ => std::thread::sleep(NAP),
                }
            }
            if self.try_take() {
                return;
            }
        }
    }
}

#[cfg(all(test, not(beluga_loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nobody_is_inside_together() {
        let count = Arc::new(BriefMutex::new(0_u64));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let count = Arc::clone(&count);
                let count = move || {
                    for _ in 0..20_000 {
                        let mut count = count.lock();
                        let seen = *count;
                        spin_loop();
                        *count = seen + 1;
                    }
                };
                crate::task::spawn_thread("counter", count).unwrap()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*count.lock(), 80_000);
    }
}
