//! Crashes of real processes: the binary dies, its successor goes on, and servers that count are the witnesses.
//!
//! A process dies around a journal append by the fault switch (`BELUGA_FAULT`, feature `fault-injection`), or at any
//! other moment by `kill -9`. Models and tools are played by servers of the test, which outlive the process: what they
//! counted is what happened.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and these run on real time beside real processes"
)]

mod append;
mod cursor;
mod effect;
mod handoff;
mod key;
mod ledger;
mod model;
mod moment;
mod server;
#[path = "../face/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the faces, which use the rest")]
mod support;
mod switch;
mod tools;
mod world;
