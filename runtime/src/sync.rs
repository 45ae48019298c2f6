//! The lock of the parts that are model checked. Everything else takes its locks from `parking_lot` directly.

#[cfg(not(beluga_loom))]
pub(crate) use parking_lot::Mutex;
