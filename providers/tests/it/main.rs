//! What the providers do together with servers, files and recordings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod clouds;
mod connections;
mod embedders;
mod exchanges;
mod factory;
mod fixtures;
mod google_token;
mod http_tool;
mod models;
mod natives;
mod recordings;
#[path = "../../replay/mod.rs"]
#[allow(dead_code, reason = "the replayer of the same name uses the rest")]
mod replay;
mod rerankers;
mod support;
mod vendors;
