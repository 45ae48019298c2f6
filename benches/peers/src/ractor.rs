//! Bare ractor, without its span propagation.

use std::future::Future;
use std::pin::Pin;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use crate::meter::Workload;

struct Counter;

enum Message {
    Add(u64),
    Total(ractor::RpcReplyPort<u64>),
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
            (Ball::Bounce(0, done), _) => drop(done.send(())),
            (Ball::Bounce(left, done), Some(other)) => drop(other.send_message(Ball::Bounce(left - 1, done))),
            (Ball::Bounce(..), None) => {}
        }
        Ok(())
    }
}

pub(crate) fn run(workload: Workload, operations: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match workload {
            Workload::Tell => tell(1, operations).await,
            Workload::Tell4 => tell(4, operations).await,
            Workload::Ask => ask(1, operations).await,
            Workload::Ask64 => ask(64, operations).await,
            Workload::Hop => hop(operations).await,
        }
    })
}

async fn total(counter: &ActorRef<Message>) -> u64 {
    match counter.call(Message::Total, None).await {
        Ok(ractor::rpc::CallResult::Success(total)) => total,
        _ => u64::MAX,
    }
}

async fn tell(producers: u64, operations: u64) {
    let Ok((counter, _)) = Counter::spawn(None, Counter, ()).await else { return };
    let share = operations / producers;
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for n in 0..share {
                    drop(counter.send_message(Message::Add(1)));
                    if n % 256 == 255 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        drop(task.await);
    }
    assert_eq!(total(&counter).await, share * producers);
    counter.kill();
}

async fn ask(at_a_time: u64, operations: u64) {
    let Ok((counter, _)) = Counter::spawn(None, Counter, ()).await else { return };
    let tasks: Vec<_> = (0..at_a_time)
        .map(|_| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for _ in 0..operations / at_a_time {
                    assert_eq!(total(&counter).await, 0);
                }
            })
        })
        .collect();
    for task in tasks {
        drop(task.await);
    }
    counter.kill();
}

async fn hop(operations: u64) {
    let Ok((left, _)) = Player::spawn(None, Player, ()).await else { return };
    let Ok((right, _)) = Player::spawn(None, Player, ()).await else { return };
    drop(left.send_message(Ball::Partner(right.clone())));
    drop(right.send_message(Ball::Partner(left.clone())));
    let (done, ended) = oneshot::channel();
    drop(left.send_message(Ball::Bounce(operations, done)));
    drop(ended.await);
    left.kill();
    right.kill();
}
