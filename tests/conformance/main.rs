//! The laws of the stores' contracts: each law is a test of the same name, run over every implementation.
//!
//! A law that an implementation does not promise is skipped for it, counted, and printed with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod journal;
mod message_store;
mod state_store;

use std::sync::Arc;

use beluga_core::{Journal, MessageStore, StateStore};
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_providers::sqlite::{Sqlite, SqliteOptions};
use beluga_runtime::{RuntimeHost, SystemRandom};
use tempfile::TempDir;

/// One implementation of all three contracts, empty.
enum Store {
    Memory { journal: MemoryJournal, messages: MemoryMessages, state: MemoryState },
    Sqlite { store: Sqlite, directory: TempDir },
}

/// How a law went with one implementation.
enum Outcome {
    Kept,
    /// It does not promise this, and why.
    Skipped(&'static str),
}

impl Store {
    fn every() -> [Store; 2] {
        let memory =
            Store::Memory { journal: MemoryJournal::new(), messages: MemoryMessages::new(), state: MemoryState::new() };
        [memory, Store::sqlite(tempfile::tempdir().unwrap())]
    }

    fn sqlite(directory: TempDir) -> Store {
        let host = Arc::new(RuntimeHost::new(SystemRandom::seeded(1)));
        let store = Sqlite::open(directory.path().join("beluga.db"), SqliteOptions::new(), host).unwrap();
        Store::Sqlite { store, directory }
    }

    fn name(&self) -> &'static str {
        match self {
            Store::Memory { .. } => "memory",
            Store::Sqlite { .. } => "sqlite",
        }
    }

    fn journal(&self) -> Arc<dyn Journal> {
        match self {
            Store::Memory { journal, .. } => Arc::new(journal.clone()),
            Store::Sqlite { store, .. } => store.journal(),
        }
    }

    fn messages(&self) -> Arc<dyn MessageStore> {
        match self {
            Store::Memory { messages, .. } => Arc::new(messages.clone()),
            Store::Sqlite { store, .. } => store.messages(),
        }
    }

    fn state(&self) -> Arc<dyn StateStore> {
        match self {
            Store::Memory { state, .. } => Arc::new(state.clone()),
            Store::Sqlite { store, .. } => store.state(),
        }
    }

    /// Drops the store without a close and opens it again; the reason if it does not survive that.
    fn reopened(self) -> Result<Store, &'static str> {
        match self {
            Store::Memory { .. } => Err("what is in memory dies with the process"),
            Store::Sqlite { store, directory } => {
                drop(store);
                Ok(Store::sqlite(directory))
            }
        }
    }
}

/// Runs a law over every implementation and prints what was skipped.
async fn every(law: &str, test: impl AsyncFn(Store) -> Outcome) {
    let (mut kept, mut skipped) = (0, 0);
    for store in Store::every() {
        let name = store.name();
        println!("{law}: {name}");
        match test(store).await {
            Outcome::Kept => kept += 1,
            Outcome::Skipped(why) => {
                skipped += 1;
                println!("{law}: skipped for {name}: {why}");
            }
        }
    }
    println!("{law}: kept by {kept}, skipped for {skipped}");
    assert!(kept > 0, "no implementation keeps {law}");
}
