//! The `beluga` binary; everything is in [`cli`].
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
