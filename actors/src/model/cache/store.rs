//! The answers, bounded by number, bytes and age.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use beluga_core::{ModelChunk, ModelInfo};
use beluga_runtime::time;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::key::Key;
use super::layer;
use crate::model::ModelLayer;

/// What an [`ExactCache`] keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// The most answers. Default: 1,024.
    pub entries: usize,
    /// The most bytes of all answers; one that is larger than an eighth of it is not kept. Default: 64 MiB.
    pub bytes: usize,
    /// How long an answer is good. Default: 10 minutes.
    pub ttl: Duration,
    /// The version of the policy in force: of guards, of whatever shapes an answer beside the request. Another version
    /// finds nothing of this one. Default: empty.
    pub policy: String,
    /// Whether a call waits for one of the same key that runs, and takes its answer. Default: no.
    pub single_flight: bool,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            entries: 1_024,
            bytes: 64 * 1024 * 1024,
            ttl: Duration::from_secs(600),
            policy: String::new(),
            single_flight: false,
        }
    }
}

/// How a cache did since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheStats {
    /// Calls it answered.
    pub hits: u64,
    /// Calls it could not answer.
    pub misses: u64,
    /// Answers it holds.
    pub entries: usize,
    /// Their bytes, about.
    pub bytes: usize,
}

/// A cache of whole answers. Cheap to clone; clones are the same cache, also round several models.
///
/// ```
/// use std::sync::Arc;
/// use beluga_actors::model::LayeredModel;
/// use beluga_actors::model::cache::{CacheSettings, ExactCache};
/// use beluga_actors::testkit::{Answer, FunctionModel};
/// use beluga_core::{CallContext, ChatModel, Error, ModelRequest};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let model = FunctionModel::new(|_| Answer::text("Hello."));
/// let cache = ExactCache::new(CacheSettings::default());
/// let cached = LayeredModel::new(model.clone(), &[cache.layer(&model.info())]);
/// for _ in 0..3 {
///     let answer = cached.generate(Arc::new(ModelRequest::default()), CallContext::new()).await?;
///     assert_eq!(answer.message.text(), "Hello.");
/// }
/// assert_eq!((model.calls(), cache.stats().hits), (1, 2));
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct ExactCache {
    settings: Arc<CacheSettings>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// By use, the oldest first.
    uses: BTreeMap<u64, Key>,
    last_use: u64,
    bytes: usize,
    hits: u64,
    misses: u64,
    /// Calls that run; whoever waits for one is woken when its sender drops.
    running: HashMap<Key, watch::Receiver<()>>,
}

struct Entry {
    chunks: Arc<[ModelChunk]>,
    bytes: usize,
    kept: Instant,
    used: u64,
}

/// What a cache says of a call.
pub(super) enum Found {
    Answer(Arc<[ModelChunk]>),
    /// The same call runs.
    Running(watch::Receiver<()>),
    /// It is to be made; the flight ends when this drops.
    Missing(Option<Flight>),
}

/// A call others may wait for.
pub(super) struct Flight {
    cache: ExactCache,
    key: Key,
    _landed: watch::Sender<()>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.cache.state.lock().running.remove(&self.key);
    }
}

impl ExactCache {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(settings: CacheSettings) -> Self {
        Self { settings: Arc::new(settings), state: Arc::default() }
    }

    /// Returns the layer that puts the cache before a model.
    #[must_use]
    pub fn layer(&self, info: &ModelInfo) -> ModelLayer {
        let (cache, info) = (self.clone(), Arc::new(info.clone()));
        ModelLayer::new(move |inner| layer::cached(inner, cache.clone(), Arc::clone(&info)))
    }

    /// Returns how it did.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let state = self.state.lock();
        CacheStats { hits: state.hits, misses: state.misses, entries: state.entries.len(), bytes: state.bytes }
    }

    /// Forgets every answer.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.entries.clear();
        state.uses.clear();
        state.bytes = 0;
    }

    pub(super) fn settings(&self) -> &CacheSettings {
        &self.settings
    }

    /// Returns the most bytes an answer may have to be kept.
    pub(super) fn answer_bytes_max(&self) -> usize {
        self.settings.bytes / 8
    }

    /// Looks for an answer; `may_wait` says whether one that is on its way will do.
    pub(super) fn look(&self, key: &Key, may_wait: bool) -> Found {
        let now = time::now();
        let mut state = self.state.lock();
        let ttl = self.settings.ttl;
        let fresh = |entry: &Entry| now.saturating_duration_since(entry.kept) < ttl;
        match state.entries.get(key).map(fresh) {
            Some(true) => {
                if let Some(chunks) = state.touch(key) {
                    state.hits += 1;
                    return Found::Answer(chunks);
                }
            }
            Some(false) => state.remove(key),
            None => {}
        }
        if !self.settings.single_flight {
            state.misses += 1;
            return Found::Missing(None);
        }
        if let Some(running) = state.running.get(key) {
            if may_wait {
                return Found::Running(running.clone());
            }
            state.misses += 1;
            return Found::Missing(None);
        }
        state.misses += 1;
        let (landed, running) = watch::channel(());
        state.running.insert(*key, running);
        Found::Missing(Some(Flight { cache: self.clone(), key: *key, _landed: landed }))
    }

    /// Keeps a whole answer.
    pub(super) fn keep(&self, key: Key, chunks: Vec<ModelChunk>, bytes: usize) {
        if self.settings.entries == 0 || bytes > self.answer_bytes_max() || self.settings.ttl.is_zero() {
            return;
        }
        let kept = time::now();
        let mut state = self.state.lock();
        state.remove(&key);
        while state.entries.len() >= self.settings.entries || state.bytes + bytes > self.settings.bytes {
            let Some(oldest) = state.uses.first_key_value().map(|(_, key)| *key) else { break };
            state.remove(&oldest);
        }
        state.last_use += 1;
        let used = state.last_use;
        state.uses.insert(used, key);
        state.bytes += bytes;
        state.entries.insert(key, Entry { chunks: chunks.into(), bytes, kept, used });
    }
}

impl State {
    /// Returns an answer, now the one used last.
    fn touch(&mut self, key: &Key) -> Option<Arc<[ModelChunk]>> {
        self.last_use += 1;
        let entry = self.entries.get_mut(key)?;
        self.uses.remove(&entry.used);
        entry.used = self.last_use;
        self.uses.insert(entry.used, *key);
        Some(Arc::clone(&entry.chunks))
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.uses.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

impl fmt::Debug for ExactCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExactCache").field("settings", &self.settings).field("stats", &self.stats()).finish()
    }
}
