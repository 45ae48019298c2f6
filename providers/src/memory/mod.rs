//! Stores that live in memory: for tests and for `journal = memory`.
//!
//! They keep every law of their contract but one: what they hold dies with the process. Each is bounded in bytes and
//! answers `overloaded` when it is full; nothing is ever dropped silently. Clones share one store.

mod journal;
mod messages;
mod state;
mod watch;
mod words;

pub use journal::{MEMORY_JOURNAL_MAX_BYTES, MemoryJournal};
pub use messages::{MEMORY_MESSAGES_MAX_BYTES, MemoryMessages};
pub use state::{MEMORY_STATE_MAX_BYTES, MemoryState};
pub use watch::{WATCH_CAPACITY, WATCHED_KEYS_MAX};
pub use words::QUERY_WORDS_MAX;

pub(crate) use journal::{check_head, check_size};
pub(crate) use state::encode_value;
pub(crate) use watch::Watchers;
pub(crate) use words::query_words;
