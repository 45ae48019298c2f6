//! Implementations of Beluga's contracts: language models, stores, tools that do I/O.
//!
//! A room per contract and dialect. Facts about a vendor are data (profiles); nothing here knows an actor, and time,
//! spawning and randomness come from [`beluga_core::Host`].
#![warn(clippy::print_stdout)] // Libraries do not print; binaries and examples do.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod auth;
pub mod embed;
pub mod facts;
pub mod http;
pub mod llm;
pub mod memory;
pub mod offline;
pub mod price;
pub mod rerank;
pub mod sqlite;
pub mod tokenizer;
pub mod tool;
pub mod vendor;
