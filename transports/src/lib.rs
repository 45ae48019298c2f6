//! Bytes in and out of a node: HTTP with server-sent events, and NATS.
//!
//! A room per protocol. A transport turns requests into calls of agents and sessions and their answers into bytes; it
//! decides nothing about them, and knows no vendor.
#![warn(clippy::print_stdout)] // Libraries do not print; binaries and examples do.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod faces;
pub mod http;
pub mod nats;
mod request;

pub use request::IDEMPOTENCY_KEY_MAX_BYTES;
