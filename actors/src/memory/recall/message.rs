//! What may be said to recall memory.

use beluga_core::{Exchange, MemoryQuery, Recollection};
use beluga_runtime::{Message, protocol};

/// Keeps a finished turn. Travels in the bulk lane: indexing never delays a search.
#[derive(Debug, Message)]
#[message(name = "memory.recall.save", version = 1, lane = "bulk")]
pub(crate) struct Save(pub(crate) Exchange);

/// Finds what was said.
#[derive(Debug, Message)]
#[message(name = "memory.recall.search", version = 1, reply = Vec<Recollection>)]
pub(crate) struct Search(pub(crate) MemoryQuery);

/// Forgets everything of the owner.
#[derive(Debug, Message)]
#[message(name = "memory.recall.forget", version = 1)]
pub(crate) struct Forget;

protocol!(
    /// What may be said to recall memory.
    pub(crate) RecallProtocol: Save, Search, Forget
);
