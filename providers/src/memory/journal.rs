//! The journal in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use beluga_core::{Append, BoxFuture, Error, GROUP_MAX_BYTES, Group, Journal, Mark, Result, StreamKey};
use bytes::Bytes;
use parking_lot::Mutex;

/// How many payload bytes a [`MemoryJournal`] holds unless told otherwise; beyond it an append is `overloaded`.
pub const MEMORY_JOURNAL_MAX_BYTES: usize = 256 * 1024 * 1024;

/// A [`Journal`] in memory. Nothing survives the process, whatever the sync level; clones share one journal.
///
/// ```
/// use beluga_core::{Append, Journal, Mark, StreamKey, SyncLevel, TenantId};
/// use beluga_providers::memory::MemoryJournal;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let journal = MemoryJournal::new();
/// let stream = StreamKey { tenant: TenantId::default(), kind: "session".into(), id: "s1".into() };
/// let group = Append {
///     stream: stream.clone(),
///     expected: 0,
///     fence: 1,
///     payload: "hello".into(),
///     sync: SyncLevel::Commit,
///     mark: Mark::Open,
/// };
/// assert_eq!(journal.append(group).await.unwrap(), 1);
/// assert_eq!(&journal.read(stream, 1, 10).await.unwrap()[0].payload[..], b"hello");
/// # });
/// ```
#[derive(Clone)]
pub struct MemoryJournal {
    log: Arc<Mutex<Log>>,
}

impl MemoryJournal {
    /// Makes an empty journal of at most [`MEMORY_JOURNAL_MAX_BYTES`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_bytes(MEMORY_JOURNAL_MAX_BYTES)
    }

    /// Makes an empty journal that holds at most this many payload bytes.
    #[must_use]
    pub fn with_max_bytes(max_bytes: usize) -> Self {
        Self { log: Arc::new(Mutex::new(Log { max_bytes, ..Log::default() })) }
    }
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.log.lock();
        f.debug_struct("MemoryJournal")
            .field("streams", &log.streams.len())
            .field("open", &log.marks.len())
            .field("bytes", &log.bytes)
            .finish_non_exhaustive()
    }
}

impl Journal for MemoryJournal {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64>> {
        let log = Arc::clone(&self.log);
        Box::pin(async move { log.lock().append(append) })
    }

    fn read(&self, stream: StreamKey, from: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Group>>> {
        let log = Arc::clone(&self.log);
        Box::pin(async move { Ok(log.lock().read(&stream, from, limit)) })
    }

    fn open(&self, kind: &'static str, limit: usize) -> BoxFuture<'static, Result<Vec<StreamKey>>> {
        let log = Arc::clone(&self.log);
        Box::pin(async move {
            let log = log.lock();
            Ok(log.marks.values().filter(|stream| &*stream.kind == kind).take(limit).cloned().collect())
        })
    }
}

#[derive(Default)]
struct Log {
    streams: HashMap<StreamKey, Stream>,
    /// Open streams by the order of their marks.
    marks: BTreeMap<u64, StreamKey>,
    /// How many marks were ever set; the next mark's place.
    marked: u64,
    bytes: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct Stream {
    /// Group n has version n + 1.
    payloads: Vec<Bytes>,
    fence: u64,
    mark: Option<u64>,
}

impl Log {
    fn append(&mut self, append: Append) -> Result<u64> {
        check_size(&append)?;
        let (version, fence) = self.streams.get(&append.stream).map_or((0, 0), Stream::head);
        check_head(&append, version, fence)?;
        let bytes = self.bytes.saturating_add(append.payload.len());
        if bytes > self.max_bytes {
            return Err(Error::overloaded("the journal in memory is full")
                .with_op("journal.append")
                .with("max_bytes", self.max_bytes));
        }
        self.bytes = bytes;
        let Append { stream: key, fence, payload, mark, .. } = append;
        let stream = match self.streams.get_mut(&key) {
            Some(stream) => stream,
            None => self.streams.entry(key.clone()).or_default(),
        };
        stream.payloads.push(payload);
        stream.fence = fence;
        match (mark, stream.mark) {
            (Mark::Open, None) => {
                self.marked += 1;
                stream.mark = Some(self.marked);
                self.marks.insert(self.marked, key);
            }
            (Mark::Close, Some(place)) => {
                stream.mark = None;
                self.marks.remove(&place);
            }
            _ => {}
        }
        Ok(version + 1)
    }

    fn read(&self, stream: &StreamKey, from: u64, limit: usize) -> Vec<Group> {
        let Some(stream) = self.streams.get(stream) else { return Vec::new() };
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        (1..)
            .zip(&stream.payloads)
            .skip(skipped)
            .take(limit)
            .map(|(version, payload)| Group { version, payload: payload.clone() })
            .collect()
    }
}

impl Stream {
    fn head(&self) -> (u64, u64) {
        (self.payloads.len() as u64, self.fence)
    }
}

/// Refuses a group above [`GROUP_MAX_BYTES`].
pub(crate) fn check_size(append: &Append) -> Result<()> {
    if append.payload.len() <= GROUP_MAX_BYTES {
        return Ok(());
    }
    Err(Error::invalid_input("payload is larger than one append group may be")
        .with_op("journal.append")
        .with("stream", &append.stream)
        .with("bytes", append.payload.len())
        .with("max_bytes", GROUP_MAX_BYTES))
}

/// Refuses a zombie's fence and a wrong version, in this order: a zombie's view of the version is worth nothing.
pub(crate) fn check_head(append: &Append, version: u64, fence: u64) -> Result<()> {
    if append.fence < fence {
        return Err(Error::unavailable("another owner with a higher fence writes this stream")
            .with_op("journal.append")
            .with("stream", &append.stream)
            .with("fence", append.fence)
            .with("highest", fence));
    }
    if append.expected != version {
        return Err(Error::conflict("the stream is at another version")
            .with_op("journal.append")
            .with("stream", &append.stream)
            .with("expected", append.expected)
            .with("version", version));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use beluga_core::{Code, SyncLevel, TenantId};

    use super::*;

    fn append(id: &str, expected: u64, bytes: usize) -> Append {
        Append {
            stream: StreamKey { tenant: TenantId::default(), kind: "session".into(), id: id.into() },
            expected,
            fence: 0,
            payload: Bytes::from(vec![7; bytes]),
            sync: SyncLevel::Commit,
            mark: Mark::Keep,
        }
    }

    #[tokio::test]
    async fn a_full_journal_refuses_and_keeps_what_it_has() {
        let journal = MemoryJournal::with_max_bytes(10);
        assert_eq!(journal.append(append("a", 0, 6)).await.unwrap(), 1);
        let error = journal.append(append("a", 1, 6)).await.unwrap_err();
        assert_eq!((error.code(), error.get("max_bytes")), (Code::Overloaded, Some("10")));
        assert_eq!(journal.append(append("b", 0, 4)).await.unwrap(), 1);
        assert_eq!(journal.read(append("a", 0, 0).stream, 0, 9).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_clone_is_the_same_journal() {
        let journal = MemoryJournal::new();
        journal.append(append("a", 0, 1)).await.unwrap();
        assert_eq!(journal.clone().append(append("a", 1, 1)).await.unwrap(), 2);
    }
}
