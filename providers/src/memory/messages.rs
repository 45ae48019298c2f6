//! The message store in memory: an inverted index with BM25 ranking.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use beluga_core::{
    BoxFuture, CallContext, Error, MemoryOwner, MemoryQuery, MessageStore, Recollection, Result, Role, SessionId,
    TurnId,
};
use parking_lot::Mutex;

use super::words::{query_words, words};

/// How many bytes of text a [`MemoryMessages`] holds; beyond it an `append` is `overloaded`.
///
/// The index takes about as much again.
pub const MEMORY_MESSAGES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// BM25: how quickly repeated words stop to count, as in SQLite's FTS5.
const BM25_K1: f64 = 1.2;
/// BM25: how much long messages are discounted, as in SQLite's FTS5.
const BM25_B: f64 = 0.75;

/// A [`MessageStore`] in memory. A search reads the places of the asked words only; clones share one store.
#[derive(Clone, Default)]
pub struct MemoryMessages {
    owners: Arc<Mutex<Owners>>,
}

impl MemoryMessages {
    /// Makes an empty store of at most [`MEMORY_MESSAGES_MAX_BYTES`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl fmt::Debug for MemoryMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owners = self.owners.lock();
        f.debug_struct("MemoryMessages")
            .field("owners", &owners.map.len())
            .field("bytes", &owners.bytes)
            .finish_non_exhaustive()
    }
}

impl MessageStore for MemoryMessages {
    fn append(&self, owner: MemoryOwner, entries: Vec<Recollection>) -> BoxFuture<'static, Result<()>> {
        let owners = Arc::clone(&self.owners);
        Box::pin(async move { owners.lock().append(owner, entries) })
    }

    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let owners = Arc::clone(&self.owners);
        Box::pin(async move {
            let owners = owners.lock();
            let Some(log) = owners.map.get(&query.owner) else { return Ok(Vec::new()) };
            let asked = query_words(&query.text);
            Ok(if asked.is_empty() { log.newest(&query) } else { log.best(&query, &asked) })
        })
    }

    fn all(
        &self,
        owner: MemoryOwner,
        session: SessionId,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let query =
            MemoryQuery { owner, text: String::new(), limit, session: Some(session), context: CallContext::new() };
        let newest = self.search(query);
        Box::pin(async move {
            let mut found = newest.await?;
            found.reverse();
            Ok(found)
        })
    }

    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        let owners = Arc::clone(&self.owners);
        Box::pin(async move {
            let mut owners = owners.lock();
            if let Some(log) = owners.map.remove(&owner) {
                owners.bytes -= log.entries.iter().map(|entry| entry.text.len()).sum::<usize>();
            }
            Ok(())
        })
    }
}

#[derive(Default)]
struct Owners {
    map: HashMap<MemoryOwner, OwnerLog>,
    bytes: usize,
}

#[derive(Default)]
struct OwnerLog {
    /// In the order they came.
    entries: Vec<Recollection>,
    /// How many words each entry has.
    lengths: Vec<usize>,
    seen: HashSet<(SessionId, TurnId, Role)>,
    /// Where each word stands: the entry's index, and how often it is there.
    places: HashMap<String, Vec<(usize, usize)>>,
}

impl Owners {
    fn append(&mut self, owner: MemoryOwner, entries: Vec<Recollection>) -> Result<()> {
        let bytes = self.bytes.saturating_add(entries.iter().map(|entry| entry.text.len()).sum());
        if bytes > MEMORY_MESSAGES_MAX_BYTES {
            return Err(Error::overloaded("the message store in memory is full")
                .with_op("messages.append")
                .with("max_bytes", MEMORY_MESSAGES_MAX_BYTES));
        }
        let log = self.map.entry(owner).or_default();
        for entry in entries {
            if log.seen.insert((entry.session.clone(), entry.turn.clone(), entry.role)) {
                self.bytes += entry.text.len();
                log.insert(entry);
            }
        }
        Ok(())
    }
}

impl OwnerLog {
    fn newest(&self, query: &MemoryQuery) -> Vec<Recollection> {
        let is_asked = |entry: &&Recollection| query.session.as_ref().is_none_or(|session| *session == entry.session);
        let mut found: Vec<&Recollection> = self.entries.iter().filter(is_asked).collect();
        // Stable, so that of two messages of one moment the later one is the newer.
        found.sort_by_key(|entry| entry.at_ms);
        found.into_iter().rev().take(query.limit).map(|entry| Recollection { score: 0.0, ..entry.clone() }).collect()
    }

    fn insert(&mut self, entry: Recollection) {
        let at = self.entries.len();
        let mut length = 0;
        for word in words(&entry.text) {
            length += 1;
            let places = self.places.entry(word).or_default();
            match places.last_mut() {
                Some((last, count)) if *last == at => *count += 1,
                _ => places.push((at, 1)),
            }
        }
        self.lengths.push(length);
        self.entries.push(entry);
    }

    #[allow(clippy::cast_precision_loss)] // Counts far below 2^52.
    fn best(&self, query: &MemoryQuery, asked: &[String]) -> Vec<Recollection> {
        let total = self.entries.len() as f64;
        let mean = (self.lengths.iter().sum::<usize>() as f64 / total).max(1.0);
        let mut scores: HashMap<usize, f64> = HashMap::new();
        for places in asked.iter().filter_map(|word| self.places.get(word)) {
            let within = places.len() as f64;
            // Never below zero, so that a word of every second message still counts.
            let rarity = (1.0 + (total - within + 0.5) / (within + 0.5)).ln();
            for (at, count) in places {
                let (count, length) = (*count as f64, self.lengths.get(*at).copied().unwrap_or_default() as f64);
                let weight = count * (BM25_K1 + 1.0) / (count + BM25_K1 * (1.0 - BM25_B + BM25_B * length / mean));
                *scores.entry(*at).or_default() += rarity * weight;
            }
        }
        let is_asked = |entry: &Recollection| query.session.as_ref().is_none_or(|session| *session == entry.session);
        let mut hits: Vec<(usize, f64)> =
            scores.into_iter().filter(|(at, _)| self.entries.get(*at).is_some_and(is_asked)).collect();
        // Of two that match alike the newer one first.
        hits.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
        hits.truncate(query.limit);
        let hit = |(at, score): (usize, f64)| self.entries.get(at).map(|entry| Recollection { score, ..entry.clone() });
        hits.into_iter().filter_map(hit).collect()
    }
}
