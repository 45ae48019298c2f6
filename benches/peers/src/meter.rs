//! How a sample is measured: CPU time per operation, and resident bytes.

use std::time::{Duration, Instant};

use crate::drive::GRAIN;

/// How long a trial must take to tell what an operation costs.
const TRIAL: Duration = Duration::from_millis(20);

/// The longest trial.
const TRIAL_OPERATIONS_MAX: u64 = 1 << 24;

/// What part of the operations is done before, unmeasured, to fill tables and caches.
const WARM_UP_PART: u64 = 20;

/// Returns the CPU nanoseconds per operation.
pub(crate) async fn cpu_per_operation(operations: u64, work: impl AsyncFn(u64)) -> f64 {
    work((operations / WARM_UP_PART).next_multiple_of(GRAIN)).await;
    let before = cpu_ns();
    work(operations).await;
    let spent = cpu_ns() - before;
    spent as f64 / operations as f64
}

/// Returns roughly how many nanoseconds of wall time an operation takes.
pub(crate) async fn trial(work: impl AsyncFn(u64)) -> f64 {
    let mut operations = GRAIN;
    loop {
        let before = Instant::now();
        work(operations).await;
        let spent = before.elapsed();
        if spent >= TRIAL || operations >= TRIAL_OPERATIONS_MAX {
            return spent.as_nanos() as f64 / operations as f64;
        }
        operations *= 2;
    }
}

/// Returns the CPU time of all threads of this process. The reading thread gives up the processor first, which brings its
/// own account up to date, and the others wait by then. The share of a thread that does run is as old as the last scheduler
/// tick (4 ms at most), so a run must take much longer. Of a thread that has ended nothing is counted: none ends in between.
fn cpu_ns() -> u64 {
    std::thread::yield_now();
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists threads");
    let spent = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    tasks.filter_map(Result::ok).filter_map(spent).sum()
}

/// Returns the bytes of memory the process holds.
///
/// The resident set is what an actor really costs: the allocator's overhead and its unused room are in it. It is exact here,
/// unlike in `statm`, and reading it costs the timed cases nothing, unlike an allocator that counts.
pub(crate) fn resident_bytes() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux sums up memory maps");
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("it has a line of the resident set");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
    kibibytes * 1024
}
