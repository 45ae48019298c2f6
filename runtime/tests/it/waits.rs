//! Asks that wait: who asks whom, circles of them, and their time-outs.

use std::time::Duration;

use beluga_core::{Code, Result};
use beluga_runtime::testkit::quiet_panics;
use beluga_runtime::{Actor, Backoff, Cx, Handler, Message, Ref, Spec, System, protocol, task, testkit, time};

use crate::fixture::*;

#[derive(Message)]
#[message(name = "peer.know")]
struct Know(Vec<Ref<PeerProtocol>>);

/// Asks the peers of that index, one after the other, each of which asks the next.
#[derive(Message)]
#[message(name = "peer.chain")]
struct Chain(Vec<usize>);

/// The same from a job, which holds nobody up.
#[derive(Message)]
#[message(name = "peer.background")]
struct Background(Vec<usize>);

/// Sleeps.
#[derive(Message)]
#[message(name = "peer.nap")]
struct Nap(Duration);

/// Sleeps, then asks the peer of that index to sleep for a second, on nobody's behalf.
#[derive(Message)]
#[message(name = "peer.ask_late")]
struct AskLate(Duration, usize);

protocol!(PeerProtocol: Know, Chain, Background, Nap, AskLate);

#[derive(Default)]
struct Peer {
    known: Vec<Ref<PeerProtocol>>,
}

impl Actor for Peer {
    type Protocol = PeerProtocol;
    const KIND: &'static str = "peer";
}

impl Handler<Know> for Peer {
    async fn handle(&mut self, Know(known): Know, _cx: &mut Cx<Self>) -> Result<()> {
        self.known = known;
        Ok(())
    }
}

impl Handler<Chain> for Peer {
    async fn handle(&mut self, Chain(mut path): Chain, cx: &mut Cx<Self>) -> Result<()> {
        let Some(next) = path.pop() else { return cx.sleep(Duration::from_secs(60)).await };
        self.known[next].ask(Chain(path)).with_context(cx.context()).await
    }
}

impl Handler<Background> for Peer {
    async fn handle(&mut self, Background(path): Background, cx: &mut Cx<Self>) -> Result<()> {
        let next = self.known[path[0]].clone();
        drop(cx.job("ask", "ask", cx.own_context(), |job| async move {
            next.ask(Background(path)).with_context(job.context()).await
        }));
        Ok(())
    }
}

impl Handler<Nap> for Peer {
    async fn handle(&mut self, Nap(length): Nap, cx: &mut Cx<Self>) -> Result<()> {
        cx.sleep(length).await
    }
}

impl Handler<AskLate> for Peer {
    async fn handle(&mut self, AskLate(delay, peer): AskLate, cx: &mut Cx<Self>) -> Result<()> {
        cx.sleep(delay).await?;
        self.known[peer].ask(Nap(Duration::from_secs(1))).await
    }
}

async fn peers(system: &System, count: usize) -> Vec<Ref<PeerProtocol>> {
    let mut peers = Vec::new();
    for index in 0..count {
        peers.push(system.spawn(format!("peer-{index}"), Peer::default).await.unwrap());
    }
    for peer in &peers {
        peer.tell(Know(peers.clone())).await.unwrap();
    }
    peers
}

/// Starts an ask from outside and lets it come as far as it can.
async fn start(peer: &Ref<PeerProtocol>, path: Vec<usize>, limit: u64) -> task::JoinHandle<Result<()>> {
    let asking = task::spawn("test", peer.ask(Chain(path)).within(Duration::from_secs(limit)));
    settle().await;
    asking
}

