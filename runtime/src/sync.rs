//! Locks, atomics and cells of the parts that are model checked (`models`): the real ones, or loom's under
//! `--cfg beluga_loom`. Everything else takes its own from where it likes.

#[cfg(not(beluga_loom))]
mod real {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
    pub(crate) use std::thread::yield_now;

    pub(crate) use crate::lock::{BriefGuard, BriefMutex};
    pub(crate) use parking_lot::{Mutex, MutexGuard};

    /// A place whose owner is known by other means, with loom's interface.
    #[derive(Debug, Default)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Gives the place to `touch`; it is for the caller to know that nobody else touches it.
        pub(crate) fn with_mut<R>(&self, touch: impl FnOnce(*mut T) -> R) -> R {
            touch(self.0.get())
        }
    }
}

#[cfg(beluga_loom)]
mod model {
    pub(crate) use std::sync::atomic::Ordering;

    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};
    pub(crate) use loom::sync::{MutexGuard, MutexGuard as BriefGuard};
    pub(crate) use loom::thread::yield_now;

    use loom::sync::atomic::fence;

    /// The brief lock has a model of its own; the others take a lock for what it is.
    pub(crate) type BriefMutex<T> = Mutex<T>;

    /// loom's lock with the real one's interface: no panic poisons it.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        #[track_caller]
        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    /// loom takes a sequentially consistent access for an acquiring or releasing one, but knows such fences. With them the
    /// accesses among themselves have the one order the real ones have.
    #[derive(Debug)]
    pub(crate) struct AtomicBool(loom::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> Self {
            Self(loom::sync::atomic::AtomicBool::new(value))
        }

        #[track_caller]
        pub(crate) fn load(&self, order: Ordering) -> bool {
            if order == Ordering::SeqCst {
                fence(order);
            }
            self.0.load(order)
        }

        #[track_caller]
        pub(crate) fn store(&self, value: bool, order: Ordering) {
            self.0.store(value, order);
            if order == Ordering::SeqCst {
                fence(order);
            }
        }

        #[track_caller]
        pub(crate) fn compare_exchange(
            &self,
            current: bool,
            new: bool,
            success: Ordering,
            failure: Ordering,
        ) -> Result<bool, bool> {
            self.0.compare_exchange(current, new, success, failure)
        }
    }
}

#[cfg(beluga_loom)]
pub(crate) use model::*;
#[cfg(not(beluga_loom))]
pub(crate) use real::*;
