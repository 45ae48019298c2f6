//! The NATS face as its clients meet it: a real nats-server, real clients, real time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test fails by panicking, and these run on real time beside real processes"
)]

mod accounts;
mod calls;
mod cluster;
mod discovery;
mod journal;
mod kit;
mod outside;
mod permissions;
mod server;
mod streams;
mod weather;
