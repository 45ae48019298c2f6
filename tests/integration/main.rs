//! Use cases in one process, on paused time: all I/O is in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]

mod budget;
mod cluster;
mod context;
mod conversation;
mod crash;
mod doubles;
mod events;
mod handoff;
mod hooks;
mod kit;
mod memory;
mod middleware;
#[path = "../../runtime/tests/it/cluster/net.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod net;
mod output;
mod pool;
mod resilience;
mod retrieval;
mod spend;
mod state;
mod supervision;
mod tracing;
mod turn;
