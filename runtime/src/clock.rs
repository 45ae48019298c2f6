//! The clock of one system, and how those who need no exact time share a reading of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::time;

/// How far the coarse clock may be behind while it is kept, when its keeper gets to run.
pub(crate) const TICK_NS: u64 = 5_000_000;

/// The coarse clock of a system: drains set it as they work, senders read it, so a send to a busy actor reads no clock.
///
/// Between two stretches of work nobody sets it. While asks follow each other closely the sweeper of their table keeps it:
/// it sets it every [`TICK_NS`], until nobody has asked for the time during one.
pub(crate) struct Clock {
    epoch: Instant,
    coarse_ns: AtomicU64,
    is_kept: AtomicBool,
    /// Whether anybody has asked for the time since the last tick.
    is_asked: AtomicBool,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self::since(time::now())
    }

    /// Makes a clock that counts from an instant.
    pub(crate) fn since(epoch: Instant) -> Self {
        let (is_kept, is_asked) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { epoch, coarse_ns: AtomicU64::new(1), is_kept, is_asked }
    }

    /// Reads the real clock and sets the coarse one.
    pub(crate) fn read(&self) -> u64 {
        self.set(time::now())
    }

    /// Sets the coarse clock from a reading made for another reason.
    pub(crate) fn set(&self, now: Instant) -> u64 {
        let now = self.since_epoch(now);
        self.coarse_ns.store(now, Ordering::Relaxed);
        now
    }

    /// Returns the last reading, at least 1.
    #[inline]
    pub(crate) fn coarse(&self) -> u64 {
        self.coarse_ns.load(Ordering::Relaxed)
    }

    /// Returns the latest time it can be, unless a keeper is late: for what must not seem to last longer than it does.
    #[inline]
    pub(crate) fn coarse_at_most(&self) -> u64 {
        self.coarse() + if self.is_kept() { TICK_NS } else { 0 }
    }

    /// Returns the last reading if somebody keeps the clock, who then goes on for another tick.
    #[inline]
    pub(crate) fn kept(&self) -> Option<u64> {
        if !self.is_kept() {
            return None;
        }
        if !self.is_asked.load(Ordering::Relaxed) {
            self.is_asked.store(true, Ordering::Relaxed);
        }
        Some(self.coarse())
    }

    #[inline]
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// Says whether somebody keeps it.
    pub(crate) fn set_kept(&self, is_kept: bool) {
        self.is_asked.store(is_kept, Ordering::Relaxed);
        self.is_kept.store(is_kept, Ordering::Relaxed);
    }

    /// Sets it from a reading. If nobody has asked since the last tick it is kept no longer.
    pub(crate) fn tick(&self) -> u64 {
        if self.is_asked.load(Ordering::Relaxed) {
            self.is_asked.store(false, Ordering::Relaxed);
        } else {
            self.set_kept(false);
        }
        self.read()
    }

    /// Returns the instant the clock counts from.
    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Returns the instant of a reading.
    pub(crate) fn instant(&self, reading_ns: u64) -> Instant {
        self.epoch + Duration::from_nanos(reading_ns.saturating_sub(1))
    }

    /// Returns nanoseconds since the system was built, plus 1: 0 stands for never.
    pub(crate) fn since_epoch(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.epoch);
        // Without the detour over 128 bits; 584 years are enough.
        since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos())).saturating_add(1)
    }
}
