//! Beluga's kernel beside its peers in one run: bounded and unbounded tokio channels, ractor, kameo and actix.
//!
//! `./benches/peers/run` builds and starts it. This process only plans and reports; every sample is taken by a child
//! process of the same binary, so no system meets the heap, the threads or the panic hooks of another.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A program that prints.
#![allow(clippy::disallowed_methods)] // Its peers spawn by themselves, and it reads the clock for them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A sample that fails must say so and die.

mod beluga;
mod case;
mod child;
mod drive;
mod goal;
mod json;
mod meter;
mod peer;
mod peers;
mod place;
mod plan;
mod report;
mod restart;

use std::path::PathBuf;
use std::process::ExitCode;

use case::{CASES, Case};
use plan::Plan;

/// What the command line asks for.
struct Arguments {
    quick: bool,
    json: Option<PathBuf>,
    results: Option<PathBuf>,
    cases: Vec<&'static Case>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((child::SWITCH, job)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return child::run(job);
    }
    match Arguments::parse(&words) {
        Ok(arguments) => arguments.run(),
        Err(complaint) => {
            eprintln!("{complaint}\nusage: run [--quick] [--json FILE] [CASE…]\ncases: {}", names());
            ExitCode::from(2)
        }
    }
}

fn names() -> String {
    CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(" ")
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self, String> {
        let mut arguments = Self { quick: false, json: None, results: None, cases: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut file = || words.next().map(PathBuf::from).ok_or_else(|| format!("{word} needs a file"));
            match word.as_str() {
                "--quick" => arguments.quick = true,
                "--json" => arguments.json = Some(file()?),
                "--results" => arguments.results = Some(file()?),
                name => arguments.cases.push(Case::named(name).ok_or_else(|| format!("there is no case {name}"))?),
            }
        }
        Ok(arguments)
    }

    fn run(&self) -> ExitCode {
        let plan = if self.quick { Plan::QUICK } else { Plan::FULL };
        let all = self.cases.is_empty();
        let cases: Vec<&Case> = if all { CASES.iter().collect() } else { self.cases.clone() };
        let outcome = plan.measure(&cases);
        let report = report::markdown(&outcome, plan, self.quick);
        println!("{report}");
        // A part of the cases must not replace the figures of all of them.
        let results = self.results.iter().filter(|_| all).map(|path| (path, report.clone()));
        let rows = self.json.iter().map(|path| (path, json::rows(&outcome.rows)));
        for (path, text) in results.chain(rows) {
            if let Err(error) = std::fs::write(path, text) {
                eprintln!("write {}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
        if outcome.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
