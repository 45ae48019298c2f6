//! How a store is doing.

use std::sync::atomic::{AtomicU64, Ordering};

/// What [`Sqlite::health`](super::Sqlite::health) returns: a moment's view, counted since the open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes writes.
    pub state: HealthState,
    /// Writes that are queued or being committed.
    pub pending: usize,
    /// Their bytes.
    pub pending_bytes: usize,
    /// Append groups committed.
    pub groups: u64,
    /// Transactions committed.
    pub commits: u64,
    /// How many of them were synced to the disk.
    pub syncs: u64,
}

impl Health {
    /// Returns whether it takes writes.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state == HealthState::Open
    }
}

/// Whether a store takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthState {
    /// It does.
    Open,
    /// It was closed.
    Closed,
    /// The writer died; the text says why. It takes a reopen.
    Failed(String),
}

/// Counted by the writer.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) groups: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) syncs: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }
}
