//! What is measured, and how.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// One pattern of talking to an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// One producer tells; one thread.
    Tell,
    /// Four producers tell; two workers.
    Tell4,
    /// One ask after the other; one thread.
    Ask,
    /// 64 asks at a time; two workers.
    Ask64,
    /// Two actors pass a message back and forth; one thread.
    Hop,
}

impl Workload {
    pub(crate) const ALL: [Workload; 5] =
        [Workload::Tell, Workload::Tell4, Workload::Ask, Workload::Ask64, Workload::Hop];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Tell => "tell",
            Workload::Tell4 => "tell4",
            Workload::Ask => "ask",
            Workload::Ask64 => "ask64",
            Workload::Hop => "hop",
        }
    }

    fn workers(self) -> usize {
        match self {
            Workload::Tell4 | Workload::Ask64 => 2,
            _ => 1,
        }
    }

    fn operations(self) -> u64 {
        match self {
            Workload::Tell | Workload::Tell4 => 800_000,
            Workload::Ask | Workload::Ask64 => 256_000,
            Workload::Hop => 512_000,
        }
    }
}

/// How often and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) repeats: usize,
    pub(crate) scale: u64,
}

/// Median and range of one measurement, in nanoseconds per operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    lowest: f64,
    highest: f64,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.0} ({:.0} to {:.0})", self.median, self.lowest, self.highest))
    }
}

/// A peer: does so many operations of a workload and returns when all are done.
pub(crate) type Peer = fn(Workload, u64) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// Measures the peers in turn, so that a change of the machine's mood meets all of them.
pub(crate) fn measure<const N: usize>(workload: Workload, plan: Plan, peers: [Peer; N]) -> [Figure; N] {
    let operations = workload.operations() * plan.scale;
    let mut samples = [(); N].map(|()| Vec::with_capacity(plan.repeats));
    for _ in 0..plan.repeats {
        for (peer, samples) in peers.iter().zip(&mut samples) {
            samples.push(once(workload, operations, *peer));
        }
    }
    samples.map(|mut samples| {
        samples.sort_by(f64::total_cmp);
        let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
        Figure { median: at(samples.len() / 2), lowest: at(0), highest: at(samples.len().saturating_sub(1)) }
    })
}

fn once(workload: Workload, operations: u64, peer: Peer) -> f64 {
    let runtime = match workload.workers() {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        workers => tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    };
    let Ok(runtime) = runtime else { return f64::NAN };
    runtime.block_on(async {
        tokio::spawn(peer(workload, operations / 20)).await.unwrap_or_default();
        let before = cpu_ns();
        tokio::spawn(peer(workload, operations)).await.unwrap_or_default();
        let spent = cpu_ns() - before;
        spent as f64 / operations as f64
    })
}

/// Returns the CPU time of all threads of this process. A running thread's share is as old as the last scheduler tick
/// (4 ms at most), so a run must take much longer.
fn cpu_ns() -> u64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let spent = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.filter_map(Result::ok).filter_map(spent).sum()
}
