//! Clusters over a real nats-server: three nodes in this process, and nodes that are processes of their own and are killed.

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use beluga::core::{CallContext, Code};
use beluga::runtime::cluster::{Standing, Timing};
use beluga::transports::nats::{ConnectSettings, Credentials};
use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::accounts::{Add, Count, Member, Place};
use crate::kit::patiently;
use crate::server::Server;

/// For machines that have more to do than these tests: nobody is taken out for being slow.
fn patient() -> Timing {
    Timing {
        suspect: Duration::from_secs(4),
        lease: Duration::from_secs(6),
        margin: Duration::from_secs(2),
        membership: Duration::from_secs(60),
        revoke: Duration::from_secs(90),
        ..Timing::default()
    }
}

const JETSTREAM: &str = "jetstream {}\n";

fn keys() -> impl Iterator<Item = String> {
    (0..60).map(|n| format!("a{n}"))
}

fn within(millis: u64) -> CallContext {
    CallContext::new().with_timeout(Instant::now(), Duration::from_millis(millis))
}

async fn members(server: &Server, names: &[&str], timing: Timing) -> Vec<Member> {
    let connect = ConnectSettings::new(server.url());
    let members = join_all(names.iter().map(|name| Member::start(&connect, name, timing))).await;
    for member in &members {
        patiently("the node is in", member.cluster.joined()).await;
    }
    members
}

