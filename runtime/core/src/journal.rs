//! The contract of durability: an append-only log per stream, fenced and versioned.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::BoxFuture;
use crate::error::Result;
use crate::id::TenantId;

/// The largest payload of one append group, in bytes.
pub const GROUP_MAX_BYTES: usize = 8 * 1024 * 1024;

/// An append-only log per stream.
///
/// One append is one group of events: all of it is read back, or none. Versions count groups from 1.
///
/// Laws (tested by the conformance suite under these names):
/// - `append_needs_the_expected_version`: a wrong `expected` fails with `conflict` and writes nothing;
/// - `a_lower_fence_cannot_write`: a fence below one already seen on the stream fails with `unavailable`;
/// - `read_returns_what_was_appended`, in order, from a version, at most `limit` groups;
/// - `open_lists_marked_streams` and no others;
/// - `streams_do_not_touch_each_other`, not even those of the same id under another tenant or kind;
/// - `acknowledged_survives`: what was acknowledged is there after a reopen, as `sync` promises;
/// - `dropped_append_is_atomic`: dropping the future leaves the group whole or absent.
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Appends one group and returns its version. Not cancellable once sent: shield it.
    ///
    /// # Errors
    /// `conflict` (version), `unavailable` (fence, closed), `overloaded` (write queue full or disk full),
    /// `invalid_input` (payload above [`GROUP_MAX_BYTES`]), `internal` (the store failed; nothing was written).
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64>>;

    /// Reads groups with a version of at least `from`, oldest first, at most `limit`. A stream that does not exist is empty.
    ///
    /// # Errors
    /// `unavailable` (closed), `internal`, `decode` (a stored row is damaged; the message names stream and version).
    fn read(&self, stream: StreamKey, from: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Group>>>;

    /// Returns the streams of a kind whose open mark is set, at most `limit`, oldest mark first.
    ///
    /// # Errors
    /// `unavailable` (closed), `internal`.
    fn open(&self, kind: &'static str, limit: usize) -> BoxFuture<'static, Result<Vec<StreamKey>>>;
}

/// Names one stream. A clone allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is: `session`, `workflow`.
    pub kind: Arc<str>,
    /// Which one.
    pub id: Arc<str>,
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.kind, self.id)
    }
}

/// One group to append.
#[derive(Debug, Clone)]
pub struct Append {
    /// Where.
    pub stream: StreamKey,
    /// The version the writer last saw; 0 for a new stream.
    pub expected: u64,
    /// The writer's fence: a zombie with a lower one cannot write.
    pub fence: u64,
    /// The events, encoded by their owner.
    pub payload: Bytes,
    /// What the acknowledgement promises.
    pub sync: SyncLevel,
    /// What happens to the stream's open mark, together with the append.
    pub mark: Mark,
}

/// What an acknowledged append survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncLevel {
    /// The death of the process (`kill -9`).
    #[default]
    Commit,
    /// The loss of power.
    Disk,
}

/// What happens to a stream's open mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mark {
    /// It stays as it is.
    #[default]
    Keep,
    /// There is unfinished work: a restart resumes it.
    Open,
    /// The work is finished.
    Close,
}

/// One group as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its version, from 1.
    pub version: u64,
    /// The events as they were appended.
    pub payload: Bytes,
}
