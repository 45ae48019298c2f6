//! How the benches of this folder measure: CPU time per operation, medians of interleaved repeats.
//!
//! CPU time repeats within a few per cent; wall time depends on the disk and on who else uses the machine. Linux only:
//! it reads `/proc/self/task`.
#![allow(dead_code, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Each bench uses its part.

use std::fmt;
use std::fs;
use std::time::Duration;

/// Returns the CPU time of all threads of this process that ran so far.
///
/// A running thread's account is brought up to date by its giving up the processor; the other threads of a bench wait
/// by then.
pub(crate) fn cpu() -> Duration {
    std::thread::yield_now();
    threads(None)
}

/// Returns the CPU time of the threads of one name.
pub(crate) fn cpu_of(name: &str) -> Duration {
    threads(Some(name))
}

fn threads(name: Option<&str>) -> Duration {
    let mut spent = 0;
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        let (Ok(thread), Ok(times)) =
            (fs::read_to_string(task.join("comm")), fs::read_to_string(task.join("schedstat")))
        else {
            continue;
        };
        if name.is_none_or(|name| thread.trim() == name) {
            spent += times.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(spent)
}

/// The samples of one figure.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, sample: f64) {
        self.0.push(sample);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn extend(&mut self, samples: impl IntoIterator<Item = f64>) {
        self.0.extend(samples);
        self.0.sort_by(f64::total_cmp);
    }

    /// Returns the sample below which this share of them lies.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let below = (self.0.len() as f64 * share) as usize;
        self.0.get(below.min(self.0.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.1} ({:.1} to {:.1})", self.median(), self.at(0.0), self.at(1.0)))
    }
}

/// Returns whether the command line holds this switch.
pub(crate) fn switch(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}
