//! The kernel's use cases and laws, on paused time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod cancel;
mod census;
mod cluster;
mod combined;
mod control;
mod family;
mod faults;
mod fixture;
mod guests;
mod lanes;
mod look;
mod pool;
mod proof;
mod reach;
mod source;
mod streams;
mod supervision;
mod talk;
mod waits;
mod watchdog;
mod wire;
