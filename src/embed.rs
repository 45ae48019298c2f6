//! The shortest way to agents in one's own program.

use std::sync::Arc;

use beluga_actors::agent::Agents;
use beluga_actors::session::{Settings, Stores};
use beluga_core::Result;
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_runtime::System;

/// Starts a system whose agents keep everything in memory: for programs that need no durability, and for examples.
///
/// A durable one opens a [`Sqlite`](beluga_providers::sqlite::Sqlite) store; a whole node with faces is a
/// [`Node`](crate::node::Node).
///
/// ```
/// use beluga::actors::session::{Settings, Stores};
/// use beluga::prelude::*;
/// use beluga::providers::sqlite::{Sqlite, SqliteOptions};
///
/// # async fn start(directory: &std::path::Path) -> Result<()> {
/// let system = System::builder("service").build()?;
/// let sqlite = Sqlite::open(directory.join("beluga.db"), SqliteOptions::new(), system.host())?;
/// let stores = Stores { journal: sqlite.journal(), messages: sqlite.messages(), state: sqlite.state() };
/// let agents = Agents::start(&system, &stores, Settings::default()).await?;
/// let model = OfflineModel::new(system.host());
/// let agent = Agent::builder("assistant").model(model).tool(calculator).spawn(&agents).await?;
/// agents.sessions().resume().await?; // Turns a crash left open go on.
/// assert_eq!(agent.ask("What is 6 * 7?").await?.result, "6 * 7 is 42.");
/// system.shutdown_gracefully().await?;
/// sqlite.close().await
/// # }
/// # let directory = tempfile::tempdir().unwrap();
/// # tokio::runtime::Runtime::new().unwrap().block_on(start(directory.path())).unwrap();
/// ```
///
/// # Errors
/// `invalid_input` if the name is none.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn in_memory(name: &str) -> Result<Agents> {
    let stores = Stores {
        journal: Arc::new(MemoryJournal::new()),
        messages: Arc::new(MemoryMessages::new()),
        state: Arc::new(MemoryState::new()),
    };
    Agents::start(&System::builder(name).build()?, &stores, Settings::default()).await
}
