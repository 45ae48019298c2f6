//! The message store in memory: a scan with BM25 ranking.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use beluga_core::{
    BoxFuture, Error, MemoryOwner, MemoryQuery, MessageStore, Recollection, Result, Role, SessionId, TurnId,
};
use parking_lot::Mutex;

use super::words::{query_words, words};

/// How many bytes of text a [`MemoryMessages`] holds; beyond it an `append` is `overloaded`.
pub const MEMORY_MESSAGES_MAX_BYTES: usize = 64 * 1024 * 1024;

/// BM25: how quickly repeated words stop to count, as in SQLite's FTS5.
const BM25_K1: f64 = 1.2;
/// BM25: how much long messages are discounted, as in SQLite's FTS5.
const BM25_B: f64 = 0.75;

/// A [`MessageStore`] in memory. A search reads every message of the owner; clones share one store.
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
            let mut found = if asked.is_empty() { log.newest(&query) } else { log.best(&query, &asked) };
            found.truncate(query.limit);
            Ok(found)
        })
    }

    fn all(
        &self,
        owner: MemoryOwner,
        session: SessionId,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let query = MemoryQuery { owner, text: String::new(), limit, session: Some(session) };
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
    seen: HashSet<(SessionId, TurnId, Role)>,
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
                log.entries.push(entry);
            }
        }
        Ok(())
    }
}

impl OwnerLog {
    fn asked<'a>(&'a self, query: &'a MemoryQuery) -> impl Iterator<Item = &'a Recollection> {
        self.entries.iter().filter(|entry| query.session.as_ref().is_none_or(|session| *session == entry.session))
    }

    fn newest(&self, query: &MemoryQuery) -> Vec<Recollection> {
        let mut found: Vec<Recollection> =
            self.asked(query).map(|entry| Recollection { score: 0.0, ..entry.clone() }).collect();
        // Stable, so that of two messages of one moment the later one is the newer.
        found.sort_by_key(|entry| entry.at_ms);
        found.reverse();
        found
    }

    #[allow(clippy::cast_precision_loss)] // Counts far below 2^52.
    fn best(&self, query: &MemoryQuery, asked: &[String]) -> Vec<Recollection> {
        let (mut length_sum, mut in_messages) = (0_usize, vec![0_usize; asked.len()]);
        let mut hits = Vec::new();
        for entry in &self.entries {
            let (mut length, mut counts) = (0_usize, vec![0_usize; asked.len()]);
            for word in words(&entry.text) {
                length += 1;
                if let Some(count) = asked.iter().zip(&mut counts).find(|(ask, _)| **ask == word) {
                    *count.1 += 1;
                }
            }
            length_sum += length;
            in_messages.iter_mut().zip(&counts).for_each(|(sum, count)| *sum += usize::from(*count > 0));
            let is_asked = query.session.as_ref().is_none_or(|session| *session == entry.session);
            if is_asked && counts.iter().any(|count| *count > 0) {
                hits.push((entry, length, counts));
            }
        }
        let total = self.entries.len() as f64;
        let mean = (length_sum as f64 / total).max(1.0);
        let score = |length: usize, counts: &[usize]| -> f64 {
            let one = |(count, within): (&usize, &usize)| {
                // Never below zero, so that a word of every second message still counts.
                let rarity = (1.0 + (total - *within as f64 + 0.5) / (*within as f64 + 0.5)).ln();
                let (count, length) = (*count as f64, length as f64);
                rarity * count * (BM25_K1 + 1.0) / (count + BM25_K1 * (1.0 - BM25_B + BM25_B * length / mean))
            };
            counts.iter().zip(&in_messages).map(one).sum()
        };
        let mut found: Vec<Recollection> = hits
            .into_iter()
            .map(|(entry, length, counts)| Recollection { score: score(length, &counts), ..entry.clone() })
            .collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        found
    }
}
