//! The shortest way to agents in one's own program.

use std::sync::Arc;

use beluga_actors::agent::Agents;
use beluga_actors::session::{Settings, Stores};
use beluga_core::Result;
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_runtime::System;

/// Starts a system whose agents keep everything in memory: for programs that need no durability, and for examples.
///
/// A durable one opens a [`Sqlite`](beluga_providers::sqlite::Sqlite) store and passes it to [`Agents::start`]; a whole
/// node with faces is a [`Node`](crate::node::Node).
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
