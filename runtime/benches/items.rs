//! What one item costs on its way through a stream.
//!
//! `cargo bench -p beluga-runtime --bench items [-- --quick] [CASE]` prints CPU nanoseconds per item (the sum over all
//! threads of the process, from the kernel's accounting), the median of interleaved repeats. Compare only inside one run.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods, missing_docs)]

use std::pin::Pin;

use beluga_core::{BoxStream, CallContext, Result};
use beluga_runtime::{Actor, Cx, Message, STREAM_WINDOW, Sink, StreamHandler, System, protocol, stream};
use futures_util::{StreamExt, stream as streams};

/// Readers of one source, and sources of one reader.
const MANY: usize = 4;

type Run = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A way of an item: its name, the workers it runs on, and how to move so many items.
type Case = (&'static str, usize, fn(u64) -> Run);

const CASES: [Case; 12] = [
    ("mpsc(32)", 1, |items| Box::pin(mpsc(items))),
    ("window 1", 1, |items| Box::pin(reply(items, 1, false))),
    ("window 32", 1, |items| Box::pin(reply(items, STREAM_WINDOW, false))),
    ("window 256", 1, |items| Box::pin(reply(items, 256, false))),
    ("window 32, deadline", 1, |items| Box::pin(reply(items, STREAM_WINDOW, true))),
    ("buffered(32)", 1, |items| Box::pin(drain(stream::buffered(numbers(items), STREAM_WINDOW).0.boxed()))),
    ("merge of 4", 1, |items| Box::pin(merge(items))),
    ("fan_out to 4", 1, |items| Box::pin(fan_out(items))),
    ("broadcast to 4", 1, |items| Box::pin(broadcast(items, true))),
    ("broadcast, 4 lag", 1, |items| Box::pin(broadcast(items, false))),
    ("mpsc(32), 2 workers", 2, |items| Box::pin(mpsc(items))),
    ("window 32, 2 workers", 2, |items| Box::pin(reply(items, STREAM_WINDOW, false))),
];

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let (repeats, items) = if quick { (3, 500_000) } else { (9, 2_000_000) };
    let cases: Vec<Case> =
        CASES.into_iter().filter(|(name, ..)| only.as_ref().is_none_or(|only| name.contains(only.as_str()))).collect();
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..repeats {
        for ((_, workers, run), samples) in cases.iter().zip(&mut samples) {
            samples.push(once(*workers, items, *run));
        }
    }
    println!("CPU ns per item, median of {repeats} interleaved repeats (lowest to highest)");
    for ((name, ..), mut samples) in cases.iter().zip(samples) {
        samples.sort_by(f64::total_cmp);
        let at = |index: usize| samples.get(index).copied().unwrap_or(f64::NAN);
        println!("{name:<24}{:>8.1} ({:.1} to {:.1})", at(repeats / 2), at(0), at(repeats - 1));
    }
}

fn once(workers: usize, items: u64, run: fn(u64) -> Run) -> f64 {
    let runtime = match workers {
        1 => tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
        workers => tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap(),
    };
    runtime.block_on(async {
        tokio::spawn(run(items / 20)).await.unwrap();
        let before = cpu_ns();
        tokio::spawn(run(items)).await.unwrap();
        (cpu_ns() - before) as f64 / items as f64
    })
}

/// The CPU time of all threads of this process. A running thread's account is brought up to date by its giving up the
/// processor; the others wait by then.
fn cpu_ns() -> u64 {
    std::thread::yield_now();
    let spent = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    std::fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok).filter_map(spent).sum()
}

#[derive(Message)]
#[message(name = "source.count", stream = u64)]
struct Count(u64);

protocol!(SourceProtocol: ; stream Count);

struct Source;

impl Actor for Source {
    type Protocol = SourceProtocol;
    const KIND: &'static str = "source";
}

impl StreamHandler<Count> for Source {
    async fn handle(&mut self, Count(items): Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        for number in 0..items {
            sink.send(number).await?;
        }
        sink.finish();
        Ok(())
    }
}

fn numbers(items: u64) -> BoxStream<'static, Result<u64>> {
    streams::iter((0..items).map(Ok)).boxed()
}

async fn drain(mut stream: BoxStream<'static, Result<u64>>) {
    while let Some(item) = stream.next().await {
        item.unwrap();
    }
}

async fn mpsc(items: u64) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(STREAM_WINDOW);
    tokio::spawn(async move {
        for number in 0..items {
            sender.send(number).await.unwrap();
        }
    });
    while receiver.recv().await.is_some() {}
}

async fn reply(items: u64, window: usize, with_deadline: bool) {
    let system = System::builder("bench").build().unwrap();
    let source = system.spawn("source", || Source).await.unwrap();
    let mut call = source.stream(Count(items)).window(window);
    if with_deadline {
        call = call.with_context(&CallContext::new()).within(std::time::Duration::from_secs(600));
    }
    let mut stream = call.open();
    while let Some(item) = stream.next().await {
        item.unwrap();
    }
    system.shutdown(std::time::Duration::from_secs(5)).await.unwrap();
}

async fn merge(items: u64) {
    drain(stream::merge((0..MANY).map(|_| numbers(items / MANY as u64)))).await;
}

/// Sends to four readers that read every 32 items, or only after the last one.
async fn broadcast(items: u64, keep_up: bool) {
    let broadcast = stream::Broadcast::default();
    let readers: Vec<_> =
        (0..MANY).map(|_| tokio::spawn(broadcast.subscribe().for_each(|_| std::future::ready(())))).collect();
    for number in 0..items {
        broadcast.send(number).unwrap();
        if keep_up && number % STREAM_WINDOW as u64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    broadcast.finish();
    futures_util::future::join_all(readers).await;
}

async fn fan_out(items: u64) {
    let readers = stream::fan_out(numbers(items), MANY).into_iter().map(|reader| tokio::spawn(drain(reader)));
    futures_util::future::join_all(readers).await;
}
