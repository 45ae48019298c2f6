//! The watchdog's thread on real time. A binary of its own with one test: what a thread logs goes to the subscriber of
//! the process, and threads are counted in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fmt::Write as _;
use std::sync::mpsc;
use std::time::Duration;

use beluga_core::Result;
use beluga_runtime::{Actor, Cx, Handler, Message, Ref, System, WatchdogSettings, protocol, task, testkit};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// How long a line may take to come.
const PATIENCE: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(60);

/// Blocks its thread until the test lets go.
#[derive(Message)]
#[message(name = "victim.block", reply = ())]
struct Block(mpsc::Receiver<()>);

/// Awaits until the test lets go.
#[derive(Message)]
#[message(name = "victim.await", reply = ())]
struct Await(tokio::sync::oneshot::Receiver<()>);

/// Asks the next one.
#[derive(Message)]
#[message(name = "victim.pass", reply = ())]
struct Pass(Vec<Ref<VictimProtocol>>);

protocol!(VictimProtocol: Block, Await, Pass);

struct Victim;

impl Actor for Victim {
    type Protocol = VictimProtocol;
    const KIND: &'static str = "victim";
}

impl Handler<Block> for Victim {
    async fn handle(&mut self, Block(release): Block, _cx: &mut Cx<Self>) -> Result<()> {
        let _ended = release.recv();
        Ok(())
    }
}

impl Handler<Await> for Victim {
    async fn handle(&mut self, Await(release): Await, _cx: &mut Cx<Self>) -> Result<()> {
        let _ended = release.await;
        Ok(())
    }
}

impl Handler<Pass> for Victim {
    async fn handle(&mut self, Pass(mut path): Pass, cx: &mut Cx<Self>) -> Result<()> {
        let Some(next) = path.pop() else { return Ok(()) };
        next.ask(Pass(path)).with_context(cx.context()).await
    }
}

/// Sends each warning as one line.
struct Warnings(mpsc::Sender<String>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.is_event() && metadata.target().contains("watchdog")
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.send(line.0).unwrap();
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() != "age_ms" {
            write!(self.0, "{}={value:?} ", field.name()).unwrap();
        }
    }
}

/// How many threads the watchdogs of this process have; `None` where it cannot be seen.
fn threads() -> Option<usize> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    Some(names.filter(|name| name.trim() == "beluga-watchdog").count())
}

/// Looks until no watchdog has a thread. One that was joined is listed for a moment more, until the system has cleared it up.
fn are_over() -> bool {
    (0..100_000).any(|_| {
        std::thread::yield_now();
        matches!(threads(), None | Some(0))
    })
}

/// What was logged and is not expected yet. On a busy machine any poll may take long, so there may be more lines.
struct Log {
    coming: mpsc::Receiver<String>,
    waiting: Vec<String>,
}

impl Log {
    /// Waits for a line with all these words.
    fn expect(&mut self, words: &[&str]) {
        let fits = |line: &String| words.iter().all(|word| line.contains(word));
        loop {
            if let Some(index) = self.waiting.iter().position(fits) {
                self.waiting.remove(index);
                return;
            }
            let line = self.coming.recv_timeout(PATIENCE);
            self.waiting.push(line.unwrap_or_else(|_| panic!("{words:?} in none of {:#?}", self.waiting)));
        }
    }
}

#[test]
fn the_thread_logs_what_begins_and_what_is_over_and_ends_with_its_system() {
    let (warnings, coming) = mpsc::channel();
    tracing::subscriber::set_global_default(Warnings(warnings)).unwrap();
    let mut log = Log { coming, waiting: Vec::new() };
    // One worker, which is blocked: nothing on the runtime could look.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let limit = Duration::from_millis(200);
    let settings =
        WatchdogSettings { period: Some(Duration::from_millis(5)), stuck_after: limit, blocked_after: limit };
    let (system, victim, other) = runtime.block_on(async {
        let system = System::builder("watched").watchdog(settings).build().unwrap();
        let victim = system.spawn("victim", || Victim).await.unwrap();
        let other = system.spawn("other", || Victim).await.unwrap();
        (system, victim, other)
    });

    let (release, released) = mpsc::channel();
    runtime.block_on(victim.tell(Block(released))).unwrap();
    log.expect(&["a thread is blocked", "actor=victim", "kind=\"victim\"", "is_job=false", "system=\"watched\""]);
    // It has logged, so it has its name by now.
    assert_ne!(threads(), Some(0));
    drop(release);
    log.expect(&["a thread is no longer blocked", "actor=victim"]);

    let (release, released) = tokio::sync::oneshot::channel();
    runtime.block_on(victim.tell(Await(released))).unwrap();
    log.expect(&["a handler is stuck", "actor=victim", "victim.await"]);
    drop(release);
    log.expect(&["a handler is no longer stuck", "actor=victim", "victim.await"]);

    let circle = victim.ask(Pass(vec![victim.clone(), other])).within(PATIENCE);
    let asking = {
        let _entered = runtime.enter();
        task::spawn("test", circle)
    };
    log.expect(&["handlers await each other", "victim –victim.pass→ other –victim.pass→ victim"]);
    log.expect(&["a handler is stuck", "actor=other"]);
    log.expect(&["a handler is stuck", "actor=victim"]);
    assert!(testkit::kill(&system, "victim"));
    runtime.block_on(asking).unwrap().unwrap_err();
    log.expect(&["handlers no longer await each other", "victim –victim.pass→ other –victim.pass→ victim"]);
    log.expect(&["a handler is no longer stuck", "actor=other"]);
    log.expect(&["a handler is no longer stuck", "actor=victim"]);

    runtime.block_on(system.shutdown(GRACE)).unwrap();
    assert!(are_over(), "it was joined");

    // A system that is dropped takes its thread along at once, however long its period is.
    let settings = WatchdogSettings { period: Some(PATIENCE * 100), ..settings };
    let dropped = runtime.block_on(async {
        let system = System::builder("dropped").watchdog(settings).build().unwrap();
        system.spawn("victim", || Victim).await.unwrap();
        system
    });
    drop((runtime, dropped));
    let (_open, never) = mpsc::channel::<()>();
    let mut looks = 0;
    while threads().unwrap_or(0) > 0 {
        never.recv_timeout(Duration::from_millis(5)).unwrap_err();
        looks += 1;
        assert!(looks < 10_000, "the thread stays");
    }
}
