//! A token bucket that may be in debt.

use std::time::{Duration, Instant};

/// One minute's worth, refilled evenly. Constant size.
#[derive(Debug)]
pub(super) struct Bucket {
    capacity: f64,
    /// Below zero: a debt that later callers wait for.
    level: f64,
    refilled: Instant,
}

impl Bucket {
    pub(super) fn new(per_minute: f64, now: Instant) -> Self {
        Self { capacity: per_minute, level: per_minute, refilled: now }
    }

    pub(super) fn capacity(&self) -> f64 {
        self.capacity
    }

    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.level >= self.capacity
    }

    /// Returns how long it takes until `amount` is there, if nobody else takes from it.
    pub(super) fn wait(&mut self, amount: f64, now: Instant) -> Duration {
        self.refill(now);
        let missing = amount - self.level;
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // A whole millisecond, because timers have no finer one, and never early.
        let wait_ms = (missing / self.capacity * 60_000.0).ceil();
        Duration::try_from_secs_f64(wait_ms / 1_000.0).unwrap_or(Duration::MAX)
    }

    /// Takes an amount, into debt if need be; a negative one is given back.
    pub(super) fn take(&mut self, amount: f64, now: Instant) {
        self.refill(now);
        self.level = (self.level - amount).min(self.capacity);
    }

    /// Gives an amount back.
    pub(super) fn give(&mut self, amount: f64) {
        self.level = (self.level + amount).min(self.capacity);
    }

    fn refill(&mut self, now: Instant) {
        let minutes = now.saturating_duration_since(self.refilled).as_secs_f64() / 60.0;
        self.level = (self.level + minutes * self.capacity).min(self.capacity);
        self.refilled = self.refilled.max(now);
    }
}
