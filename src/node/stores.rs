//! Where a node keeps what must survive it.

use std::sync::Arc;

use beluga_actors::session::Stores;
use beluga_core::{Error, Host, Result};
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_providers::sqlite::{Sqlite, SqliteOptions, SyncMode};
use beluga_runtime::System;
use beluga_transports::nats::{Connection, NatsJournal};

use super::data_dir::DataDir;
use crate::config::{Config, Environment, JournalKind, JournalSync};

/// The name of the database in the data directory.
const DATABASE: &str = "beluga.db";

/// The cluster whose journal a node on its own writes.
const CLUSTER_DEFAULT: &str = "main";

/// The stores, and what has to be closed at the end.
#[derive(Debug)]
pub(super) struct OpenStores {
    pub(super) stores: Stores,
    pub(super) sqlite: Option<Sqlite>,
}

/// Opens the stores the settings name.
///
/// # Errors
/// What the store answers: in use, damaged, read-only, no space.
pub(super) async fn open(
    config: &Config,
    directory: &DataDir,
    system: &System,
    connection: Option<&Connection>,
    #[cfg_attr(not(feature = "fault-injection"), expect(unused_variables, reason = "only the fault switch asks"))]
    environment: &Environment,
) -> Result<OpenStores> {
    let settings = &config.journal;
    let sqlite = || {
        let sync = match settings.sync {
            JournalSync::Turn => SyncMode::Turn,
            JournalSync::Every => SyncMode::Every,
            JournalSync::Off => SyncMode::Off,
        };
        let options = SqliteOptions::new().sync(sync);
        #[cfg(feature = "fault-injection")]
        let options = super::fault::inject(options, environment)?;
        let host: Arc<dyn Host> = system.host();
        Sqlite::open(directory.path().join(DATABASE), options, host)
    };
    match settings.kind {
        JournalKind::Sqlite => {
            let sqlite = sqlite()?;
            let stores = Stores { journal: sqlite.journal(), messages: sqlite.messages(), state: sqlite.state() };
            Ok(OpenStores { stores, sqlite: Some(sqlite) })
        }
        JournalKind::Nats => {
            let unset = || Error::config("journal.kind: \"nats\" needs nats.servers, or --nats");
            let connection = connection.ok_or_else(unset)?;
            let name = config.cluster.name.as_deref().unwrap_or(CLUSTER_DEFAULT);
            let replicas = config.cluster.replicas as usize;
            let journal = NatsJournal::open(connection, name, replicas, system.random()).await?;
            let journal = if settings.sync == JournalSync::Off { journal.lenient() } else { journal };
            let sqlite = sqlite()?;
            let stores = Stores { journal: Arc::new(journal), messages: sqlite.messages(), state: sqlite.state() };
            Ok(OpenStores { stores, sqlite: Some(sqlite) })
        }
        JournalKind::Memory => {
            let stores = Stores {
                journal: Arc::new(MemoryJournal::new()),
                messages: Arc::new(MemoryMessages::new()),
                state: Arc::new(MemoryState::new()),
            };
            Ok(OpenStores { stores, sqlite: None })
        }
    }
}
