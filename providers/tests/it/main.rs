//! What the providers do together with servers, files and recordings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod models;
mod support;
