//! The binary and its faces as users meet them: real processes, real sockets, real time.
//!
//! No test needs the network beyond 127.0.0.1 or a key: vendors are played by [`vendor`], and a nats-server is a child of the
//! test that needs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and these run on real time beside real processes"
)]

mod ask;
mod bad_input;
mod cluster;
mod configuration;
mod events;
mod http;
mod operate;
#[path = "../nats/server.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
mod server;
mod shutdown;
mod support;
mod telemetry;
mod top;
mod turns;
mod usage;
mod vendor;
