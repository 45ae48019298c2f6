//! Test doubles for the tests of an application: models, tools, planners, memory and stores that do what the test says.
//!
//! Stores fail on purpose: here the disk is full for a while, and no turn is lost or done twice.
//!
//! ```
//! use std::sync::Arc;
//!
//! use beluga::actors::session::{Settings, Stores};
//! use beluga::prelude::*;
//! use beluga::providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
//! use beluga::testkit::{Answer, Faults, FaultyJournal, ScriptedModel, StoreCall};
//!
//! # async fn test() -> Result<()> {
//! let faults = Faults::new();
//! let stores = Stores {
//!     journal: Arc::new(FaultyJournal::new(Arc::new(MemoryJournal::new()), &faults)),
//!     messages: Arc::new(MemoryMessages::new()),
//!     state: Arc::new(MemoryState::new()),
//! };
//! let system = System::builder("test").build()?;
//! let agents = Agents::start(&system, &stores, Settings::default()).await?;
//! let model = ScriptedModel::new([Answer::text("Hello.")]);
//! let agent = Agent::builder("assistant").model(model.clone()).spawn(&agents).await?;
//!
//! faults.fill_disk();
//! assert_eq!(agent.ask("Hi").await.unwrap_err().code(), Code::Overloaded);
//! assert!(model.requests().is_empty(), "what cannot be recorded is not begun");
//! faults.heal();
//! assert_eq!(agent.ask("Hi").await?.result, "Hello.");
//! assert_eq!(faults.calls(StoreCall::Append), 3, "one refused, then the start and the end of the turn");
//! # drop(agents);
//! # system.shutdown_gracefully().await
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test()).unwrap();
//! ```

pub use beluga_actors::testkit::*;
