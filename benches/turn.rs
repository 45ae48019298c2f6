//! CPU time per turn of an agent with a model that answers at once: what Beluga itself costs.
//!
//! Run it with `cargo bench --bench turn [-- --quick] [NAME]`. A turn is asked for as users do (`AgentRef::invoke`), in a
//! session that exists; the model stands behind its supervised actor with the default policy; the tool's arguments are
//! validated; tracing is there and samples nothing; there is no memory tier, as full-text indexing is measured apart.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, missing_docs)]

mod meter;

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::{Agent, AgentRef, Agents};
use beluga_actors::model::{ModelPolicy, Models};
use beluga_actors::session::{Invoke, Settings, Stores};
use beluga_actors::testkit::{Answer, FunctionModel};
use beluga_actors::tool::builtin::calculator;
use beluga_core::{ModelRequest, Role, SessionId};
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_providers::sqlite::{Sqlite, SqliteOptions};
use beluga_runtime::{RuntimeHost, System, SystemRandom, task};
use futures_util::future::join_all;
use meter::{Accounts, Samples, switch};
use serde_json::json;

/// Turns of a session, after a first one that is not counted.
const TURNS: usize = 20;
/// Pieces of the answer that comes in pieces.
const PIECES: usize = 101;

/// One thing that is measured.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// How often the model asks for the tool before it answers.
    rounds: usize,
    /// How many pieces the answer comes in.
    pieces: usize,
    /// Sessions at a time.
    sessions: usize,
    journal: Journal,
    workers: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Journal {
    Memory,
    /// `synchronous=FULL`, synced as `[journal] sync = "turn"` says.
    Sqlite,
}

const fn memory(name: &'static str, rounds: usize, pieces: usize) -> Case {
    Case { name, rounds, pieces, sessions: 1, journal: Journal::Memory, workers: 1 }
}

const fn sqlite(name: &'static str, rounds: usize, workers: usize) -> Case {
    Case { name, rounds, pieces: 1, sessions: 64, journal: Journal::Sqlite, workers }
}

const CASES: [Case; 8] = [
    memory("answer", 0, 1),
    memory("tool", 1, 1),
    Case { sessions: 64, ..memory("tool-64", 1, 1) },
    memory("tool5", 5, 1),
    memory("pieces", 0, PIECES),
    sqlite("sqlite-answer", 0, 1),
    sqlite("sqlite-tool", 1, 1),
    sqlite("sqlite-tool-2", 1, 2),
];

/// CPU microseconds per turn.
#[derive(Default, Clone)]
struct Figures {
    process: Samples,
    writer: Samples,
    first: Samples,
    /// Groups the journal makes durable at once.
    batch: Samples,
}

fn main() {
    let (repeats, turns) = if switch("--quick") { (3, 2_560) } else { (7, 12_800) };
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let mut figures = vec![Figures::default(); CASES.len()];
    for _ in 0..repeats {
        for (case, figures) in CASES.iter().zip(&mut figures) {
            if only.as_ref().is_none_or(|only| only == case.name) {
                sample(*case, turns, figures);
            }
        }
    }
    println!("CPU us per turn, medians of {repeats} interleaved repeats (lowest to highest)");
    println!(
        "{:<16}{:>26}{:>28}{:>28}{:>18}",
        "", "process", "the journal's writer", "first turn of a session", "groups per commit"
    );
    for (case, figures) in CASES.iter().zip(&figures).filter(|(_, figures)| figures.process.median().is_finite()) {
        let (writer, batch) = match case.journal {
            Journal::Sqlite => (figures.writer.to_string(), format!("{:.0}", figures.batch.median())),
            Journal::Memory => ("-".to_owned(), "-".to_owned()),
        };
        println!("{:<16}{:>26}{writer:>28}{:>28}{batch:>18}", case.name, figures.process, figures.first);
    }
    let median = |name: &str| {
        let at = CASES.iter().position(|case| case.name == name).unwrap();
        figures[at].process.median()
    };
    if only.is_none() {
        println!("a further round with a tool: {:.1} us", (median("tool5") - median("tool")) / 4.0);
        println!("a streamed piece: {:.2} us", (median("pieces") - median("answer")) / (PIECES - 1) as f64);
    }
}

