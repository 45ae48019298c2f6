//! The lower bound most people know: a task that reads a bounded tokio channel.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::{mpsc, oneshot};

use crate::meter::Workload;

const CAPACITY: usize = 1024;

enum Message {
    Add(u64),
    Total(oneshot::Sender<u64>),
    Bounce(u64, oneshot::Sender<()>),
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

fn counter() -> mpsc::Sender<Message> {
    let (sender, mut receiver) = mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        let mut total = 0_u64;
        while let Some(message) = receiver.recv().await {
            match message {
                Message::Add(n) => total += n,
                Message::Total(reply) => drop(reply.send(total)),
                Message::Bounce(..) => {}
            }
        }
    });
    sender
}

async fn total(counter: &mpsc::Sender<Message>) -> u64 {
    let (reply, answer) = oneshot::channel();
    drop(counter.send(Message::Total(reply)).await);
    answer.await.unwrap_or_default()
}

async fn tell(producers: u64, operations: u64) {
    let counter = counter();
    let share = operations / producers;
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for n in 0..share {
                    drop(counter.send(Message::Add(1)).await);
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
}

async fn ask(at_a_time: u64, operations: u64) {
    let counter = counter();
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
}

fn player(mut receiver: mpsc::Receiver<Message>, other: mpsc::Sender<Message>) {
    tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            match message {
                Message::Bounce(0, done) => drop(done.send(())),
                Message::Bounce(left, done) => drop(other.send(Message::Bounce(left - 1, done)).await),
                Message::Add(_) | Message::Total(_) => {}
            }
        }
    });
}

async fn hop(operations: u64) {
    let (left, left_receiver) = mpsc::channel(CAPACITY);
    let (right, right_receiver) = mpsc::channel(CAPACITY);
    player(left_receiver, right);
    player(right_receiver, left.clone());
    let (done, ended) = oneshot::channel();
    drop(left.send(Message::Bounce(operations, done)).await);
    drop(ended.await);
}
