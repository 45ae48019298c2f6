//! The laws of the journal.

use std::future::Future;
use std::sync::Arc;

use beluga_core::{Append, Code, GROUP_MAX_BYTES, Group, Journal, Mark, StreamKey, SyncLevel, TenantId};
use bytes::Bytes;
use futures_util::FutureExt;

use crate::Outcome::{Kept, Skipped};
use crate::{Store, every_journal};

fn stream(tenant: &str, kind: &str, id: &str) -> StreamKey {
    StreamKey { tenant: TenantId::parse(tenant).unwrap(), kind: kind.into(), id: id.into() }
}

fn group(id: &str, expected: u64, payload: &str) -> Append {
    Append {
        stream: stream("acme", "session", id),
        expected,
        fence: 1,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        sync: SyncLevel::Commit,
        mark: Mark::Keep,
    }
}

async fn texts(journal: &Arc<dyn Journal>, key: StreamKey) -> Vec<String> {
    let groups = journal.read(key, 1, usize::MAX).await.unwrap();
    assert!(groups.iter().map(|group| group.version).eq(1..=groups.len() as u64));
    groups.iter().map(|group| String::from_utf8(group.payload.to_vec()).unwrap()).collect()
}

async fn code(append: impl Future<Output = beluga_core::Result<u64>>) -> Code {
    append.await.unwrap_err().code()
}

#[tokio::test]
async fn append_needs_the_expected_version() {
    every_journal("append_needs_the_expected_version", async |store| {
        let journal = store.journal();
        assert_eq!(code(journal.append(group("s", 1, "x"))).await, Code::Conflict);
        assert_eq!(journal.append(group("s", 0, "one")).await.unwrap(), 1);
        assert_eq!(code(journal.append(group("s", 0, "x"))).await, Code::Conflict);
        assert_eq!(code(journal.append(group("s", 2, "x"))).await, Code::Conflict);
        assert_eq!(code(journal.append(Append { mark: Mark::Open, ..group("s", 9, "x") })).await, Code::Conflict);
        assert_eq!(journal.append(group("s", 1, "two")).await.unwrap(), 2);
        assert_eq!(texts(&journal, stream("acme", "session", "s")).await, ["one", "two"]);
        assert!(journal.open("session", 9).await.unwrap().is_empty(), "a refused append sets no mark");
        // Of many that expect the same version exactly one wins.
        let rivals = (0..20).map(|_| journal.append(group("s", 2, "three")));
        let answers = futures_util::future::join_all(rivals).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        assert_eq!(texts(&journal, stream("acme", "session", "s")).await.len(), 3);
        Kept
    })
    .await;
}

#[tokio::test]
async fn a_lower_fence_cannot_write() {
    every_journal("a_lower_fence_cannot_write", async |store| {
        let journal = store.journal();
        let fenced = |expected, fence| Append { fence, ..group("s", expected, "x") };
        journal.append(fenced(0, 5)).await.unwrap();
        assert_eq!(code(journal.append(fenced(1, 4))).await, Code::Unavailable);
        journal.append(fenced(1, 5)).await.unwrap();
        journal.append(fenced(2, u64::MAX)).await.unwrap();
        assert_eq!(code(journal.append(fenced(3, u64::MAX - 1))).await, Code::Unavailable);
        // A zombie learns that it is one, whatever version it believes in.
        assert_eq!(code(journal.append(fenced(0, 5))).await, Code::Unavailable);
        journal.append(Append { fence: 1, ..group("other", 0, "x") }).await.unwrap();
        assert_eq!(texts(&journal, stream("acme", "session", "s")).await.len(), 3);
        Kept
    })
    .await;
}

#[tokio::test]
async fn read_returns_what_was_appended() {
    every_journal("read_returns_what_was_appended", async |store| {
        let journal = store.journal();
        let key = stream("acme", "session", "s");
        assert!(journal.read(key.clone(), 1, 10).await.unwrap().is_empty());
        let every_byte: Vec<u8> = (0..=255).collect();
        let payloads = [Bytes::new(), Bytes::from(every_byte), Bytes::from(vec![7; GROUP_MAX_BYTES])];
        for (payload, expected) in payloads.iter().zip(0..) {
            journal.append(Append { payload: payload.clone(), ..group("s", expected, "") }).await.unwrap();
        }
        let expected: Vec<Group> =
            payloads.iter().zip(1..).map(|(payload, version)| Group { version, payload: payload.clone() }).collect();
        let read = async |from, limit| journal.read(key.clone(), from, limit).await.unwrap();
        assert!(read(1, 10).await == expected);
        assert!(read(0, usize::MAX).await == expected);
        assert!(read(2, 1).await == expected[1..2]);
        assert!(read(3, 10).await == expected[2..]);
        for (from, limit) in [(4, 10), (1, 0), (u64::MAX, 10)] {
            assert!(read(from, limit).await.is_empty(), "{from} {limit}");
        }
        let large = Bytes::from(vec![7; GROUP_MAX_BYTES + 1]);
        assert_eq!(code(journal.append(Append { payload: large, ..group("s", 3, "") })).await, Code::InvalidInput);
        Kept
    })
    .await;
}

