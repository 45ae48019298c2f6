//! Replays recorded traffic of model vendors: `cargo run --release --example replay -- [DIR] [--json FILE] [--quick]`.
//!
//! Without a folder the project's own fixtures are replayed. `--quick` cuts each answer at few places instead of at every
//! one. Exit status 1 means that something differed.
#![allow(clippy::print_stdout, reason = "an example speaks to its reader")]

use std::path::PathBuf;
use std::process::ExitCode;

#[path = "../replay/mod.rs"]
mod replay;

fn main() -> ExitCode {
    let mut folder = None;
    let mut json = None;
    let mut cutting = replay::answer::Cutting::Thorough;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => cutting = replay::answer::Cutting::Quick,
            "--json" => json = arguments.next().map(PathBuf::from),
            _ => folder = Some(PathBuf::from(argument)),
        }
    }
    let folder = folder.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures")));
    let report = replay::replay(&folder, cutting);
    for line in report.lines() {
        println!("{line}");
    }
    if let Some(file) = json
        && let Err(error) = std::fs::write(&file, report.json().to_string())
    {
        println!("cannot write {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
