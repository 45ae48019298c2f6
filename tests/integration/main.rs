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
mod output;
mod pool;
mod resilience;
mod retrieval;
mod spend;
mod state;
mod supervision;
mod tracing;
mod turn;
