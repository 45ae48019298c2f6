//! What a store may be told.

use std::fmt;
#[cfg(any(test, feature = "fault-injection"))]
use std::sync::Arc;

use beluga_core::SyncLevel;
use serde::{Deserialize, Serialize};

/// When the log is synced to the disk: the setting `[journal] sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// As each append asks: where a turn could lose something that cannot be done again.
    #[default]
    Turn,
    /// After every write.
    Every,
    /// Never for a write: everything survives the process, the last seconds may not survive the loss of power.
    Off,
}

impl SyncMode {
    /// Returns whether a write that asks for this level is synced.
    pub(crate) fn is_synced(self, asked: SyncLevel) -> bool {
        match self {
            SyncMode::Turn => asked == SyncLevel::Disk,
            SyncMode::Every => true,
            SyncMode::Off => false,
        }
    }
}

/// How a [`Sqlite`](super::Sqlite) store is opened.
///
/// ```
/// use beluga_providers::sqlite::{SqliteOptions, SyncMode};
///
/// let options = SqliteOptions::new().sync(SyncMode::Every).max_bytes(1 << 30);
/// assert!(format!("{options:?}").contains("Every"));
/// ```
#[derive(Clone, Default)]
pub struct SqliteOptions {
    pub(crate) sync: SyncMode,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) park: bool,
    #[cfg(any(test, feature = "fault-injection"))]
    pub(crate) fault: Option<Fault>,
}

impl SqliteOptions {
    /// Makes the defaults: `sync = turn`, no size limit, running clock.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says when the log is synced to the disk.
    #[must_use]
    pub fn sync(mut self, sync: SyncMode) -> Self {
        self.sync = sync;
        self
    }

    /// Bounds the database file, in bytes; beyond it a write is `overloaded`. The log beside it is not counted.
    ///
    /// A file that is larger already does not grow.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = Some(max_bytes);
        self
    }

    /// Holds paused time while an answer of the writer is outstanding. For tests on a paused clock.
    #[must_use]
    pub fn park(mut self, park: bool) -> Self {
        self.park = park;
        self
    }

    /// Calls a function on the writer's thread before and after the commit of the n-th append since the open, n from 1.
    ///
    /// With it every append is committed alone, so that `Before` n means n - 1 groups are committed. A function that
    /// aborts the process tests recovery; one that panics tests the death of the writer.
    #[cfg(any(test, feature = "fault-injection"))]
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }
}

impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("sync", &self.sync)
            .field("max_bytes", &self.max_bytes)
            .field("park", &self.park)
            .finish_non_exhaustive()
    }
}

/// Called around the commit of an append; see [`SqliteOptions::fault`].
#[cfg(any(test, feature = "fault-injection"))]
pub type Fault = Arc<dyn Fn(AppendPoint, u64) + Send + Sync>;

/// Where an append is when the fault function is called.
#[cfg(any(test, feature = "fault-injection"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendPoint {
    /// It was written and is not committed yet: after a crash it is absent.
    Before,
    /// It is committed, as durable as it asked, and not acknowledged yet: after a crash it is there.
    After,
}
