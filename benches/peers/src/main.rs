//! Beluga's kernel beside bounded tokio mpsc and bare ractor, in one run.
//!
//! `cargo run --release -p beluga-peers [-- --quick] [WORKLOAD]` prints CPU nanoseconds per operation (the sum over all threads of
//! the process, from the kernel's run-time accounting), the median of interleaved repeats. Compare only inside one run.
#![allow(clippy::print_stdout, clippy::disallowed_methods)] // A program that prints; its peers spawn by themselves.

mod beluga;
mod meter;
mod mpsc;
mod ractor;

use meter::{Plan, Workload, measure};

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let plan = if quick { Plan { repeats: 3, scale: 1 } } else { Plan { repeats: 7, scale: 4 } };
    println!("CPU ns per operation, median of {} interleaved repeats (lowest to highest)", plan.repeats);
    println!("{:<10}{:>26}{:>26}{:>26}{:>12}{:>12}", "", "mpsc(1024)", "ractor", "beluga", "x mpsc", "x ractor");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    for workload in
        Workload::ALL.into_iter().filter(|workload| only.as_ref().is_none_or(|only| only == workload.name()))
    {
        let [mpsc, ractor, beluga] = measure(workload, plan, [mpsc::run, ractor::run, beluga::run]);
        println!(
            "{:<10}{mpsc:>26}{ractor:>26}{beluga:>26}{:>12.2}{:>12.2}",
            workload.name(),
            beluga.median / mpsc.median,
            beluga.median / ractor.median,
        );
    }
}
