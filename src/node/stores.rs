//! Where a node keeps what must survive it.

use std::sync::Arc;

use beluga_actors::session::Stores;
use beluga_core::{Host, Result};
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_providers::sqlite::{Sqlite, SqliteOptions, SyncMode};

use super::data_dir::DataDir;
use crate::config::{Environment, JournalKind, JournalSettings, JournalSync};

/// The name of the database in the data directory.
const DATABASE: &str = "beluga.db";

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
pub(super) fn open(
    settings: &JournalSettings,
    directory: &DataDir,
    host: &Arc<dyn Host>,
    #[cfg_attr(not(feature = "fault-injection"), expect(unused_variables, reason = "only the fault switch asks"))]
    environment: &Environment,
) -> Result<OpenStores> {
    match settings.kind {
        JournalKind::Sqlite => {
            let sync = match settings.sync {
                JournalSync::Turn => SyncMode::Turn,
                JournalSync::Every => SyncMode::Every,
                JournalSync::Off => SyncMode::Off,
            };
            let options = SqliteOptions::new().sync(sync);
            #[cfg(feature = "fault-injection")]
            let options = super::fault::inject(options, environment)?;
            let sqlite = Sqlite::open(directory.path().join(DATABASE), options, Arc::clone(host))?;
            let stores = Stores { journal: sqlite.journal(), messages: sqlite.messages(), state: sqlite.state() };
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
