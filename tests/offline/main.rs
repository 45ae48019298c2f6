//! The offline model with the real calculator and clock: what somebody without a key gets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod answers;
mod questions;
