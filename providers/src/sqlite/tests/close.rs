//! The close, and the end without one.

use beluga_core::Code;
use futures_util::FutureExt;
use futures_util::future::join_all;

use super::super::HealthState;
use super::*;

#[tokio::test]
async fn a_close_answers_what_is_pending_and_leaves_one_file() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    let journal = store.journal();
    let mut pending: Vec<_> = (0..50).map(|n| journal.append(append("a", n, "x"))).collect();
    for append in &mut pending {
        // Sent; it may be answered already.
        if let Some(answer) = append.now_or_never() {
            answer.unwrap();
            *append = Box::pin(async { Ok(0) });
        }
    }
    let (closed, again, answers) = tokio::join!(store.close(), store.close(), join_all(pending));
    closed.unwrap();
    again.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(store.health().state, HealthState::Closed);
    let log = place.directory.path().join("beluga.db-wal");
    assert!(!log.exists(), "the log is in the file");
    for error in [
        journal.append(append("a", 50, "x")).await.unwrap_err(),
        journal.read(stream("a"), 1, 1).await.unwrap_err(),
        journal.open("session", 1).await.unwrap_err(),
        store.messages().clear(recall::owner("x")).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::Unavailable, "{error}");
    }
    let again = place.open(SqliteOptions::new());
    assert_eq!(texts(&again.journal(), "a").await.len(), 50);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_store_writes_what_was_sent_and_lets_go_of_the_file() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    let mut pending: Vec<_> = (0..50).map(|n| store.journal().append(append("a", n, "x"))).collect();
    for append in &mut pending {
        let _ = append.now_or_never();
    }
    drop((store, pending));
    let again = place.open(SqliteOptions::new());
    assert_eq!(texts(&again.journal(), "a").await.len(), 50);
}