/// Waits until every one of these nodes has shards and nothing moves.
async fn until_balanced(member: &Member, count: usize) {
    patiently("the shards are spread", async {
        loop {
            let view = member.cluster.view().unwrap();
            let mut balanced = (*view).clone();
            if view.members().len() == count && !balanced.change(|change| change.balance(usize::MAX)) {
                let is_still = (0..view.shards()).all(|shard| view.place(shard).unwrap().to.is_none());
                if is_still {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_share_the_keys_and_one_that_leaves_hands_its_own_over() {
    let server = Server::with(JETSTREAM);
    let members = members(&server, &["n0", "n1", "n2"], patient()).await;
    until_balanced(&members[0], 3).await;
    let mut places = HashSet::new();
    for key in keys() {
        for (before, member) in members.iter().enumerate() {
            let balance = member.account(&key).ask(Add(1)).await.unwrap();
            assert_eq!(balance, u64::try_from(before).unwrap() + 1, "{key}");
        }
        places.insert(members[1].account(&key).ask(Place).await.unwrap());
    }
    assert_eq!(places.len(), 3);
    let items: Vec<u64> = members[0].account("a7").stream(Count(500)).open().map(|item| item.unwrap()).collect().await;
    assert!(items.into_iter().eq(1..=500));
    let asking = keys().map(|key| {
        let account = members[0].account(&key);
        async move {
            for _ in 0..20 {
                account.ask(Add(1)).with_context(&within(10_000)).await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok::<(), beluga::core::Error>(())
        }
    });
    let (asked, ()) = tokio::join!(join_all(asking), members[2].cluster.leave());
    asked.into_iter().collect::<Result<Vec<()>, _>>().expect("callers get no error while shards move");
    assert_eq!(members[2].cluster.standing(), Standing::Left);
    for key in keys() {
        assert_eq!(members[1].account(&key).ask(Add(0)).await.unwrap(), 23, "{key}");
    }
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_go_on_when_their_server_is_back() {
    let mut server = Server::with(JETSTREAM);
    let members = members(&server, &["n0", "n1"], patient()).await;
    until_balanced(&members[0], 2).await;
    for key in keys() {
        members[0].account(&key).ask(Add(1)).await.unwrap();
    }
    server.stop();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let error = members[0].account("a1").ask(Add(1)).with_context(&within(500)).await.unwrap_err();
    assert!(matches!(error.code(), Code::Timeout | Code::UnknownOutcome | Code::Unavailable), "{error}");
    server.restart();
    patiently("they serve again", async {
        for key in keys() {
            while members[1].account(&key).ask(Place).with_context(&within(1000)).await.is_err() {}
        }
    })
    .await;
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_needs_no_more_than_the_sample_configuration_grants() {
    let server = Server::with(&crate::permissions::sample());
    let connect = ConnectSettings {
        credentials: Credentials::Password { user: "node".to_owned(), password: "node-secret".to_owned().into() },
        inbox_prefix: "_INBOX_node".to_owned(),
        ..ConnectSettings::new(server.url())
    };
    let members = [Member::start(&connect, "n0", patient()).await, Member::start(&connect, "n1", patient()).await];
    for member in &members {
        patiently("the node is in", member.cluster.joined()).await;
    }
    until_balanced(&members[0], 2).await;
    for key in keys() {
        assert_eq!(members[0].account(&key).ask(Add(1)).await.unwrap(), 1);
    }
    for member in members {
        assert_eq!(member.connection.refusals(), Vec::<String>::new());
        member.stop().await;
    }
}

/// A node that is a process of its own: this test, started again.
struct Process(Child);

const SERVER: &str = "BELUGA_TEST_CLUSTER_SERVER";
const NAME: &str = "BELUGA_TEST_CLUSTER_NODE";

impl Process {
    fn start(server: &Server, name: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["cluster::a_node_of_its_own", "--exact", "--ignored", "--nocapture"]);
        command.env(SERVER, server.url()).env(NAME, name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.0.id().to_string()).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the node of other tests"]
async fn a_node_of_its_own() {
    let (server, name) = (std::env::var(SERVER).unwrap(), std::env::var(NAME).unwrap());
    let _member = Member::start(&ConnectSettings::new(server), &name, Timing::default()).await;
    std::future::pending::<()>().await;
}

/// What a tally of one key knows: what was acknowledged, and what may have been done.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    acknowledged: u64,
    unknown: u64,
}

/// Asks all keys in turn until it is told to stop.
async fn keep_asking(member: &Member, stop: &std::sync::atomic::AtomicBool) -> Vec<(String, Tally)> {
    let asking = keys().map(|key| {
        let account = member.account(&key);
        async move {
            let mut tally = Tally::default();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                match account.ask(Add(1)).with_context(&within(8000)).await {
                    Ok(_) => tally.acknowledged += 1,
                    Err(error) if [Code::UnknownOutcome, Code::Timeout].contains(&error.code()) => tally.unknown += 1,
                    // Its account met a higher token: nothing was done.
                    Err(error) => assert_eq!(error.code(), Code::Unavailable, "{key}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            (key, tally)
        }
    });
    join_all(asking).await
}

/// Waits until all keys are served, and returns how long that took.
async fn until_served(member: &Member) -> Duration {
    let began = Instant::now();
    let asking = keys().map(|key| member.account(&key));
    let asked = asking.map(|account| async move {
        // Asked again if the node that was asked dies.
        let context = within(20_000).with_idempotency_key("place");
        account.ask(Place).with_context(&context).await
    });
    for place in join_all(asked).await {
        place.unwrap();
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_stopped_processes_lose_nothing_that_was_acknowledged() {
    let server = Server::with(JETSTREAM);
    let member = &members(&server, &["n0"], Timing::default()).await.pop().unwrap();
    let mut processes = [Process::start(&server, "n1"), Process::start(&server, "n2")];
    until_balanced(member, 3).await;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let faults = async {
        let mut took = Vec::new();
        for round in 0..2 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            processes[round] = {
                processes[round].signal("KILL");
                took.push(("killed", until_served(member).await));
                Process::start(&server, ["n1", "n2"][round])
            };
            until_balanced(member, 3).await;
            processes[1 - round].signal("STOP");
            took.push(("stopped", until_served(member).await));
            tokio::time::sleep(Duration::from_secs(2)).await;
            processes[1 - round].signal("CONT");
            until_balanced(member, 3).await;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        took
    };
    let (tallies, took) = tokio::join!(keep_asking(member, &stop), faults);
    eprintln!("served again after {took:?}");
    let mut all = Tally::default();
    for (key, tally) in tallies {
        let context = within(20_000).with_idempotency_key("balance");
        let balance = member.account(&key).ask(Add(0)).with_context(&context).await.unwrap();
        let bounds = tally.acknowledged..=tally.acknowledged + tally.unknown;
        assert!(bounds.contains(&balance), "{key}: {balance}, {tally:?}");
        all.acknowledged += tally.acknowledged;
        all.unknown += tally.unknown;
    }
    eprintln!("{all:?}");
    assert!(all.acknowledged > 20 * all.unknown, "{all:?}");
}
