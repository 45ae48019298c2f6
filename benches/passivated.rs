//! What costs what is asleep: a million keys of virtual actors, then a million sessions, each with a ref that is held.
//!
//! Run it with `cargo bench --bench passivated [-- --quick] [--sqlite] [keys | crowd | sessions]`. Bytes are counted at
//! the allocator. What an allocation takes beyond its size, and the holes that actors leave between what stays, are in
//! the growth of the resident set, which stands beside them; a part that runs after another reuses what that has left.
//! CPU time is that of the process. Each session has had one turn through its agent with a model that answers at once;
//! the journal is in memory unless `--sqlite` puts it into a file, and its own bytes are told apart. Afterwards a random
//! sample is woken and must know what it knew. `crowd` has very many awake, and makes room for newcomers among them.
//! Exits with 1 if a bound on bytes does not hold.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
// Counting bytes takes an allocator, and that is an unsafe trait; this one only counts and passes on.
#![allow(unsafe_code)]

mod meter;

use std::alloc::{GlobalAlloc, Layout, System as SystemAllocator};
use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use beluga_actors::agent::{Agent, AgentRef, Agents};
use beluga_actors::model::{ModelPolicy, Models};
use beluga_actors::session::{Invoke, SessionRef, Settings, Stores};
use beluga_actors::testkit::{Answer, FunctionModel};
use beluga_core::{Append, BoxFuture, Group, Journal, ModelRequest, Result, Role, SessionId, StreamKey};
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_providers::sqlite::{Sqlite, SqliteOptions};
use beluga_runtime::{
    Activation, Activator, Actor, Address, Cx, Family, FamilyOptions, Handler, Message, RuntimeHost, Silent, Spec,
    System, SystemRandom, VirtualRef, protocol, task, time,
};
use futures_util::future::join_all;
use meter::{Accounts, switch};

/// Keys and sessions; a fiftieth of them in a quick run.
const MANY: usize = 1_000_000;
const QUICK: usize = 20_000;
/// One in so many may be active, and one in so many is in the crowd.
const PER_ACTIVE: usize = 100;
const PER_CROWD: usize = 10;
/// How many are woken again and checked.
const SAMPLE: usize = 1_000;
/// Callers at the same time.
const CALLERS: usize = 64;
/// After how long without a message an actor leaves, so that at the end none is left.
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// The most bytes of one that is asleep, the ref and what it names included.
const KEY_MAX_BYTES: f64 = 300.0;
const SESSION_MAX_BYTES: f64 = 300.0;
/// The most bytes the journal in memory may take.
const JOURNAL_MAX_BYTES: usize = 16 * 1024 * 1024 * 1024;

struct Counting;

/// Bytes and blocks in use, and the bytes among them that the journal holds.
static BYTES: AtomicI64 = AtomicI64::new(0);
static BLOCKS: AtomicI64 = AtomicI64::new(0);
static JOURNAL_BYTES: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static IN_JOURNAL: Cell<bool> = const { Cell::new(false) };
}

