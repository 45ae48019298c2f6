//! The actors of Beluga: one room per kind of actor, each with the same files.
//!
//! `mod.rs` says what a room owns, `message.rs` what may be said to it, `actor.rs` how it reacts, `handle.rs` is the typed
//! reference users hold, `hooks.rs` where users may observe or alter. No vendor, no socket and no file is known here.
#![warn(clippy::print_stdout)] // Libraries do not print; binaries and examples do.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

// `#[tool]` names this crate from outside; inside it the name must mean the same.
extern crate self as beluga_actors;

pub mod agent;
pub mod budget;
pub mod context;
pub mod memory;
pub mod model;
pub mod retrieval;
pub mod session;
pub mod testkit;
pub mod tool;
