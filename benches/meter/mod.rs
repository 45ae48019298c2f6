//! How the benches of this folder measure: CPU time per operation, medians of interleaved repeats.
//!
//! CPU time repeats within a few per cent; wall time depends on the disk and on who else uses the machine. Linux only:
//! it reads `/proc/self/task`.
#![allow(dead_code, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Each bench uses its part.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The CPU time of each thread of this process at a moment.
///
/// A running thread's account is brought up to date by its giving up the processor; the other threads of a bench wait
/// by then. Of a thread that ends in between nothing is counted.
pub(crate) struct Accounts(HashMap<OsString, Account>);

struct Account {
    name: String,
    spent_ns: u64,
}

impl Accounts {
    pub(crate) fn now() -> Self {
        std::thread::yield_now();
        let tasks = fs::read_dir("/proc/self/task").unwrap();
        Self(
            tasks.map(Result::unwrap).filter_map(|task| Some((task.file_name(), Account::of(&task.path())?))).collect(),
        )
    }

    /// Returns what all threads spent since an earlier moment.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        self.of(before, |_| true)
    }

    /// Returns what the threads of one name spent since an earlier moment.
    pub(crate) fn of_thread(&self, name: &str, before: &Self) -> Duration {
        self.of(before, |thread| thread == name)
    }

    fn of(&self, before: &Self, counts: impl Fn(&str) -> bool) -> Duration {
        let spent =
            self.0.iter().filter(|(_, account)| counts(&account.name)).map(|(id, account)| {
                account.spent_ns.saturating_sub(before.0.get(id).map_or(0, |before| before.spent_ns))
            });
        Duration::from_nanos(spent.sum())
    }
}

impl Account {
    fn of(task: &Path) -> Option<Self> {
        let name = fs::read_to_string(task.join("comm")).ok()?.trim().to_owned();
        let times = fs::read_to_string(task.join("schedstat")).ok()?;
        Some(Self { name, spent_ns: times.split(' ').next()?.parse().ok()? })
    }
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
