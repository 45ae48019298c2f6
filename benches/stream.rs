//! From a vendor's chunk to the reader of a stream: how long a token is under way through a node, and what it costs.
//!
//! Run it with `cargo bench --bench stream [-- --quick]`. The node is whole (SQLite, HTTP face, `openai-compatible`
//! provider, memory) and has two workers; the vendor and the readers share one further thread. Each stream gets a piece
//! every 20 ms. The time runs from the vendor's write to the reader's receipt, so both directions of the loopback and
//! the waiting for a processor are in it: wall time, and only as good as the machine is idle. CPU time is the node's own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, missing_docs)]

mod meter;
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use beluga::config::{Config, Environment, Sources};
use beluga::node::{Claim, DataDir, Listen, Node};
use beluga::runtime::telemetry::Sampler;
use futures_util::future::join_all;
use meter::{Accounts, Samples, switch};
use wire::{Answer, Answering, Question, Reader, configuration, vendor};

/// Streams at a time.
const STREAMS: usize = 50;
/// The time between two pieces of a stream.
const GAP: Duration = Duration::from_millis(20);
/// The names of the node's threads.
const WORKER: &str = "node";
const WRITER: &str = "sqlite-writer";

/// When each piece of each stream was written.
type Written = Arc<Mutex<Vec<Vec<Instant>>>>;

fn main() {
    let (rounds, pieces) = if switch("--quick") { (3, 100) } else { (5, 500) };
    let directory = tempfile::tempdir().unwrap();
    let outside = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let inside =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name(WORKER).enable_all().build().unwrap();
    let written: Written = Arc::new(Mutex::new(vec![Vec::new(); STREAMS]));
    let shared = Arc::clone(&written);
    let script = Arc::new(move |question: Question, answer: Answer| -> Answering {
        Box::pin(write(question, answer, Arc::clone(&shared), pieces))
    });
    let address = outside.block_on(vendor(script));
    let (node, address) = inside.block_on(node(directory.path(), address));
    let (mut late, mut p50, mut p99, mut cpu) =
        (Samples::default(), Samples::default(), Samples::default(), Samples::default());
    outside.block_on(round(address, 0, &written));
    for number in 1..=rounds {
        let before = Accounts::now();
        let took = outside.block_on(round(address, number, &written));
        let after = Accounts::now();
        let spent = after.of_thread(WORKER, &before) + after.of_thread(WRITER, &before);
        p50.push(took.at(0.5));
        p99.push(took.at(0.99));
        late.push(took.at(1.0));
        cpu.push(spent.as_secs_f64() * 1e6 / (STREAMS * pieces) as f64);
    }
    println!(
        "{STREAMS} streams, a piece every {} ms each, medians of {rounds} rounds (lowest to highest)",
        GAP.as_millis()
    );
    println!("vendor's write to reader's receipt, us: p50 {p50}  p99 {p99}  longest {late}");
    println!("CPU us of the node per piece: {cpu}");
    inside.block_on(node.shutdown()).unwrap();
}

async fn node(directory: &Path, vendor: SocketAddr) -> (Node, SocketAddr) {
    let environment = Environment::default();
    let sources = Sources::new(environment.clone()).text("bench", configuration(vendor));
    let Claim::Ours(claimed) = DataDir::claim(directory).unwrap() else { panic!("the directory is taken") };
    let mut node = Node::start(Config::load(&sources).unwrap(), &environment, claimed, "bench").await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let listen = Listen { address, token: None, insecure: false, metrics: None, sampler: Sampler::new(0.0) };
    let url = node.listen(listen).await.unwrap();
    (node, url.strip_prefix("http://").unwrap().parse().unwrap())
}

/// Writes the pieces of one stream; the question is its number.
async fn write(question: Question, mut answer: Answer, written: Written, pieces: usize) -> std::io::Result<()> {
    let stream: usize = question.text().parse().unwrap();
    // The streams are out of step, as those of different users are.
    tokio::time::sleep(GAP * u32::try_from(stream).unwrap() / u32::try_from(STREAMS).unwrap()).await;
    let mut tick = tokio::time::interval(GAP);
    for number in 0..pieces {
        tick.tick().await;
        written.lock().unwrap()[stream].push(Instant::now());
        answer.piece(&format!("{number} ")).await?;
    }
    answer.end("stop").await
}

/// Runs one turn on each stream and returns how long the pieces took, in microseconds.
async fn round(node: SocketAddr, round: usize, written: &Written) -> Samples {
    written.lock().unwrap().iter_mut().for_each(Vec::clear);
    let readers = (0..STREAMS).map(|stream| {
        let written = Arc::clone(written);
        tokio::spawn(async move {
            let mut reader = Reader::turn(node, &format!("s-{round}-{stream}"), &stream.to_string()).await.unwrap();
            let (mut next, mut took) = (0, Vec::new());
            while let Some(event) = reader.next().await.unwrap() {
                let now = Instant::now();
                if event.name != "text" {
                    assert_ne!(event.name, "error", "{}", event.data);
                    continue;
                }
                assert_eq!(event.json()["text"], format!("{next} "));
                took.push((now - written.lock().unwrap()[stream][next]).as_secs_f64() * 1e6);
                next += 1;
            }
            assert_eq!(next, written.lock().unwrap()[stream].len());
            took
        })
    });
    let mut all = Samples::default();
    for took in join_all(readers).await {
        all.extend(took.unwrap());
    }
    all
}