fn sample(case: Case, turns: usize, figures: &mut Figures) {
    let mut runtime = match case.workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    // Of a thread that ended nothing would be counted.
    runtime.worker_threads(case.workers).thread_keep_alive(Duration::from_secs(3600)).enable_all();
    let runtime = runtime.build().unwrap();
    runtime.block_on(async {
        let directory = tempfile::tempdir().unwrap();
        let system = System::builder("bench").seed(1).build().unwrap();
        let mut file = None;
        let stores = match case.journal {
            Journal::Memory => Stores {
                journal: Arc::new(MemoryJournal::new()),
                messages: Arc::new(MemoryMessages::new()),
                state: Arc::new(MemoryState::new()),
            },
            Journal::Sqlite => {
                let host = Arc::new(RuntimeHost::new(SystemRandom::seeded(1)));
                let path = directory.path().join("beluga.db");
                let store = Sqlite::open(path, SqliteOptions::new(), host).unwrap();
                let stores = Stores { journal: store.journal(), messages: store.messages(), state: store.state() };
                file = Some(store);
                stores
            }
        };
        let agent = start(&system, &stores, case).await;
        let groups = turns / TURNS / case.sessions;
        // Caches, allocator and tables fill up first.
        talk(&agent, case, 0, 0..=TURNS).await;
        let begin = Accounts::now();
        for group in 1..=groups {
            talk(&agent, case, group, 0..=0).await;
        }
        let middle = Accounts::now();
        for group in 1..=groups {
            talk(&agent, case, group, 1..=TURNS).await;
        }
        let end = Accounts::now();
        let sessions = (groups * case.sessions) as f64;
        let micros = |spent: Duration, turns: f64| spent.as_secs_f64() * 1e6 / turns;
        figures.first.push(micros(middle.since(&begin), sessions));
        figures.process.push(micros(end.since(&middle), sessions * TURNS as f64));
        figures.writer.push(micros(end.of_thread(WRITER, &middle), sessions * TURNS as f64));
        if let Some(health) = file.map(|store| store.health()) {
            figures.batch.push(health.groups as f64 / health.commits as f64);
        }
        drop(agent);
        system.shutdown(Duration::from_secs(30)).await.unwrap();
    });
}

/// The name of the thread that owns the database.
const WRITER: &str = "sqlite-writer";

async fn start(system: &System, stores: &Stores, case: Case) -> AgentRef {
    let agents = Agents::start(system, stores, Settings::default()).await.unwrap();
    let models = Models::start(system).await.unwrap();
    let model = FunctionModel::new(move |request: &ModelRequest| answer(request, case));
    let model = models.spawn("instant", Arc::new(model), ModelPolicy::default()).await.unwrap();
    let builder = Agent::builder("assistant").model(model).instructions("Answer briefly. Use the calculator.");
    builder.tool(calculator).spawn(&agents).await.unwrap()
}

/// Asks for the tool until it has been asked often enough, then answers.
fn answer(request: &ModelRequest, case: Case) -> Answer {
    let rounds = request.messages.iter().rev().take_while(|message| message.role != Role::User);
    if rounds.filter(|message| message.role == Role::Assistant).count() < case.rounds {
        return Answer::call("calculator", json!({"expression": "2340 * 17 / 100"}));
    }
    if case.pieces == 1 {
        return Answer::text("17 percent of 2340 is 397.8.");
    }
    Answer::pieces((0..case.pieces).map(|_| "a word "))
}

/// Runs these turns of a group of sessions, the sessions at the same time.
async fn talk(agent: &AgentRef, case: Case, group: usize, turns: std::ops::RangeInclusive<usize>) {
    join_all((0..case.sessions).map(|number| {
        let (agent, turns) = (agent.clone(), turns.clone());
        // As the callers of a node are: a task each.
        task::spawn("caller", async move {
            let session = SessionId::parse(format!("s-{group}-{number}")).unwrap();
            for _ in turns {
                let invoke = Invoke::text("What is 17 % of 2340?").with_session(session.clone());
                let reply = agent.invoke(invoke).await.unwrap();
                assert!(reply.result.starts_with(if case.pieces == 1 { "17 percent" } else { "a word" }));
            }
        })
    }))
    .await
    .into_iter()
    .for_each(Result::unwrap);
}
