//! The journal on JetStream where it is more than its laws: two writers, limits, a server that goes away.

use std::sync::Arc;
use std::time::Duration;

use beluga::core::{Append, Code, Journal, Mark, StreamKey, SyncLevel, TenantId};
use beluga::runtime::SystemRandom;
use beluga::transports::nats::{ConnectSettings, Connection, NatsJournal};
use bytes::Bytes;

use crate::kit::patiently;
use crate::server::Server;

fn key() -> StreamKey {
    StreamKey { tenant: TenantId::default(), kind: "session".into(), id: "s".into() }
}

fn append(expected: u64, fence: u64, payload: &'static str) -> Append {
    let (sync, mark) = (SyncLevel::Commit, Mark::Keep);
    Append { stream: key(), expected, fence, payload: Bytes::from_static(payload.as_bytes()), sync, mark }
}

async fn open(server: &Server) -> NatsJournal {
    let random = SystemRandom::from_entropy();
    let connection = Connection::open(&ConnectSettings::new(server.url()), &random).await.unwrap();
    NatsJournal::open(&connection, "test", 1, &random).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_overtaken_cannot_write_whatever_it_believes() {
    let server = Server::with("jetstream {}\n");
    let (old, new) = (open(&server).await, open(&server).await);
    assert_eq!(old.append(append(0, 1, "one")).await.unwrap(), 1);
    assert_eq!(new.append(append(1, 2, "two")).await.unwrap(), 2);
    // It still believes that its own group is the last.
    let error = old.append(append(1, 1, "zombie")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let error = old.append(append(2, 1, "zombie")).await.unwrap_err();
    assert_eq!((error.code(), error.get("highest")), (Code::Unavailable, Some("2")));
    let groups = old.read(key(), 1, 10).await.unwrap();
    assert!(groups.iter().map(|group| &group.payload[..]).eq([&b"one"[..], b"two"]));
    // A late mark of its own does not go with what the next owner opened.
    let marked = |expected, fence, mark| Append { mark, ..append(expected, fence, "x") };
    assert_eq!(new.append(marked(2, 2, Mark::Open)).await.unwrap(), 3);
    assert_eq!(old.append(marked(3, 2, Mark::Close)).await.unwrap(), 4);
    assert_eq!(new.append(marked(4, 2, Mark::Open)).await.unwrap(), 5);
    assert_eq!(old.open("session", 9).await.unwrap(), [key()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_of_power_is_promised_by_three_replicas_only() {
    let server = Server::with("jetstream {}\n");
    let journal = open(&server).await;
    let disk = || Append { sync: SyncLevel::Disk, ..append(0, 1, "one") };
    let error = journal.append(disk()).await.unwrap_err();
    assert_eq!((error.code(), error.get("replicas")), (Code::Unsupported, Some("1")));
    assert_eq!(journal.lenient().append(disk()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_larger_than_the_server_takes_is_refused_with_the_limit() {
    let server = Server::with("jetstream {}\n");
    let journal = open(&server).await;
    let payload = Bytes::from(vec![7; 2 << 20]);
    let error = journal.append(Append { payload, ..append(0, 1, "") }).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidInput);
    assert_eq!(error.get("limit_bytes"), Some((1024 * 1024 - 4096).to_string().as_str()));
    assert_eq!(journal.append(append(0, 1, "small")).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_goes_on_when_its_server_is_back() {
    let mut server = Server::with("jetstream {}\n");
    let journal = Arc::new(open(&server).await);
    journal.append(append(0, 1, "one")).await.unwrap();
    server.stop();
    let waiting = tokio::spawn({
        let journal = Arc::clone(&journal);
        async move { journal.append(append(1, 1, "two")).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.restart();
    let answer = patiently("the append ends", waiting).await.unwrap();
    let groups = patiently("it is read again", async {
        loop {
            if let Ok(groups) = journal.read(key(), 1, 10).await {
                return groups;
            }
        }
    })
    .await;
    // Written or not, the answer says so, or that nobody knows.
    match answer {
        Ok(version) => assert_eq!((version, groups.len()), (2, 2)),
        Err(error) => assert_eq!(error.code(), Code::UnknownOutcome, "{error}"),
    }
    let next = u64::try_from(groups.len()).unwrap();
    assert_eq!(journal.append(append(next, 1, "three")).await.unwrap(), next + 1);
}
