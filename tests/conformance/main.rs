//! The laws of the stores' contracts: each law is a test of the same name, run over every implementation.
//!
//! A law that an implementation does not promise is skipped for it, counted, and printed with the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod journal;
mod message_store;
#[path = "../nats/server.rs"]
#[allow(clippy::disallowed_methods, unreachable_pub, dead_code, reason = "it runs on real time, beside a real process")]
mod server;
mod state_store;

use std::sync::Arc;

use beluga_core::{Journal, MessageStore, StateStore};
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_providers::sqlite::{Sqlite, SqliteOptions};
use beluga_runtime::{RuntimeHost, SystemRandom};
use beluga_transports::nats::{ConnectSettings, Connection, NatsJournal};
use server::Server;
use tempfile::TempDir;

/// One implementation, empty: of all three contracts, or of the journal's alone.
enum Store {
    Memory { journal: MemoryJournal, messages: MemoryMessages, state: MemoryState },
    Sqlite { store: Sqlite, directory: TempDir },
    Nats { journal: NatsJournal, server: Server },
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

    /// Returns the implementations of the journal.
    async fn journals() -> Vec<Store> {
        let mut all = Vec::from(Store::every());
        all.push(Store::nats(Server::with("jetstream {}\nmax_payload: 9MB\n")).await);
        all
    }

    async fn nats(server: Server) -> Store {
        let random = SystemRandom::from_entropy();
        let connection = Connection::open(&ConnectSettings::new(server.url()), &random).await.unwrap();
        let journal = NatsJournal::open(&connection, "test", 1, &random).await.unwrap().lenient();
        Store::Nats { journal, server }
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
            Store::Nats { .. } => "nats",
        }
    }

    fn journal(&self) -> Arc<dyn Journal> {
        match self {
            Store::Memory { journal, .. } => Arc::new(journal.clone()),
            Store::Sqlite { store, .. } => store.journal(),
            Store::Nats { journal, .. } => Arc::new(journal.clone()),
        }
    }

    fn messages(&self) -> Arc<dyn MessageStore> {
        match self {
            Store::Memory { messages, .. } => Arc::new(messages.clone()),
            Store::Sqlite { store, .. } => store.messages(),
            Store::Nats { .. } => panic!("it is a journal alone"),
        }
    }

    fn state(&self) -> Arc<dyn StateStore> {
        match self {
            Store::Memory { state, .. } => Arc::new(state.clone()),
            Store::Sqlite { store, .. } => store.state(),
            Store::Nats { .. } => panic!("it is a journal alone"),
        }
    }

    /// Drops the store without a close and opens it again; the reason if it does not survive that.
    async fn reopened(self) -> Result<Store, &'static str> {
        match self {
            Store::Memory { .. } => Err("what is in memory dies with the process"),
            Store::Sqlite { store, directory } => {
                drop(store);
                Ok(Store::sqlite(directory))
            }
            Store::Nats { journal, mut server } => {
                drop(journal);
                server.restart();
                Ok(Store::nats(server).await)
            }
        }
    }
}

/// Runs a law over every implementation and prints what was skipped.
async fn every(law: &str, test: impl AsyncFn(Store) -> Outcome) {
    over(law, Vec::from(Store::every()), test).await;
}

/// Runs a law of the journal over every implementation.
async fn every_journal(law: &str, test: impl AsyncFn(Store) -> Outcome) {
    over(law, Store::journals().await, test).await;
}

async fn over(law: &str, stores: Vec<Store>, test: impl AsyncFn(Store) -> Outcome) {
    let (mut kept, mut skipped) = (0, 0);
    for store in stores {
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
