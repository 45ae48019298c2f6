//! Beluga's kernel as users meet it: typed messages, waiting lanes of 1,024, asks with deadline and cancellation.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use beluga_core::Result;
use beluga_runtime::{Actor, Cx, Handler, Message, Ref, System, protocol};
use tokio::sync::oneshot;

use crate::meter::Workload;

#[derive(Message)]
#[message(name = "counter.add")]
struct Add(u64);

#[derive(Message)]
#[message(name = "counter.total", reply = u64)]
struct Total;

protocol!(CounterProtocol: Add, Total);

#[derive(Default)]
struct Counter {
    total: u64,
}

impl Actor for Counter {
    type Protocol = CounterProtocol;
    const KIND: &'static str = "counter";
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<()> {
        self.total += n;
        Ok(())
    }
}

impl Handler<Total> for Counter {
    async fn handle(&mut self, _: Total, _cx: &mut Cx<Self>) -> Result<u64> {
        Ok(self.total)
    }
}

#[derive(Message)]
#[message(name = "player.partner")]
struct Partner(Ref<PlayerProtocol>);

#[derive(Message)]
#[message(name = "player.bounce")]
struct Bounce(u64, oneshot::Sender<()>);

protocol!(PlayerProtocol: Partner, Bounce);

#[derive(Default)]
struct Player {
    other: Option<Ref<PlayerProtocol>>,
}

impl Actor for Player {
    type Protocol = PlayerProtocol;
    const KIND: &'static str = "player";
}

impl Handler<Partner> for Player {
    async fn handle(&mut self, Partner(other): Partner, _cx: &mut Cx<Self>) -> Result<()> {
        self.other = Some(other);
        Ok(())
    }
}

impl Handler<Bounce> for Player {
    async fn handle(&mut self, Bounce(left, done): Bounce, _cx: &mut Cx<Self>) -> Result<()> {
        match (&self.other, left.checked_sub(1)) {
            (Some(other), Some(left)) => other.tell(Bounce(left, done)).await,
            _ => {
                let _gone = done.send(());
                Ok(())
            }
        }
    }
}

pub(crate) fn run(workload: Workload, operations: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if let Err(error) = talk(workload, operations).await {
            println!("{} failed: {error}", workload.name());
        }
    })
}

async fn talk(workload: Workload, operations: u64) -> Result<()> {
    let system = System::builder("bench").build()?;
    match workload {
        Workload::Tell => tell(&system, 1, operations).await?,
        Workload::Tell4 => tell(&system, 4, operations).await?,
        Workload::Ask => ask(&system, 1, operations).await?,
        Workload::Ask64 => ask(&system, 64, operations).await?,
        Workload::Hop => hop(&system, operations).await?,
    }
    system.shutdown(Duration::from_secs(5)).await
}

async fn tell(system: &System, producers: u64, operations: u64) -> Result<()> {
    let counter = system.spawn("counter", Counter::default).await?;
    let share = operations / producers;
    let tasks: Vec<_> = (0..producers)
        .map(|_| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for n in 0..share {
                    drop(counter.tell(Add(1)).await);
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
    assert_eq!(counter.ask(Total).await?, share * producers);
    Ok(())
}

async fn ask(system: &System, at_a_time: u64, operations: u64) -> Result<()> {
    let counter = system.spawn("counter", Counter::default).await?;
    let tasks: Vec<_> = (0..at_a_time)
        .map(|_| {
            let counter = counter.clone();
            tokio::spawn(async move {
                for _ in 0..operations / at_a_time {
                    assert_eq!(counter.ask(Total).await.unwrap_or(u64::MAX), 0);
                }
            })
        })
        .collect();
    for task in tasks {
        drop(task.await);
    }
    Ok(())
}

async fn hop(system: &System, operations: u64) -> Result<()> {
    let left = system.spawn("left", Player::default).await?;
    let right = system.spawn("right", Player::default).await?;
    left.tell(Partner(right.clone())).await?;
    right.tell(Partner(left.clone())).await?;
    let (done, ended) = oneshot::channel();
    left.tell(Bounce(operations, done)).await?;
    drop(ended.await);
    Ok(())
}
