//! Test doubles for users' own tests: models that answer from a script, a closure or a recording, and tools that count.
//!
//! They keep every law of the contracts they stand for (lazy streams, whole tool calls, cancellation), so that a test
//! which passes with a double means something. Nothing here touches the network. To be sure that nothing else does,
//! build the providers' HTTP client with its network policy set to loopback or none; a double needs no client at all.
//!
//! | Double | For |
//! |---|---|
//! | [`ScriptedModel`] | a fixed list of answers, delays, errors and hangs |
//! | [`FunctionModel`] | answers that depend on the request |
//! | [`FunctionEmbedder`], [`FunctionReranker`] | vectors and scores made of a closure |
//! | [`RecordedModel`] | a real model's answers, recorded once and replayed strictly |
//! | [`CountingTool`] | how often, and with what, a tool was called |
//! | [`FunctionTool`](crate::tool::typed::FunctionTool) | a tool made of a closure |
//! | [`FunctionPlanner`] | a planner made of a closure |
//! | [`FixedMemory`] | a memory tier with a fixed text, that notes what it saves |
//! | [`FaultyJournal`], [`FaultyState`], [`FaultyMessages`] | stores that fail, hang, lose, damage or delay what [`Faults`] say |
//! | [`Items`] | a stream made by hand |
//! | [`RuntimeHost`](beluga_runtime::RuntimeHost) | time and randomness, on paused time and with a seed |
//!
//! Actors are killed, paused and probed with [`beluga_runtime::testkit`].

mod answer;
mod counting;
mod faults;
mod function;
mod items;
mod lawful;
mod memory;
mod planner;
mod recorded;
mod retrieval;
mod scripted;
mod stores;

pub use answer::Answer;
pub use counting::{CountedCall, CountingTool};
pub use faults::{Faults, StoreCall};
pub use function::FunctionModel;
pub use items::Items;
pub use memory::FixedMemory;
pub use planner::FunctionPlanner;
pub use recorded::{RecordedCall, RecordedModel, Recording};
pub use retrieval::{FunctionEmbedder, FunctionReranker};
pub use scripted::ScriptedModel;
pub use stores::{FaultyJournal, FaultyMessages, FaultyState};
