//! The binary and its faces as users meet them: real processes, real sockets, real time.
//!
//! No test needs the network beyond 127.0.0.1, a key or a server: vendors are played by [`vendor`].

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
mod configuration;
mod events;
mod http;
mod operate;
mod shutdown;
mod support;
mod telemetry;
mod top;
mod turns;
mod usage;
mod vendor;
