//! What the writer is asked to do.

use std::sync::Arc;

use beluga_core::{Append, MemoryOwner, Recollection, Result, StateKey};
use serde_json::Value;
use tokio::sync::oneshot;

/// What a command counts beside its content, in bytes.
const COMMAND_BYTES: usize = 256;

/// One wish with its reply port. Every answer is a number: an append's version, otherwise 0.
///
/// Whoever asks keeps the work until it is answered, and the writer lets go of it first: memory that one thread
/// allocates and another frees makes both wait for the allocator.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) work: Arc<Work>,
    pub(super) bytes: usize,
    pub(super) reply: oneshot::Sender<Result<u64>>,
}

#[derive(Debug)]
pub(super) enum Work {
    /// Appends a group to the journal.
    Append(Append),
    /// Sets a state value; `json` is what is stored, `value` what the watchers are told.
    Set { key: StateKey, value: Value, json: String },
    /// Deletes a state value.
    Delete { key: StateKey },
    /// Keeps messages and indexes them.
    Remember { owner: MemoryOwner, entries: Vec<Recollection> },
    /// Forgets every message of an owner.
    Forget { owner: MemoryOwner },
}

impl Command {
    pub(super) fn new(work: Work) -> (Self, oneshot::Receiver<Result<u64>>) {
        let (reply, answer) = oneshot::channel();
        let bytes = COMMAND_BYTES
            + match &work {
                Work::Append(append) => append.payload.len(),
                Work::Set { json, .. } => json.len(),
                Work::Remember { entries, .. } => entries.iter().map(|entry| entry.text.len() + COMMAND_BYTES).sum(),
                Work::Delete { .. } | Work::Forget { .. } => 0,
            };
        (Self { work: Arc::new(work), bytes, reply }, answer)
    }

    /// Returns whether it may wait for what a turn waits for.
    pub(super) fn is_patient(&self) -> bool {
        matches!(*self.work, Work::Remember { .. } | Work::Forget { .. })
    }

    /// Returns how many messages it indexes.
    pub(super) fn messages(&self) -> usize {
        match &*self.work {
            Work::Remember { entries, .. } => entries.len(),
            _ => 0,
        }
    }
}
