//! What the providers do together with servers, files and recordings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod factory;
mod fixtures;
mod google_token;
mod http_tool;
mod models;
mod recordings;
mod replay;
mod support;
