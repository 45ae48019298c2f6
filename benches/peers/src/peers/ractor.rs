//! Bare ractor, without its span propagation. Its mailboxes have no bound.

use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::rpc::CallResult;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::oneshot;

use crate::peer::Peer;
use crate::restart::{Fuse, Stopwatch};

struct Counter;

pub(crate) enum Message {
    Add(u64),
    Items(Vec<u64>),
    Total(RpcReplyPort<u64>),
}

impl Actor for Counter {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Message>, message: Message, total: &mut u64) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Add(n) => *total += n,
            Message::Items(items) => *total += items.into_iter().sum::<u64>(),
            Message::Total(reply) => drop(reply.send(*total)),
        }
        Ok(())
    }
}

struct Player;

enum Ball {
    Partner(ActorRef<Ball>),
    Bounce(u64, oneshot::Sender<()>),
}

impl Actor for Player {
    type Msg = Ball;
    type State = Option<ActorRef<Ball>>;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Ball>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn handle(&self, _: ActorRef<Ball>, ball: Ball, other: &mut Self::State) -> Result<(), ActorProcessingErr> {
        match (ball, &other) {
            (Ball::Partner(partner), _) => *other = Some(partner),
            (Ball::Bounce(0, done), _) => done.send(()).expect("somebody waits"),
            (Ball::Bounce(left, done), Some(other)) => drop(other.send_message(Ball::Bounce(left - 1, done))),
            (Ball::Bounce(..), None) => {}
        }
        Ok(())
    }
}

/// Spawns another child when one fails, which is all ractor leaves to its users.
struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Fuse;
    type Arguments = Fuse;

    async fn pre_start(&self, _: ActorRef<()>, fuse: Fuse) -> Result<Fuse, ActorProcessingErr> {
        Ok(fuse)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        fuse: &mut Fuse,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(..) = event {
            Phoenix::spawn_linked(None, Phoenix, fuse.clone(), myself.get_cell()).await?;
        }
        Ok(())
    }
}

struct Phoenix;

impl Actor for Phoenix {
    type Msg = ();
    type State = Fuse;
    type Arguments = Fuse;

    async fn pre_start(&self, _: ActorRef<()>, fuse: Fuse) -> Result<Fuse, ActorProcessingErr> {
        fuse.started();
        Ok(fuse)
    }

    async fn handle(&self, _: ActorRef<()>, (): (), fuse: &mut Fuse) -> Result<(), ActorProcessingErr> {
        fuse.blow()
    }
}

pub(crate) struct Ractor;

impl Peer for Ractor {
    type Counter = ActorRef<Message>;
    type End = JoinHandle<()>;

    async fn counter(&self, _: u64) -> (ActorRef<Message>, JoinHandle<()>) {
        Counter::spawn(None, Counter, ()).await.expect("a counter starts")
    }

    async fn tell(counter: &ActorRef<Message>, n: u64) {
        drop(counter.send_message(Message::Add(n)));
    }

    async fn tell_items(counter: &ActorRef<Message>, items: Vec<u64>) {
        drop(counter.send_message(Message::Items(items)));
    }

    async fn total(counter: &ActorRef<Message>) -> u64 {
        match counter.call(Message::Total, None).await {
            Ok(CallResult::Success(total)) => total,
            _ => u64::MAX,
        }
    }

    async fn stop(counter: ActorRef<Message>, task: JoinHandle<()>) {
        counter.stop(None);
        task.await.expect("the counter panicked");
    }

    async fn bounce(&self, hops: u64) {
        let (left, _) = Player::spawn(None, Player, ()).await.expect("a player starts");
        let (right, _) = Player::spawn(None, Player, ()).await.expect("a player starts");
        drop(left.send_message(Ball::Partner(right.clone())));
        drop(right.send_message(Ball::Partner(left.clone())));
        let (done, ended) = oneshot::channel();
        drop(left.send_message(Ball::Bounce(hops, done)));
        ended.await.expect("the message was lost");
        left.stop(None);
        right.stop(None);
    }

    async fn restart(&self, _: u64, stopwatch: &mut Stopwatch) -> Duration {
        let fuse = stopwatch.fuse();
        let (supervisor, task) = Supervisor::spawn(None, Supervisor, fuse.clone()).await.expect("a supervisor starts");
        let child = Phoenix::spawn_linked(None, Phoenix, fuse, supervisor.get_cell()).await;
        let (phoenix, _) = child.expect("a child starts");
        drop(phoenix.send_message(()));
        let time = stopwatch.time().await;
        supervisor.stop(None);
        task.await.expect("the supervisor panicked");
        time
    }
}
