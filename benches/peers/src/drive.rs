//! The work itself, the same for every system.

use std::future::Future;

use crate::case::Work;
use crate::peer::Peer;

/// Every count of operations is a multiple of it, so that shares and batches come out even.
pub(crate) const GRAIN: u64 = 256;

/// How many messages a producer tells before it lets others run.
const BURST: u64 = 256;

/// Items of a batch.
const ITEMS: u64 = 64;

/// Does so many operations, and checks that all of them were done.
pub(crate) async fn drive<P: Peer>(peer: &P, work: Work, operations: u64) {
    match work {
        Work::Tell { producers } => tell(peer, producers, operations).await,
        Work::Batch => batch(peer, operations).await,
        Work::Ask { at_a_time } => ask(peer, at_a_time, operations).await,
        Work::Pingpong => peer.bounce(operations).await,
        Work::Spawn => spawn(peer, operations).await,
        Work::Restart | Work::Idle | Work::Passivated | Work::HopSpan => unreachable!("it is not driven by operations"),
    }
}

async fn tell<P: Peer>(peer: &P, producers: u64, operations: u64) {
    let (counter, end) = peer.counter(0).await;
    let share = operations / producers;
    together::<P, _>(producers, || {
        let counter = counter.clone();
        async move {
            for n in 1..=share {
                P::tell(&counter, 1).await;
                if n % BURST == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    })
    .await;
    assert_eq!(P::total(&counter).await, share * producers, "a message was lost");
    P::stop(counter, end).await;
}

async fn batch<P: Peer>(peer: &P, operations: u64) {
    let (counter, end) = peer.counter(0).await;
    let batches = operations / ITEMS;
    together::<P, _>(1, || {
        let counter = counter.clone();
        async move {
            for n in 1..=batches {
                P::tell_items(&counter, (0..ITEMS).map(|_| 1).collect()).await;
                if n % BURST == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    })
    .await;
    assert_eq!(P::total(&counter).await, batches * ITEMS, "an item was lost");
    P::stop(counter, end).await;
}

async fn ask<P: Peer>(peer: &P, at_a_time: u64, operations: u64) {
    let (counter, end) = peer.counter(0).await;
    P::tell(&counter, operations).await;
    together::<P, _>(at_a_time, || {
        let counter = counter.clone();
        async move {
            for _ in 0..operations / at_a_time {
                assert_eq!(P::total(&counter).await, operations, "an ask failed");
            }
        }
    })
    .await;
    P::stop(counter, end).await;
}

async fn spawn<P: Peer>(peer: &P, operations: u64) {
    for number in 0..operations {
        let (counter, end) = peer.counter(number).await;
        assert_eq!(P::total(&counter).await, 0, "a new counter has counted");
        P::stop(counter, end).await;
    }
}

/// Runs so many tasks and waits for all of them.
async fn together<P: Peer, F: Future<Output = ()> + Send + 'static>(tasks: u64, make: impl Fn() -> F + Send) {
    let tasks: Vec<_> = (0..tasks).map(|_| P::spawn(make())).collect();
    for task in tasks {
        task.await.expect("a task panicked");
    }
}
