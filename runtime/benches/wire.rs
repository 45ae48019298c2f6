//! What a call costs that goes out and comes in as bytes, both ends together and nothing between them.
//!
//! `cargo bench -p beluga-runtime --bench wire [-- --quick] [CASE]` prints CPU nanoseconds per operation on one thread, the
//! median of interleaved repeats. Compare only inside one run.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use beluga_core::{BoxFuture, BoxStream, Error, MessageId, Result};
use beluga_runtime::wire::frame::{self, Frame, Origin, Outcome, Reply};
use beluga_runtime::wire::{self, Answer, Codec, Egress, Ingress, Target, WireCall};
use beluga_runtime::{Actor, Cx, Handler, Message, Ref, Sink, StreamHandler, System, protocol, time};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

type Run = Pin<Box<dyn Future<Output = ()> + Send>>;
type Case = (&'static str, fn(u64) -> Run);

const CASES: [Case; 14] = [
    ("16 B, cbor", |count| Box::pin(payload(count, Codec::Cbor, small()))),
    ("16 B, json", |count| Box::pin(payload(count, Codec::Json, small()))),
    ("16 B, b2", |count| Box::pin(payload(count, Codec::B2, small()))),
    ("300 B, cbor", |count| Box::pin(payload(count, Codec::Cbor, large()))),
    ("300 B, json", |count| Box::pin(payload(count, Codec::Json, large()))),
    ("300 B, b2", |count| Box::pin(payload(count, Codec::B2, large()))),
    ("frame of 300 B", |count| Box::pin(frames(count))),
    ("ask here, 16 B", |count| Box::pin(ask(count, false, small))),
    ("ask across, 16 B, cbor", |count| Box::pin(ask(count, true, small))),
    ("ask across, 300 B, cbor", |count| Box::pin(ask(count, true, large))),
    ("ask across, 16 B, b2", |count| Box::pin(ask(count, true, || Tight(small())))),
    ("ask across, 300 B, b2", |count| Box::pin(ask(count, true, || Tight(large())))),
    ("item here", |count| Box::pin(items(count, false))),
    ("item across, cbor", |count| Box::pin(items(count, true))),
];

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let (repeats, count) = if quick { (3, 50_000) } else { (9, 200_000) };
    let cases: Vec<Case> =
        CASES.into_iter().filter(|(name, _)| only.as_ref().is_none_or(|only| name.contains(only.as_str()))).collect();
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..repeats {
        for ((_, run), samples) in cases.iter().zip(&mut samples) {
            samples.push(once(count, *run));
        }
    }
    println!("CPU ns per operation, median of {repeats} interleaved repeats (lowest to highest)");
    for ((name, _), mut samples) in cases.iter().zip(samples) {
        samples.sort_by(f64::total_cmp);
        let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
        println!("{name:<26}{:>8.0} ({:.0} to {:.0})", at(repeats / 2), at(0), at(repeats - 1));
    }
}

fn once(count: u64, run: fn(u64) -> Run) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::spawn(run(count / 10)).await.unwrap();
        let before = cpu_ns();
        tokio::spawn(run(count)).await.unwrap();
        (cpu_ns() - before) as f64 / count as f64
    })
}

/// The CPU time of this thread, which does all of the work.
fn cpu_ns() -> u64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "echo.say", reply = Say)]
struct Say {
    id: u64,
    text: String,
    values: Vec<u32>,
}

fn small() -> Say {
    Say { id: 7, text: "hello".to_owned(), values: vec![1, 2] }
}

fn large() -> Say {
    Say { id: 7, text: "x".repeat(220), values: (0..20).map(|n| n * 1000).collect() }
}

/// The same in b2.
#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "echo.tight", reply = Tight, codec = "b2")]
struct Tight(Say);

#[derive(Debug, Clone, Message, Serialize, Deserialize)]
#[message(name = "echo.count", stream = u64)]
struct Count(u64);

protocol!(EchoProtocol: Say, Tight; stream Count);

struct Echo;

impl Actor for Echo {
    type Protocol = EchoProtocol;
    const KIND: &'static str = "echo";
}

impl Handler<Say> for Echo {
    async fn handle(&mut self, say: Say, _cx: &mut Cx<Self>) -> Result<Say> {
        Ok(say)
    }
}

impl Handler<Tight> for Echo {
    async fn handle(&mut self, tight: Tight, _cx: &mut Cx<Self>) -> Result<Tight> {
        Ok(tight)
    }
}

impl StreamHandler<Count> for Echo {
    async fn handle(&mut self, Count(count): Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        for number in 0..count {
            sink.send(number).await?;
        }
        sink.finish();
        Ok(())
    }
}

