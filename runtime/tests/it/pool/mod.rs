//! What pools promise; here the workers the tests share.

mod faults;
mod limits;
mod random;
mod resize;
mod routing;

use std::time::Duration;

use beluga_core::{Code, Result};
use beluga_runtime::{
    Actor, Cx, Handler, Message, Pool, PoolKey, PoolSpec, Routing, Sink, Spec, StreamHandler, protocol, task, time,
};

use crate::fixture::{Journal, settle};

/// Works for a while and says which worker it was.
#[derive(Debug, Clone, Message)]
#[message(name = "pool.work", reply = String)]
struct Work {
    name: String,
    key: Option<u64>,
    ms: u64,
}

#[derive(Message)]
#[message(name = "pool.poison")]
struct Poison;

#[derive(Message)]
#[message(name = "pool.trip")]
struct Trip;

#[derive(Message)]
#[message(name = "pool.urgent", reply = String, lane = "control")]
struct Urgent(&'static str);

#[derive(Message)]
#[message(name = "pool.count", stream = (String, u64))]
struct Count {
    key: u64,
    to: u64,
}

protocol!(WorkerProtocol: Work, Poison, Trip, Urgent; stream Count);

struct Worker(Journal);

impl Actor for Worker {
    type Protocol = WorkerProtocol;
    const KIND: &'static str = "worker";
}

/// The number of the worker whose handler runs.
fn number<A: Actor>(cx: &Cx<A>) -> String {
    cx.name().rsplit('/').next().unwrap().to_owned()
}

impl Handler<Work> for Worker {
    async fn handle(&mut self, Work { name, ms, .. }: Work, cx: &mut Cx<Self>) -> Result<String> {
        let number = number(cx);
        self.0.note(format!("{number} begins {name}"));
        if ms > 0 {
            cx.sleep(Duration::from_millis(ms)).await?;
        }
        self.0.note(format!("{number} ends {name}"));
        Ok(number)
    }
}

impl Handler<Poison> for Worker {
    async fn handle(&mut self, _: Poison, cx: &mut Cx<Self>) -> Result<()> {
        self.0.note(format!("{} dies", number(cx)));
        panic!("poison")
    }
}

impl Handler<Trip> for Worker {
    async fn handle(&mut self, _: Trip, cx: &mut Cx<Self>) -> Result<()> {
        let breaker = cx.breaker().expect("the pool has one");
        breaker.try_acquire()?.failure();
        Ok(())
    }
}

impl Handler<Urgent> for Worker {
    async fn handle(&mut self, Urgent(name): Urgent, cx: &mut Cx<Self>) -> Result<String> {
        self.0.note(format!("{} is told {name}", number(cx)));
        Ok(number(cx))
    }
}

impl StreamHandler<Count> for Worker {
    async fn handle(&mut self, Count { to, .. }: Count, sink: Sink<(String, u64)>, cx: &mut Cx<Self>) -> Result<()> {
        for n in 1..=to {
            sink.send((number(cx), n)).await?;
            cx.sleep(Duration::from_millis(10)).await?;
        }
        sink.finish();
        Ok(())
    }
}

fn template(journal: &Journal) -> Spec<WorkerProtocol> {
    let journal = journal.clone();
    Spec::new("worker", move || Worker(journal.clone()))
}

fn spec(journal: &Journal, workers: usize, routing: Routing) -> PoolSpec<WorkerProtocol> {
    PoolSpec::new("pool", workers, template(journal))
        .routing(routing)
        .key_of::<Work>(|work| work.key.map(|key| PoolKey::of(&key)))
        .key_of_stream::<Count>(|count| Some(PoolKey::of(&count.key)))
}

fn work(name: impl Into<String>, ms: u64) -> Work {
    Work { name: name.into(), key: None, ms }
}

fn keyed(name: impl Into<String>, key: u64, ms: u64) -> Work {
    Work { name: name.into(), key: Some(key), ms }
}

/// Asks in a task of its own and returns once the message has got as far as it can.
async fn ask(pool: &Pool<WorkerProtocol>, work: Work) -> task::JoinHandle<Result<String>> {
    let asking = task::spawn("test", pool.ask(work).within(Duration::from_secs(600)));
    settle().await;
    asking
}

async fn answer(asking: task::JoinHandle<Result<String>>) -> Result<String> {
    asking.await.unwrap()
}

fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Code {
    outcome.unwrap_err().code()
}

async fn pass(ms: u64) {
    time::sleep(Duration::from_millis(ms)).await;
    settle().await;
}

/// Asks once for each key and returns who answered.
async fn homes(pool: &Pool<WorkerProtocol>, keys: u64) -> Vec<String> {
    let mut homes = Vec::new();
    for key in 0..keys {
        homes.push(pool.ask(keyed("k", key, 0)).await.unwrap());
    }
    homes
}