#[tokio::test]
async fn open_lists_marked_streams() {
    every_journal("open_lists_marked_streams", async |store| {
        let journal = store.journal();
        let marked = async |id: &'static str, expected, mark| {
            journal.append(Append { mark, ..group(id, expected, "x") }).await.unwrap();
        };
        let open = async |limit| {
            let keys = journal.open("session", limit).await.unwrap();
            keys.into_iter().map(|key| key.id.to_string()).collect::<Vec<_>>()
        };
        marked("c", 0, Mark::Open).await;
        marked("a", 0, Mark::Open).await;
        marked("b", 0, Mark::Open).await;
        marked("never", 0, Mark::Keep).await;
        marked("closed", 0, Mark::Close).await;
        let other = Append { stream: stream("acme", "workflow", "w"), mark: Mark::Open, ..group("", 0, "x") };
        journal.append(other).await.unwrap();
        assert_eq!(open(9).await, ["c", "a", "b"]);
        assert_eq!(open(2).await, ["c", "a"]);
        marked("c", 1, Mark::Keep).await;
        marked("a", 1, Mark::Open).await;
        assert_eq!(open(9).await, ["c", "a", "b"], "a mark that is set keeps its place");
        marked("c", 2, Mark::Close).await;
        assert_eq!(open(9).await, ["a", "b"]);
        marked("c", 3, Mark::Open).await;
        assert_eq!(open(9).await, ["a", "b", "c"]);
        assert_eq!(journal.open("workflow", 9).await.unwrap(), [stream("acme", "workflow", "w")]);
        assert!(journal.open("nothing", 9).await.unwrap().is_empty());
        Kept
    })
    .await;
}

#[tokio::test]
async fn streams_do_not_touch_each_other() {
    every_journal("streams_do_not_touch_each_other", async |store| {
        let journal = store.journal();
        let keys = [
            stream("acme", "session", "s"),
            stream("acme", "session", "S"),
            stream("acme", "session", "s/x"),
            stream("acme", "workflow", "s"),
            stream("other", "session", "s"),
            stream("other", "session/s", ""),
        ];
        for round in 0..3_u64 {
            for (n, key) in keys.iter().enumerate() {
                let mark = if n == 4 { Mark::Open } else { Mark::Keep };
                let append = Append { stream: key.clone(), mark, ..group("", round, &format!("{n} {round}")) };
                assert_eq!(journal.append(append).await.unwrap(), round + 1);
            }
        }
        for (n, key) in keys.iter().enumerate() {
            let expected: Vec<String> = (0..3).map(|round| format!("{n} {round}")).collect();
            assert_eq!(texts(&journal, key.clone()).await, expected, "{key}");
        }
        assert_eq!(journal.open("session", 9).await.unwrap(), [stream("other", "session", "s")]);
        Kept
    })
    .await;
}

#[tokio::test]
async fn acknowledged_survives() {
    every_journal("acknowledged_survives", async |store| {
        let journal = store.journal();
        for (sync, expected) in
            [SyncLevel::Disk, SyncLevel::Commit, SyncLevel::Disk, SyncLevel::Commit].into_iter().zip(0..)
        {
            let append = Append { sync, fence: 7, mark: Mark::Open, ..group("s", expected, &format!("{sync:?}")) };
            journal.append(append).await.unwrap();
        }
        drop(journal);
        let store = match store.reopened().await {
            Ok(store) => store,
            Err(why) => return Skipped(why),
        };
        let journal = store.journal();
        let key = stream("acme", "session", "s");
        assert_eq!(texts(&journal, key.clone()).await, ["Disk", "Commit", "Disk", "Commit"]);
        assert_eq!(journal.open("session", 9).await.unwrap(), std::slice::from_ref(&key));
        assert_eq!(code(journal.append(Append { fence: 6, ..group("s", 4, "x") })).await, Code::Unavailable);
        assert_eq!(code(journal.append(Append { fence: 7, ..group("s", 3, "x") })).await, Code::Conflict);
        let close = Append { fence: 7, mark: Mark::Close, ..group("s", 4, "x") };
        assert_eq!(journal.append(close).await.unwrap(), 5);
        assert!(journal.open("session", 9).await.unwrap().is_empty());
        Kept
    })
    .await;
}

#[tokio::test]
async fn dropped_append_is_atomic() {
    every_journal("dropped_append_is_atomic", async |store: Store| {
        let journal = store.journal();
        let key = stream("acme", "session", "s");
        let payload = "whole ".repeat(10_000);
        drop(journal.append(group("s", 0, &payload)));
        let mut version = 0;
        for n in 0..50_u64 {
            let mut append = journal.append(Append { mark: Mark::Open, ..group("s", version, &payload) });
            if let Some(answer) = (&mut append).now_or_never() {
                answer.unwrap();
            }
            drop(append);
            // Appends are carried out in their order, so this one ends after the dropped one.
            journal.append(group("barrier", n, "x")).await.unwrap();
            let groups = journal.read(key.clone(), 1, usize::MAX).await.unwrap();
            assert!(groups.iter().all(|group| group.payload == payload.as_bytes()));
            version = groups.len() as u64;
            assert!(version <= n + 1);
            let open = journal.open("session", 9).await.unwrap();
            assert_eq!(open.contains(&key), version > 0, "the mark comes with the group");
        }
        Kept
    })
    .await;
}
