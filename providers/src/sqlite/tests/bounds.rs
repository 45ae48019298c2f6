//! The bounds of the queue, the order of what goes through it, and what is synced.

use beluga_core::{Code, GROUP_MAX_BYTES};
use futures_util::FutureExt;
use futures_util::future::join_all;

use super::super::{QUEUE_GROUPS_MAX, SyncMode};
use super::*;

#[tokio::test]
async fn one_group_too_many_is_overloaded_and_the_others_are_written() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    let journal = store.journal();
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut pending: Vec<_> = (0..QUEUE_GROUPS_MAX as u64).map(|n| journal.append(append("a", n, "x"))).collect();
    assert!(pending.iter_mut().all(|append| append.now_or_never().is_none()));
    let error = journal.append(append("b", 0, "x")).await.unwrap_err();
    assert_eq!((error.code(), error.get("max")), (Code::Overloaded, Some("16384")));
    assert_eq!(store.health().pending, QUEUE_GROUPS_MAX);
    other.execute_batch("COMMIT").unwrap();
    let versions: Vec<u64> = join_all(pending).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(versions, (1..=QUEUE_GROUPS_MAX as u64).collect::<Vec<_>>());
    let health = store.health();
    assert!(health.commits <= 2, "the first alone, the rest together: {health:?}");
    assert_eq!(health.groups, QUEUE_GROUPS_MAX as u64);
    journal.append(append("b", 0, "x")).await.unwrap();
}

#[tokio::test]
async fn too_many_bytes_are_overloaded() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    let journal = store.journal();
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let payload = Bytes::from(vec![1; GROUP_MAX_BYTES]);
    let mut pending: Vec<_> = (0..7).map(|n| journal.append(append("a", n, payload.clone()))).collect();
    assert!(pending.iter_mut().all(|append| append.now_or_never().is_none()));
    let error = journal.append(append("a", 7, payload)).await.unwrap_err();
    assert_eq!((error.code(), error.get("pending")), (Code::Overloaded, Some("7")));
    other.execute_batch("ROLLBACK").unwrap();
    assert!(join_all(pending).await.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_keep_the_order_of_their_streams() {
    const WRITERS: u64 = 64;
    const GROUPS: u64 = 40;
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    let writers = (0..WRITERS).map(|writer| {
        let journal = store.journal();
        tokio::spawn(async move {
            for n in 0..GROUPS {
                let sync = if n % 4 == 0 { SyncLevel::Disk } else { SyncLevel::Commit };
                let group = Append { sync, ..append(&format!("w{writer}"), n, format!("{writer} {n}")) };
                assert_eq!(journal.append(group).await.unwrap(), n + 1);
            }
        })
    });
    join_all(writers.collect::<Vec<_>>()).await.into_iter().for_each(|ended| ended.unwrap());
    for writer in 0..WRITERS {
        let expected: Vec<String> = (0..GROUPS).map(|n| format!("{writer} {n}")).collect();
        assert_eq!(texts(&store.journal(), &format!("w{writer}")).await, expected);
    }
    assert_eq!(store.health().groups, WRITERS * GROUPS);
}

#[tokio::test]
async fn the_setting_decides_what_is_synced() {
    let cases = [
        (SyncMode::Turn, SyncLevel::Commit, 0),
        (SyncMode::Turn, SyncLevel::Disk, 1),
        (SyncMode::Every, SyncLevel::Commit, 1),
        (SyncMode::Off, SyncLevel::Disk, 0),
    ];
    for (mode, sync, expected) in cases {
        let place = Place::new();
        let store = place.open(SqliteOptions::new().sync(mode));
        store.journal().append(Append { sync, ..append("a", 0, "x") }).await.unwrap();
        let health = store.health();
        assert_eq!((health.commits, health.syncs), (1, expected), "{mode:?} {sync:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_parked_wait_holds_paused_time() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new().park(true));
    for n in 0..20 {
        let answer = tokio::time::timeout(Duration::from_millis(1), store.journal().append(append("a", n, "x"))).await;
        assert_eq!(answer.expect("time must not jump").unwrap(), n + 1);
    }
    tokio::time::timeout(Duration::from_millis(1), store.close()).await.expect("time must not jump").unwrap();
}

#[tokio::test]
async fn a_zombie_stays_out_after_a_reopen() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    let fenced = |expected, fence| Append { fence, ..append("a", expected, "x") };
    store.journal().append(fenced(0, u64::MAX - 1)).await.unwrap();
    store.close().await.unwrap();
    let store = place.open(SqliteOptions::new());
    let error = store.journal().append(fenced(1, 7)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(store.journal().append(fenced(1, u64::MAX)).await.unwrap(), 2);
}
