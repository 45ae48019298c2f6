//! The disk is full: writes are refused, nothing is lost, and the store goes on when there is space.

use beluga_core::{Code, StateKey, StateScope};
use serde_json::Value;

use super::*;

fn key(n: usize) -> StateKey {
    StateKey { tenant: TenantId::default(), scope: StateScope::Global, name: n.to_string() }
}

/// Fills the store with values of 64 KiB until none fits; returns how many there are.
async fn filled(store: &Sqlite) -> usize {
    let mut count = 0;
    loop {
        match store.state().set(key(count), Value::from("x".repeat(64 * 1024))).await {
            Ok(()) => count += 1,
            Err(error) => {
                assert_eq!(error.code(), Code::Overloaded, "{error}");
                assert!(error.is_retryable());
                assert!(error.message().contains("full: free space"), "{error}");
                return count;
            }
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_the_store_goes_on_when_there_is_space() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new().max_bytes(2 * 1024 * 1024));
    store.journal().append(append("a", 0, "a1")).await.unwrap();
    let count = filled(&store).await;
    assert!(count > 10, "{count}");
    let large = "y".repeat(128 * 1024);
    let error = store.journal().append(append("a", 1, large.clone())).await.unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    assert!(store.health().is_healthy());
    for n in 0..4 {
        store.state().delete(key(n)).await.unwrap();
    }
    assert_eq!(store.journal().append(append("a", 1, large.clone())).await.unwrap(), 2);
    assert_eq!(texts(&store.journal(), "a").await, ["a1".to_owned(), large]);
    store.close().await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM state"), i64::try_from(count - 4).unwrap());
    assert_eq!(place.raw().query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
}

#[tokio::test]
async fn a_group_that_does_not_fit_does_not_take_its_neighbours_with_it() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new().max_bytes(2 * 1024 * 1024));
    filled(&store).await;
    store.state().delete(key(0)).await.unwrap();
    let journal = store.journal();
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The first is in the writer's hands, waiting for the other program; the rest is queued and becomes one batch.
    let batch = [
        append("first", 0, "first"),
        append("a", 0, "a1"),
        append("b", 0, "y".repeat(1024 * 1024)),
        append("a", 1, "a2"),
        append("b", 0, "b1"),
    ];
    let mut waiting = futures_util::future::join_all(batch.map(|group| journal.append(group)));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    other.execute_batch("COMMIT").unwrap();
    let answers: Vec<Result<u64, Code>> =
        waiting.await.into_iter().map(|answer| answer.map_err(|error| error.code())).collect();
    assert_eq!(answers, [Ok(1), Ok(1), Err(Code::Overloaded), Ok(2), Ok(1)]);
    assert_eq!(texts(&journal, "a").await, ["a1", "a2"]);
    assert_eq!(texts(&journal, "b").await, ["b1"]);
}