/// Brings what goes out straight back in, as the bytes of frames.
struct Straight {
    ingress: Arc<dyn Ingress>,
    system: System,
}

impl fmt::Debug for Straight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Straight")
    }
}

impl Straight {
    fn write(&self, call: &WireCall) -> (MessageId, Vec<u8>) {
        let id = wire::message_id(self.system.random());
        let origin = Origin { node: "n1".into(), epoch: 1, actor: call.sender, sequence: 1, oldest: 1 };
        (id, frame::encode(&Frame::Call(Box::new(call.to_frame(id, origin, time::now())))).unwrap())
    }
}

fn read(publish: &[u8]) -> Frame {
    frame::decode(publish).unwrap().pop().unwrap()
}

impl Egress for Straight {
    fn call(&self, call: WireCall) -> BoxFuture<'static, Result<Bytes>> {
        let (of, publish) = self.write(&call);
        let ingress = Arc::clone(&self.ingress);
        Box::pin(async move {
            let Frame::Call(call) = read(&publish) else { unreachable!() };
            let Answer::Reply(reply) = ingress.call(WireCall::of_frame(*call, time::now())?).await? else {
                unreachable!()
            };
            let outcome = Outcome::Done(reply.await?.into());
            let publish = frame::encode(&Frame::Reply(Reply { of, outcome }))?;
            match read(&publish) {
                Frame::Reply(Reply { outcome: Outcome::Done(body), .. }) => Ok(body.inline().unwrap().clone()),
                _ => Err(Error::internal("another frame")),
            }
        })
    }

    fn stream(&self, call: WireCall) -> BoxStream<'static, Result<Bytes>> {
        let (of, publish) = self.write(&call);
        let Frame::Call(call) = read(&publish) else { unreachable!() };
        let opening = self.ingress.call(WireCall::of_frame(*call, time::now()).unwrap());
        let items = opening.map(|opened| match opened.unwrap() {
            Answer::Items(items) => items,
            _ => unreachable!(),
        });
        let mut number = 0;
        let cross = move |item: Result<Bytes>| {
            number += 1;
            let item = frame::Item { of, number, body: item?.into() };
            match read(&frame::encode(&Frame::Item(item))?) {
                Frame::Item(item) => Ok(item.body.inline().unwrap().clone()),
                _ => Err(Error::internal("another frame")),
            }
        };
        items.flatten_stream().map(cross).boxed()
    }

    fn try_tell(&self, _call: WireCall) -> Result<()> {
        Err(Error::unsupported("nobody tells here"))
    }
}

async fn echo(across: bool) -> (System, Ref<EchoProtocol>) {
    let system = System::builder("bench").build().unwrap();
    let here = system.spawn("echo", || Echo).await.unwrap();
    if !across {
        return (system, here);
    }
    system.register::<Echo>().unwrap();
    let target = Target::Named { node: "n1".into(), name: "echo".into(), slot: 0 };
    let egress = Arc::new(Straight { ingress: system.ingress(), system: system.clone() });
    let there = system.remote("echo", target, egress);
    (system, there)
}

async fn payload<T: Serialize + DeserializeOwned>(count: u64, codec: Codec, value: T) {
    for _ in 0..count {
        let bytes = codec.encode(std::hint::black_box(&value)).unwrap();
        std::hint::black_box(codec.decode::<T>(&bytes).unwrap());
    }
}

async fn frames(count: u64) {
    let (system, _) = echo(false).await;
    let straight = Straight { ingress: system.ingress(), system: system.clone() };
    let call = WireCall {
        target: Arc::new(Target::Key { tenant: "acme".into(), kind: "echo".into(), key: "a".into() }),
        manner: wire::Manner::Ask,
        message: "echo.say".into(),
        version: 1,
        codec: Codec::Cbor,
        payload: Bytes::from(vec![7; 300]),
        context: beluga_core::CallContext::new(),
        sender: 0,
    };
    for _ in 0..count {
        std::hint::black_box(read(&straight.write(&call).1));
    }
    system.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
}

async fn ask<M: Message>(count: u64, across: bool, make: fn() -> M)
where
    EchoProtocol: beluga_runtime::Accepts<M>,
{
    let (system, echo) = echo(across).await;
    for _ in 0..count {
        std::hint::black_box(echo.ask(make()).await.unwrap());
    }
    system.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
}

async fn items(count: u64, across: bool) {
    let (system, echo) = echo(across).await;
    let mut items = echo.stream(Count(count)).open();
    while let Some(item) = items.next().await {
        std::hint::black_box(item.unwrap());
    }
    drop(items);
    system.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
}
