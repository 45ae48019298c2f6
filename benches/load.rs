//! A thousand sessions at a time on one node, then three thousand: what they need of memory, and that no turn is lost.
//!
//! Run it as `scripts/load`. The node is the binary in a process of its own, with SQLite and the default memory tiers;
//! the vendor holds every answer back until all sessions have asked, asks each for a tool, and then speaks slowly. Every
//! reply is checked as it streams, and again from the journal by a second process. In the first run one reader takes no
//! bytes of an answer of megabytes, is cut off, and goes on from its cursor. What a further session takes is the
//! difference of the medians of runs without that reader. Exits with 1 when a bound does not hold; none of them is a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::disallowed_methods, missing_docs)]

mod wire;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::{Notify, Semaphore, watch};
use wire::{Answer, Answering, Event, Question, Reader, configuration, text, vendor};

/// Sessions at a time, each run on a fresh node.
const FEW: usize = 1_000;
const MANY: usize = 3_000;
/// Runs of each number of sessions, of which the median counts: the peak of one run hangs on what happens to coincide.
const REPEATS: usize = 5;
/// The most memory the node may ever have held with few sessions and the slow reader.
const PEAK_MAX_KIB: u64 = 400 * 1024;
/// The most memory each further session may take.
const SESSION_MAX_KIB: f64 = 64.0;
/// Words of an answer, and the time between two.
const WORDS: usize = 10;
const WORD_GAP: Duration = Duration::from_millis(150);
/// Pieces of the answer the slow reader does not take; far more than the node and the system keep for it.
const FLOOD: usize = 2_000;
const PIECE_BYTES: usize = 1_024;
/// Turns that are asked for at the same moment; the others follow as these are accepted.
const ASKING_MAX: usize = 200;

