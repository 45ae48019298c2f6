//! The store a cluster agrees in: a few keys, changed by compare-and-swap.

use std::fmt;

use beluga_core::{BoxFuture, Result};
use bytes::Bytes;

/// The key of the view.
pub const VIEW_KEY: &str = "view";

/// What became of a compare-and-swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// It was written; the new revision.
    Written(u64),
    /// The key had another revision: nothing was written, and nothing will be.
    Conflict,
    /// Nobody can tell: it may have been written, or may be later.
    Unknown,
}

/// A value and its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Bytes,
    /// Rises with each write of the key.
    pub revision: u64,
}

/// A store of a few small values.
///
/// Laws: a swap is atomic and is applied at most once; revisions of a key rise with each write; a read gives a value that was
/// there, perhaps not the newest. Nothing expires.
pub trait KvCas: fmt::Debug + Send + Sync + 'static {
    /// Reads a key; a hint, as only a swap decides.
    ///
    /// # Errors
    /// `unavailable` without the store.
    fn read(&self, key: &str) -> BoxFuture<'static, Result<Option<Entry>>>;

    /// Writes a key if it has this revision; `None`: if it is not there.
    fn swap(&self, key: &str, revision: Option<u64>, value: Bytes) -> BoxFuture<'static, Swap>;
}
