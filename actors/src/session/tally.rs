//! How many turns ended, and how.

use std::sync::atomic::{AtomicU64, Ordering};

use beluga_core::Code;

use super::record::Outcome;

/// Turns since the node began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TurnTotals {
    /// Ended with an answer.
    pub done: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Taken up again after a crash, each time.
    pub resumed: u64,
}

/// Counts turns.
#[derive(Debug, Default)]
pub(crate) struct TurnTally {
    done: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    resumed: AtomicU64,
}

impl TurnTally {
    /// Returns where a turn of this outcome is counted, once that is recorded.
    pub(crate) fn of(&self, outcome: &Outcome) -> &AtomicU64 {
        match outcome {
            Outcome::Done { .. } => &self.done,
            Outcome::Failed { error } if error.code == Code::Cancelled => &self.cancelled,
            Outcome::Failed { .. } => &self.failed,
        }
    }

    pub(crate) fn resumed(&self) {
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn totals(&self) -> TurnTotals {
        TurnTotals {
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
        }
    }
}
