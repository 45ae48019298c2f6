//! Locks, atomics and cells of the parts that are model checked (`models.rs`): the real ones, or loom's under
//! `--cfg beluga_loom`. Everything else takes its own from where it likes.

#[cfg(not(beluga_loom))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, Ordering};

    pub(crate) use crate::lock::{BriefGuard, BriefMutex};
    pub(crate) use parking_lot::Mutex;

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

#[cfg(not(beluga_loom))]
pub(crate) use real::{AtomicBool, AtomicU8, AtomicU16, BriefGuard, BriefMutex, Mutex, Ordering, UnsafeCell};
