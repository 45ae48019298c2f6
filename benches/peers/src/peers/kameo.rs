//! Kameo with what it starts actors with: a bounded mailbox of 64 messages, no time-out of asks. Without its features:
//! `macros` only saves typing, and `tracing` makes log lines that no other peer makes.

use std::time::Duration;

use kameo::actor::{Actor, ActorRef, Spawn};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::supervision::RestartPolicy;
use tokio::sync::oneshot;

use crate::peer::Peer;
use crate::restart::{Fuse, Stopwatch};

/// The counter.
pub(crate) struct Counter {
    total: u64,
}

impl Actor for Counter {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(counter: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(counter)
    }
}

struct Add(u64);

impl Message<Add> for Counter {
    type Reply = ();

    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self, ()>) {
        self.total += n;
    }
}

struct Items(Vec<u64>);

impl Message<Items> for Counter {
    type Reply = ();

    async fn handle(&mut self, Items(items): Items, _: &mut Context<Self, ()>) {
        self.total += items.into_iter().sum::<u64>();
    }
}

struct Total;

impl Message<Total> for Counter {
    type Reply = u64;

    async fn handle(&mut self, _: Total, _: &mut Context<Self, u64>) -> u64 {
        self.total
    }
}

struct Player {
    other: Option<ActorRef<Player>>,
}

impl Actor for Player {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(player: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(player)
    }
}

struct Partner(ActorRef<Player>);

impl Message<Partner> for Player {
    type Reply = ();

    async fn handle(&mut self, Partner(other): Partner, _: &mut Context<Self, ()>) {
        self.other = Some(other);
    }
}

struct Bounce(u64, oneshot::Sender<()>);

impl Message<Bounce> for Player {
    type Reply = ();

    async fn handle(&mut self, Bounce(left, done): Bounce, _: &mut Context<Self, ()>) {
        match (&self.other, left.checked_sub(1)) {
            (Some(other), Some(left)) => drop(other.tell(Bounce(left, done)).await),
            _ => done.send(()).expect("somebody waits"),
        }
    }
}

/// Leaves everything to kameo's supervision: one for one, five restarts within five seconds.
struct Supervisor;

impl Actor for Supervisor {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(supervisor: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(supervisor)
    }
}

struct Phoenix(Fuse);

impl Actor for Phoenix {
    type Args = Fuse;
    type Error = Infallible;

    async fn on_start(fuse: Fuse, _: ActorRef<Self>) -> Result<Self, Infallible> {
        fuse.started();
        Ok(Self(fuse))
    }
}

struct Burn;

impl Message<Burn> for Phoenix {
    type Reply = ();

    async fn handle(&mut self, _: Burn, _: &mut Context<Self, ()>) {
        self.0.blow()
    }
}

pub(crate) struct Kameo;

impl Peer for Kameo {
    type Counter = ActorRef<Counter>;
    type End = ();

    async fn counter(&self, _: u64) -> (ActorRef<Counter>, ()) {
        let counter = Counter::spawn(Counter { total: 0 });
        // Beluga and ractor return once the actor has started.
        counter.wait_for_startup().await;
        (counter, ())
    }

    async fn tell(counter: &ActorRef<Counter>, n: u64) {
        drop(counter.tell(Add(n)).await);
    }

    async fn tell_items(counter: &ActorRef<Counter>, items: Vec<u64>) {
        drop(counter.tell(Items(items)).await);
    }

    async fn total(counter: &ActorRef<Counter>) -> u64 {
        counter.ask(Total).await.unwrap_or(u64::MAX)
    }

    async fn stop(counter: ActorRef<Counter>, (): ()) {
        counter.stop_gracefully().await.expect("it runs");
        counter.wait_for_shutdown().await;
    }

    async fn bounce(&self, hops: u64) {
        let left = Player::spawn(Player { other: None });
        let right = Player::spawn(Player { other: Some(left.clone()) });
        drop(left.tell(Partner(right.clone())).await);
        let (done, ended) = oneshot::channel();
        drop(left.tell(Bounce(hops, done)).await);
        ended.await.expect("the message was lost");
        left.kill();
        right.kill();
    }

    async fn restart(&self, _: u64, stopwatch: &mut Stopwatch) -> Duration {
        let supervisor = Supervisor::spawn(Supervisor);
        let child = Phoenix::supervise(&supervisor, stopwatch.fuse()).restart_policy(RestartPolicy::Permanent);
        let phoenix = child.spawn().await;
        drop(phoenix.tell(Burn).await);
        let time = stopwatch.time().await;
        supervisor.stop_gracefully().await.expect("it runs");
        supervisor.wait_for_shutdown().await;
        time
    }
}