fn count(bytes: i64, blocks: i64) {
    BYTES.fetch_add(bytes, Ordering::Relaxed);
    BLOCKS.fetch_add(blocks, Ordering::Relaxed);
    if IN_JOURNAL.try_with(Cell::get).unwrap_or(false) {
        JOURNAL_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64, 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { SystemAllocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { SystemAllocator.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let many = if switch("--quick") { QUICK } else { MANY };
    // Of a thread that ended nothing would be counted.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.thread_keep_alive(Duration::from_secs(3600)).enable_all().build().unwrap();
    let mut holds = true;
    let parts = ["keys", "crowd", "sessions"];
    let only = parts.into_iter().find(|part| switch(part));
    for part in parts.into_iter().filter(|part| only.is_none_or(|only| only == *part)) {
        holds &= match part {
            "keys" => runtime.block_on(keys(many)),
            "crowd" => runtime.block_on(crowd(many / PER_CROWD)),
            _ => runtime.block_on(sessions(many)),
        };
    }
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is measured of one kind of sleepers.
struct Measure {
    accounts: Accounts,
    began: Instant,
    bytes: i64,
    journal_bytes: i64,
    blocks: i64,
    resident: f64,
}

impl Measure {
    #[allow(clippy::disallowed_methods)] // A bench times itself.
    fn begin() -> Self {
        Self {
            accounts: Accounts::now(),
            began: Instant::now(),
            bytes: BYTES.load(Ordering::Relaxed),
            journal_bytes: JOURNAL_BYTES.load(Ordering::Relaxed),
            blocks: BLOCKS.load(Ordering::Relaxed),
            resident: resident_bytes(),
        }
    }

    /// Prints what was done for each.
    fn work(&self, what: &str, many: usize) {
        let each = |total: Duration| total.as_secs_f64() * 1e6 / many as f64;
        let cpu = Accounts::now().since(&self.accounts);
        println!(
            "{many} {what}: {:.1} us CPU, {:.1} us each, {:.1?}",
            each(cpu),
            each(self.began.elapsed()),
            self.began.elapsed()
        );
    }

    /// Prints what each takes, `own` bytes of a list outside this count included, and returns it.
    fn size(&self, what: &str, many: usize, own: usize) -> f64 {
        let each = |now: &AtomicI64, before: i64| (now.load(Ordering::Relaxed) - before) as f64 / many as f64;
        let journal = each(&JOURNAL_BYTES, self.journal_bytes);
        let bytes = each(&BYTES, self.bytes) - journal + own as f64;
        let resident = (resident_bytes() - self.resident) / many as f64;
        println!(
            "  {what}: {bytes:.0} bytes in {:.1} blocks each; the journal {journal:.0}; resident {resident:.0}",
            each(&BLOCKS, self.blocks)
        );
        bytes
    }
}

fn resident_bytes() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0
}

/// Asks an actor what it is.
#[derive(Message)]
#[message(name = "sleeper.name", reply = String)]
struct Name;

protocol!(SleeperProtocol: Name);

struct Sleeper(String);

impl Actor for Sleeper {
    type Protocol = SleeperProtocol;
    const KIND: &'static str = "sleeper";
}

impl Handler<Name> for Sleeper {
    async fn handle(&mut self, _: Name, _cx: &mut Cx<Self>) -> Result<String> {
        Ok(self.0.clone())
    }
}

struct Dormitory;

impl Actor for Dormitory {
    type Protocol = Silent;
    const KIND: &'static str = "dormitory";
}

struct Sleepers(Address);

impl Activator<SleeperProtocol> for Sleepers {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<SleeperProtocol>>> {
        let (supervisor, key) = (self.0.clone(), key.to_owned());
        Box::pin(
            async move { Ok(Activation { supervisor, spec: Spec::new(key.clone(), move || Sleeper(key.clone())) }) },
        )
    }
}

fn key(number: usize) -> String {
    format!("key-{number:09}")
}

async fn family(options: FamilyOptions) -> (System, Family<SleeperProtocol>, Arc<dyn Activator<SleeperProtocol>>) {
    let system = System::builder("bench").seed(1).build().unwrap();
    let dormitory = system.spawn("dormitory", || Dormitory).await.unwrap().address().unwrap();
    let family = system.family("sleeper", options);
    (system, family, Arc::new(Sleepers(dormitory)))
}

async fn keys(many: usize) -> bool {
    let options = FamilyOptions { idle_after: IDLE_AFTER, max_active: many / PER_ACTIVE };
    let (system, family, activator) = family(options).await;
    let mut refs: Vec<VirtualRef<SleeperProtocol>> = Vec::with_capacity(many);
    let measure = Measure::begin();
    for number in 0..many {
        let sleeper = family.resolve(key(number), Arc::clone(&activator));
        // Twice, so that the ref has met its actor and remembers of it what it remembers.
        for _ in 0..2 {
            assert_eq!(sleeper.ask(Name).await.unwrap(), key(number));
        }
        refs.push(sleeper);
    }
    measure.work("keys activated, asked twice and passivated", many);
    while !family.is_empty() {
        time::sleep(IDLE_AFTER / 10).await;
    }
    let bytes = measure.size("a key asleep, its ref held", many, size_of::<VirtualRef<SleeperProtocol>>());
    let measure = Measure::begin();
    for _ in 0..SAMPLE {
        let number = below(&system, many);
        let sleeper = refs.get(number).unwrap();
        assert_eq!(sleeper.ask(Name).await.unwrap(), key(number));
    }
    measure.work("keys of a random sample woken", SAMPLE);
    let measure = Measure::begin();
    drop(refs);
    measure.work("refs dropped", many);
    system.shutdown(Duration::from_secs(60)).await.unwrap();
    holds(bytes, KEY_MAX_BYTES)
}

/// Has all of a crowd awake and speaks to them in another order than that of their coming; then newcomers come, for each
/// of whom one must leave.
async fn crowd(many: usize) -> bool {
    let options = FamilyOptions { idle_after: Duration::from_secs(3600), max_active: many };
    let (system, family, activator) = family(options).await;
    let measure = Measure::begin();
    let refs: Vec<_> = (0..many).map(|number| family.resolve(key(number), Arc::clone(&activator))).collect();
    for sleeper in &refs {
        sleeper.ask(Name).await.unwrap();
    }
    measure.work("keys awake at the same time", many);
    measure.size("a key awake", many, 0);
    for sleeper in refs.iter().rev() {
        sleeper.ask(Name).await.unwrap();
    }
    let newcomer = |number: usize| family.resolve(key(many + number), Arc::clone(&activator)).ask(Name);
    let measure = Measure::begin();
    newcomer(0).await.unwrap();
    measure.work("newcomer, the first, for whom all were looked at", 1);
    let measure = Measure::begin();
    for number in 1..=SAMPLE {
        newcomer(number).await.unwrap();
    }
    measure.work("newcomers more", SAMPLE);
    // Who was spoken to first has left, who was spoken to last has not.
    let awake = |number: usize| refs.get(number).unwrap().active().is_some();
    assert!((0..many - SAMPLE - 1).all(awake) && !(many - SAMPLE - 1..many).any(awake));
    let measure = Measure::begin();
    system.shutdown(Duration::from_secs(60)).await.unwrap();
    measure.work("actors ended by a shutdown", many);
    true
}

fn below(system: &System, bound: usize) -> usize {
    usize::try_from(system.random().below(bound as u64)).unwrap()
}

fn holds(bytes: f64, most: f64) -> bool {
    if bytes > most {
        println!("  a bound does not hold: at most {most:.0} bytes");
    }
    bytes <= most
}

/// A journal whose allocations are told apart. What it keeps it copies, so that it is its own.
#[derive(Debug)]
struct Apart(MemoryJournal);

struct Inside;

impl Inside {
    fn enter() -> Self {
        IN_JOURNAL.set(true);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        IN_JOURNAL.set(false);
    }
}

impl Journal for Apart {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64>> {
        let journal = self.0.clone();
        Box::pin(async move {
            let copy = {
                let _inside = Inside::enter();
                Append { payload: append.payload.to_vec().into(), ..append.clone() }
            };
            let mut appending = journal.append(copy);
            std::future::poll_fn(move |cx| {
                let _inside = Inside::enter();
                appending.as_mut().poll(cx)
            })
            .await
        })
    }

    fn read(&self, stream: StreamKey, from: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Group>>> {
        self.0.read(stream, from, limit)
    }

    fn open(&self, kind: &'static str, limit: usize) -> BoxFuture<'static, Result<Vec<StreamKey>>> {
        self.0.open(kind, limit)
    }
}

async fn sessions(many: usize) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let system = System::builder("bench").seed(1).build().unwrap();
    let file = switch("--sqlite").then(|| {
        let host = Arc::new(RuntimeHost::new(SystemRandom::seeded(1)));
        Sqlite::open(directory.path().join("beluga.db"), SqliteOptions::new(), host).unwrap()
    });
    let stores = match &file {
        Some(file) => Stores { journal: file.journal(), messages: file.messages(), state: file.state() },
        None => Stores {
            journal: Arc::new(Apart(MemoryJournal::with_max_bytes(JOURNAL_MAX_BYTES))),
            messages: Arc::new(MemoryMessages::new()),
            state: Arc::new(MemoryState::new()),
        },
    };
    let (agents, agent) = start(&system, &stores, many / PER_ACTIVE).await;
    let mut refs: Vec<SessionRef> = Vec::with_capacity(many);
    let measure = Measure::begin();
    for first in (0..many).step_by(CALLERS) {
        let group = first..(first + CALLERS).min(many);
        refs.extend(group.clone().map(|number| agent.session(session(number))));
        talk(&agent, group, "").await;
    }
    let sleepers = if file.is_some() { "sessions, one turn each, in SQLite" } else { "sessions, one turn each" };
    measure.work(sleepers, many);
    while agents.sessions().active() > 0 {
        time::sleep(IDLE_AFTER / 10).await;
    }
    let bytes = measure.size("a session asleep, its ref held", many, size_of::<SessionRef>());
    if file.is_some() {
        let files = std::fs::read_dir(directory.path()).unwrap();
        let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        println!("  the journal's file: {:.0} bytes each", bytes as f64 / many as f64);
    }
    let sample: Vec<usize> = (0..SAMPLE).map(|_| below(&system, many)).collect();
    let measure = Measure::begin();
    for number in &sample {
        talk(&agent, *number..number + 1, &format!("I am number {number}.")).await;
    }
    measure.work("sessions of a random sample woken for a turn", SAMPLE);
    for number in sample {
        let conversation = refs.get(number).unwrap().conversation().await.unwrap();
        assert!(conversation.turns.len() >= 2, "the first turn and the second");
        assert_eq!(conversation.turns.first().unwrap().input, format!("I am number {number}."));
    }
    drop((refs, agents, agent));
    system.shutdown(Duration::from_secs(60)).await.unwrap();
    holds(bytes, SESSION_MAX_BYTES)
}

fn session(number: usize) -> SessionId {
    SessionId::parse(format!("s-{number:09}")).unwrap()
}

async fn start(system: &System, stores: &Stores, max_active: usize) -> (Agents, AgentRef) {
    let settings = Settings { idle_after: IDLE_AFTER, max_active, ..Settings::default() };
    let agents = Agents::start(system, stores, settings).await.unwrap();
    let models = Models::start(system).await.unwrap();
    let model = FunctionModel::new(|request: &ModelRequest| Answer::text(first_words(request)));
    let model = models.spawn("instant", Arc::new(model), ModelPolicy::default()).await.unwrap();
    let agent = Agent::builder("assistant").model(model).instructions("Remember.").spawn(&agents).await.unwrap();
    (agents, agent)
}

/// Answers with what was said first in the conversation, unless that is the question.
fn first_words(request: &ModelRequest) -> String {
    let mut said = request.messages.iter().filter(|message| message.role == Role::User);
    let first = said.next().map(|message| message.text()).unwrap_or_default();
    if said.next().is_some() { first } else { String::new() }
}

/// Has one turn in each of these sessions at the same time; the answer is what the session remembers.
async fn talk(agent: &AgentRef, numbers: std::ops::Range<usize>, remembered: &str) {
    let turns = numbers.map(|number| {
        let (agent, remembered) = (agent.clone(), remembered.to_owned());
        // As the callers of a node are: a task each.
        task::spawn("caller", async move {
            let invoke = Invoke::text(format!("I am number {number}.")).with_session(session(number));
            let reply = agent.invoke(invoke).await.unwrap();
            assert_eq!(reply.result, remembered);
        })
    });
    join_all(turns).await.into_iter().for_each(Result::unwrap);
}
