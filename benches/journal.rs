//! CPU time per group append at 64 concurrent streams, by what is synced.
//!
//! Run it with `cargo bench --bench journal`. It prints medians over rounds, and the CPU time of the writer's own thread
//! apart, because CPU time repeats within a few per cent and wall time depends on the disk. Linux only: it reads
//! `/proc/self/task`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{Append, Journal, Mark, StreamKey, SyncLevel, TenantId};
use beluga_providers::memory::MemoryJournal;
use beluga_providers::sqlite::{Health, Sqlite, SqliteOptions};
use beluga_runtime::{RuntimeHost, SystemRandom, time};
use bytes::Bytes;
use futures_util::future::join_all;

const STREAMS: u64 = 64;
/// Groups per round that one writer appends, to one stream after the other.
const GROUPS: u64 = 150;
/// Groups per stream: a session of ten turns.
const SESSION_GROUPS: u64 = 30;
const ROUNDS: u64 = 9;
/// Two events of 300 bytes, as a turn's group has.
const PAYLOAD_BYTES: usize = 600;

/// What the groups of a stream ask for.
#[derive(Clone, Copy)]
enum Load {
    /// Every group is synced: `synchronous=FULL`.
    Full,
    /// None is: `synchronous=NORMAL`.
    Normal,
    /// Three groups per turn: the first and the last synced, the open mark set and taken away.
    Turn,
}

#[derive(Clone, Copy, Default)]
struct Round {
    writer: f64,
    process: f64,
    wall: f64,
    groups_per_commit: f64,
    groups_per_sync: f64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!(
        "per group append of {PAYLOAD_BYTES} B, {STREAMS} streams at a time, medians of {ROUNDS} rounds (lowest to highest)"
    );
    for (name, load) in [("full", Load::Full), ("normal", Load::Normal), ("turn", Load::Turn)] {
        let rounds = runtime.block_on(sqlite(load));
        print(&format!("sqlite {name}"), &rounds);
    }
    print("memory", &runtime.block_on(memory()));
}

async fn sqlite(load: Load) -> Vec<Round> {
    let directory = tempfile::tempdir().unwrap();
    let host = Arc::new(RuntimeHost::new(SystemRandom::seeded(1)));
    let store = Sqlite::open(directory.path().join("beluga.db"), SqliteOptions::new(), host).unwrap();
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        let before = store.health();
        let measured = measure(&store.journal(), load, round).await;
        // The first round fills caches.
        if round > 0 {
            rounds.push(counted(measured, &before, &store.health()));
        }
    }
    store.close().await.unwrap();
    rounds
}

async fn memory() -> Vec<Round> {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        rounds.push(measure(&journal, Load::Normal, round).await);
    }
    rounds.split_off(1)
}

fn counted(round: Round, before: &Health, after: &Health) -> Round {
    let groups = (after.groups - before.groups) as f64;
    Round {
        groups_per_commit: groups / (after.commits - before.commits) as f64,
        groups_per_sync: groups / (after.syncs - before.syncs) as f64,
        ..round
    }
}

async fn measure(journal: &Arc<dyn Journal>, load: Load, round: u64) -> Round {
    let payload = Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
    let (writer, process, start) = (cpu(Some("sqlite-writer")), cpu(None), time::now());
    join_all((0..STREAMS).map(|writer| {
        let (journal, payload) = (Arc::clone(journal), payload.clone());
        tokio::task::unconstrained(async move {
            for n in 0..GROUPS {
                journal.append(group(load, writer, round * GROUPS + n, payload.clone())).await.unwrap();
            }
        })
    }))
    .await;
    let per_group = |spent: Duration| spent.as_secs_f64() * 1e6 / (STREAMS * GROUPS) as f64;
    Round {
        writer: per_group(cpu(Some("sqlite-writer")) - writer),
        process: per_group(cpu(None) - process),
        wall: per_group(time::now() - start),
        ..Round::default()
    }
}

fn group(load: Load, writer: u64, n: u64, payload: Bytes) -> Append {
    let expected = n % SESSION_GROUPS;
    let (sync, mark) = match (load, expected % 3) {
        (Load::Full, _) => (SyncLevel::Disk, Mark::Keep),
        (Load::Turn, 0) => (SyncLevel::Disk, Mark::Open),
        (Load::Turn, 2) => (SyncLevel::Disk, Mark::Close),
        _ => (SyncLevel::Commit, Mark::Keep),
    };
    let stream = StreamKey {
        tenant: TenantId::default(),
        kind: "session".into(),
        id: format!("session-{writer}-{}", n / SESSION_GROUPS).into(),
    };
    Append { stream, expected, fence: 1, payload, sync, mark }
}

/// Returns the CPU time of this process's threads, or of those of one name.
fn cpu(name: Option<&str>) -> Duration {
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

fn print(name: &str, rounds: &[Round]) {
    let column = |title: &str, pick: fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        match (values.first(), values.get(values.len() / 2), values.last()) {
            // Without a writer, a commit or a sync there is nothing to say.
            (Some(low), Some(median), Some(high)) if *high > 0.0 && high.is_finite() => {
                format!("  {title} {median:.1} ({low:.1}-{high:.1})")
            }
            _ => String::new(),
        }
    };
    println!(
        "{name:14}{}{}{}{}{}",
        column("writer CPU us", |round| round.writer),
        column("process CPU us", |round| round.process),
        column("wall us", |round| round.wall),
        column("groups per commit", |round| round.groups_per_commit),
        column("groups per sync", |round| round.groups_per_sync),
    );
}
