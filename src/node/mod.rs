//! A node: a system with stores, models, tools, agents and the faces, built of a configuration.
//!
//! [`Node::start`] puts the parts together in the order of their supervisors; [`Node::listen`] opens the HTTP face, [`Node::connect`] that of NATS;
//! [`Node::shutdown`] drains and ends them in reverse. A node owns its [`DataDir`]. Two nodes with two directories run
//! in one process.
//!
//! Not here: what a part does (its own room), telemetry (the process's), signals (the binary's).

mod agents;
mod budgets;
mod cluster;
mod context;
mod data_dir;
mod face;
mod facts;
#[cfg(feature = "fault-injection")]
mod fault;
mod metrics;
mod models;
mod nats;
mod parts;
mod registry;
mod reload;
mod retrievals;
mod routers;
mod start;
mod stores;
mod tools;

pub use data_dir::{Claim, DataDir, Owner};
pub use face::Listen;
pub use nats::Connect;
pub use start::Node;

pub(crate) use registry::{embedder_registry, model_registry, reranker_registry};