#[test]
fn asks_in_flight_name_who_asks_whom_and_end_with_their_answers() {
    testkit::run(3, |system| async move {
        let peers = peers(&system, 2).await;
        let asking = start(&peers[0], vec![1], 5).await;
        time::sleep(Duration::from_secs(2)).await;
        let asks = system.asks();
        let seen: Vec<_> = asks.iter().map(|ask| (ask.from.as_deref(), &*ask.to, ask.in_handler)).collect();
        assert!(
            seen.contains(&(None, "peer-0", false)) && seen.contains(&(Some("peer-0"), "peer-1", true)),
            "{seen:?}"
        );
        assert_eq!((asks[0].message, asks[0].age), ("peer.chain", Duration::from_secs(2)));
        assert_eq!(asks[0].remaining, Some(Duration::from_secs(3)));
        assert!(system.deadlocks().is_empty(), "a chain is no circle");
        assert_eq!(asking.await.unwrap().unwrap_err().code(), Code::Timeout);
        settle().await;
        assert!(system.asks().is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_circle_of_handlers_is_found_and_a_chain_into_it_is_not_part_of_it() {
    testkit::run(3, |system| async move {
        let peers = peers(&system, 5).await;
        // 4 asks 0, which asks 1, which asks 2, which asks 0 again. 3 asks nobody.
        let circle = start(&peers[4], vec![0, 2, 1, 0], 5).await;
        let idle = start(&peers[3], vec![], 5).await;
        let found = system.deadlocks();
        assert_eq!(found.len(), 1);
        let steps: Vec<_> = found[0].asks.iter().map(|ask| (ask.from.as_deref().unwrap_or(""), &*ask.to)).collect();
        assert_eq!(steps, [("peer-0", "peer-1"), ("peer-1", "peer-2"), ("peer-2", "peer-0")]);
        assert_eq!(circle.await.unwrap().unwrap_err().code(), Code::Timeout);
        settle().await;
        assert!(system.deadlocks().is_empty(), "the time-out ended it");
        drop(idle);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_actor_that_asks_itself_is_a_circle_of_one_and_two_circles_are_two() {
    testkit::run(3, |system| async move {
        let peers = peers(&system, 3).await;
        let (own, pair) = (start(&peers[0], vec![0], 5).await, start(&peers[1], vec![1, 2], 5).await);
        let mut sizes: Vec<_> = system.deadlocks().iter().map(|deadlock| deadlock.asks.len()).collect();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 2]);
        drop((own.await, pair.await));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn jobs_that_ask_each_other_hold_nobody_up() {
    testkit::run(3, |system| async move {
        let peers = peers(&system, 2).await;
        let stuck = start(&peers[1], vec![], 5).await;
        peers[0].tell(Background(vec![1])).await.unwrap();
        settle().await;
        assert!(system.asks().iter().any(|ask| ask.from.as_deref() == Some("peer-0") && !ask.in_handler));
        assert!(system.deadlocks().is_empty());
        drop(stuck.await);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn every_ask_ends_at_its_own_time_in_any_order() {
    testkit::run(3, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let busy = task::spawn("test", counter.ask(Wait(Duration::from_secs(40))).within(Duration::from_secs(50)));
        settle().await;
        let started = time::now();
        let limits = [7_u64, 1, 30, 3, 3, 12, 2, 25];
        let asks: Vec<_> = limits
            .into_iter()
            .map(|limit| {
                let ask = counter.ask(Total).within(Duration::from_secs(limit));
                task::spawn("test", async move { (ask.await.unwrap_err().code(), time::now() - started, limit) })
            })
            .collect();
        for ask in asks {
            let (code, after, limit) = ask.await.unwrap();
            assert_eq!((code, after), (Code::Timeout, Duration::from_secs(limit)));
        }
        assert_eq!(busy.await.unwrap().unwrap(), ());
        assert_eq!(counter.ask(Total).await.unwrap(), 0, "what expired in the queue never ran");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_ask_has_its_whole_time_also_when_its_handler_slept_before() {
    testkit::run(3, |system| async move {
        let peers = peers(&system, 2).await;
        let hour = Duration::from_secs(3600);
        peers[0].ask(AskLate(hour, 1)).within(2 * hour).await.unwrap();
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_ask_has_its_whole_time_also_when_the_kernel_woke_its_receiver() {
    quiet_panics();
    testkit::run(3, |system| async move {
        let pause = Duration::from_secs(60);
        let backoff = Backoff { initial: pause, factor: 1.0, max: pause, jitter: 0.0 };
        let parent = system.spawn("parent", Counter::default).await.unwrap();
        let child = Spec::new("child", Counter::default).backoff(backoff);
        system.spawn_under(&parent.address().unwrap(), child).await.unwrap();
        // The first restart comes at once. The second comes together with the ask, and before it.
        for _ in 0..2 {
            assert!(testkit::kill(&system, "parent/child"));
            settle().await;
        }
        let asker = parent.clone();
        let asked = task::spawn("test", async move {
            time::sleep(pause).await;
            asker.ask(Wait(Duration::from_secs(1))).await
        });
        asked.await.unwrap().unwrap();
        system.shutdown(GRACE).await.unwrap();
    });
}