/// What the vendor and the readers tell each other.
struct Stage {
    /// How many sessions have asked.
    asked: watch::Sender<usize>,
    sessions: usize,
    /// The node took the whole flood.
    flooded: Notify,
    /// The slow reader was cut off; the flood may end.
    cut_off: Notify,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let peak = runtime.block_on(run(FEW, true));
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..REPEATS {
        few.push(runtime.block_on(run(FEW, false)));
        many.push(runtime.block_on(run(MANY, false)));
    }
    let each = (median(&mut many) - median(&mut few)) / (MANY - FEW) as f64;
    println!("peak with {FEW} sessions: {} MiB (at most {})", peak / 1024, PEAK_MAX_KIB / 1024);
    println!("each further session: {each:.1} KiB (at most {SESSION_MAX_KIB})");
    if peak > PEAK_MAX_KIB || each > SESSION_MAX_KIB {
        println!("a bound does not hold");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn median(peaks: &mut [u64]) -> f64 {
    peaks.sort_unstable();
    peaks[peaks.len() / 2] as f64
}

/// Loads a node with so many sessions and returns the most memory it ever held, in KiB.
async fn run(sessions: usize, with_slow_reader: bool) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let stage =
        Arc::new(Stage { asked: watch::Sender::new(0), sessions, flooded: Notify::new(), cut_off: Notify::new() });
    let shared = Arc::clone(&stage);
    let script = Arc::new(move |question: Question, answer: Answer| -> Answering {
        Box::pin(play(question, answer, Arc::clone(&shared)))
    });
    let config = directory.path().join("beluga.toml");
    std::fs::write(&config, configuration(vendor(script).await)).unwrap();

    let node = NodeProcess::start(directory.path());
    let (idle, started) = (node.memory_kib("VmRSS"), Instant::now());
    let slow = with_slow_reader.then(|| tokio::spawn(read_slowly(node.address, Arc::clone(&stage))));
    let streamed = talk(node.address, sessions).await;
    if let Some(slow) = slow {
        slow.await.unwrap();
    }
    let (peak, after) = (node.memory_kib("VmHWM"), node.memory_kib("VmRSS"));
    println!(
        "{sessions} sessions: {idle} KiB before, {peak} KiB at most, {after} KiB after; {:.1} s, {:.1} ms CPU each",
        started.elapsed().as_secs_f64(),
        node.cpu_ms() / sessions as f64
    );
    node.stop();

    let node = NodeProcess::start(directory.path());
    read_again(node.address, streamed).await;
    node.stop();
    peak
}

/// Speaks as the vendor.
async fn play(question: Question, mut answer: Answer, stage: Arc<Stage>) -> std::io::Result<()> {
    if question.text() == "flood" {
        for number in 0..FLOOD {
            answer.piece(&flood(number)).await?;
        }
        stage.flooded.notify_one();
        stage.cut_off.notified().await;
        return answer.end("stop").await;
    }
    if !question.has_result() {
        stage.asked.send_modify(|asked| *asked += 1);
        stage.asked.subscribe().wait_for(|asked| *asked >= stage.sessions).await.unwrap();
        return answer.call("calculator", r#"{"expression": "6 * 7"}"#).await;
    }
    for number in 0..WORDS {
        tokio::time::sleep(WORD_GAP).await;
        answer.piece(&word(question.text(), number)).await?;
    }
    answer.end("stop").await
}

fn word(session: &str, number: usize) -> String {
    format!("{session}:{number} ")
}

fn flood(number: usize) -> String {
    format!("{number:0PIECE_BYTES$}")
}

/// Runs one turn in each session at the same time, checks each, and returns what was read.
async fn talk(node: SocketAddr, sessions: usize) -> Vec<(String, Vec<Event>)> {
    let asking = Arc::new(Semaphore::new(ASKING_MAX));
    let turns = (0..sessions).map(|number| {
        let asking = Arc::clone(&asking);
        tokio::spawn(async move {
            let session = format!("s-{number}");
            let permit = asking.acquire().await.unwrap();
            let mut reader = Reader::turn(node, &session, &session).await.unwrap();
            drop(permit);
            let events = reader.rest().await.unwrap();
            assert_eq!(reader.comments, Vec::<String>::new(), "a reader was cut off");
            check(&session, &events);
            (session, events)
        })
    });
    join_all(turns).await.into_iter().map(Result::unwrap).collect()
}

/// Checks that these are the events of the whole turn.
fn check(session: &str, events: &[Event]) {
    let answer: String = (0..WORDS).map(|number| word(session, number)).collect();
    assert_eq!(text(events), answer);
    assert!(events.is_sorted_by(|one, next| one.number < next.number));
    let named = |name: &str| events.iter().filter(|event| event.name == name).count();
    assert_eq!((named("tool_call"), named("tool_result"), named("done"), named("error")), (1, 1, 1, 0));
    let result = events.iter().find(|event| event.name == "tool_result").unwrap();
    assert!(result.data.contains("42"), "{}", result.data);
    let last = events.last().unwrap();
    assert_eq!((last.name.as_str(), last.json()["result"].as_str()), ("done", Some(answer.as_str())));
}

/// Takes no bytes until it is cut off, then goes on from the cursor, and has it all.
async fn read_slowly(node: SocketAddr, stage: Arc<Stage>) {
    let mut reader = Reader::narrow_turn(node, "slow", "flood").await.unwrap();
    stage.flooded.notified().await;
    let mut events = reader.rest().await.unwrap();
    let farewell = reader.comments.first().expect("the slow reader was not cut off");
    assert!(farewell.starts_with("overloaded"), "{farewell}");
    let cursor = farewell.rsplit(' ').next().unwrap().parse().unwrap();
    assert_eq!(events.last().map(|event| event.number), Some(cursor));
    stage.cut_off.notify_one();
    let mut reader = Reader::session(node, "slow", Some(cursor), true).await.unwrap();
    while let Some(event) = reader.next().await.unwrap() {
        let done = event.name == "done";
        events.push(event);
        if done {
            break;
        }
    }
    assert!(events.is_sorted_by(|one, next| one.number < next.number));
    assert_eq!(text(&events), (0..FLOOD).map(flood).collect::<String>(), "the slow reader has a gap");
}

/// Reads every session from the journal and compares it with what was streamed.
async fn read_again(node: SocketAddr, streamed: Vec<(String, Vec<Event>)>) {
    let asking = Arc::new(Semaphore::new(ASKING_MAX));
    let checks = streamed.into_iter().map(|(session, streamed)| {
        let asking = Arc::clone(&asking);
        tokio::spawn(async move {
            let _permit = asking.acquire().await.unwrap();
            let events = Reader::session(node, &session, None, false).await.unwrap().rest().await.unwrap();
            check(&session, &events);
            assert_eq!(events.last(), streamed.last());
        })
    });
    join_all(checks).await.into_iter().for_each(Result::unwrap);
}

/// The binary as a node in a process of its own; killed when it drops.
struct NodeProcess {
    child: Child,
    address: SocketAddr,
}

impl NodeProcess {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_beluga"))
            .args(["node", "--http", "127.0.0.1:0", "--config", "beluga.toml", "--data", "data"])
            .current_dir(directory)
            .env_clear()
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("the node did not start");
        Self { address: address.parse().unwrap(), child }
    }

    /// Returns a figure of `/proc/PID/status`.
    fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Returns the CPU time of all its threads so far.
    fn cpu_ms(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let spent = tasks.map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or_default()
        });
        spent.sum::<f64>() / 1e6
    }

    /// Tells the node to end and checks that it does so in order.
    fn stop(mut self) {
        let told = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "the node did not end in order");
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
