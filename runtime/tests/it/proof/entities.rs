//! The life of virtual actors: whatever happens to them, each message is handled once, or somebody says that it was not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use beluga_core::{BoxFuture, Error, Result};
use beluga_runtime::testkit::{self, kill, quiet_panics};
use beluga_runtime::{
    Activation, Activator, Actor, Address, Backoff, Cx, Family, FamilyOptions, Handler, Message, Silent, Spec,
    StopReason, System, VirtualRef, protocol, task, time,
};
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::ledger::{Ledger, Sent};
use crate::fixture::GRACE;

const KEYS: usize = 4;
const IDLE_AFTER: Duration = Duration::from_secs(5);

/// What a message makes its receiver do.
#[derive(Debug, Clone, Copy)]
enum How {
    Work,
    Nap(u64),
    Panic,
    LatePanic(u64),
    Fail,
}

#[derive(Debug, Message)]
#[message(name = "entity.put", reply = (), keep)]
struct Put {
    number: usize,
    how: How,
}

protocol!(EntityProtocol: Put);

struct Entity {
    key: usize,
    ledger: Ledger,
    bad_starts: Arc<AtomicU32>,
}

impl Drop for Entity {
    fn drop(&mut self) {
        self.ledger.dropped(self.key);
    }
}

impl Actor for Entity {
    type Protocol = EntityProtocol;
    const KIND: &'static str = "entity";

    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        if take_one(&self.bad_starts) { Err(Error::config("a bad start")) } else { Ok(()) }
    }

    async fn stopping(&mut self, _cx: &mut Cx<Self>, _reason: StopReason) {
        // Long enough for others to meet the shut door.
        time::sleep(Duration::from_millis(30)).await;
    }
}

impl Handler<Put> for Entity {
    async fn handle(&mut self, Put { number, how }: Put, cx: &mut Cx<Self>) -> Result<()> {
        self.ledger.begun(number);
        match how {
            How::Work => {}
            How::Nap(ms) => time::sleep(Duration::from_millis(ms)).await,
            How::Panic => panic!("on purpose"),
            How::LatePanic(ms) => {
                time::sleep(Duration::from_millis(ms)).await;
                panic!("on purpose");
            }
            How::Fail => cx.fail(Error::internal("gave up")),
        }
        self.ledger.done(number);
        Ok(())
    }
}

/// Supervises the entities.
struct Hub;

impl Actor for Hub {
    type Protocol = Silent;
    const KIND: &'static str = "hub";
}

/// Counts down; says whether there was something left.
fn take_one(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// Starts entities, or does not, as the script has it.
#[derive(Clone)]
struct Entities {
    hub: Address,
    ledger: Ledger,
    bad_starts: Arc<AtomicU32>,
    /// How many activations answer an error, and how many panic.
    refusals: Arc<AtomicU32>,
    panics: Arc<AtomicU32>,
}

impl Activator<EntityProtocol> for Entities {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<EntityProtocol>>> {
        let key: usize = key.parse().unwrap();
        Box::pin(async move {
            time::sleep(Duration::from_millis(20)).await;
            assert!(!take_one(&self.panics), "on purpose");
            if take_one(&self.refusals) {
                return Err(Error::not_found("refused on purpose"));
            }
            let (ledger, bad_starts) = (self.ledger.clone(), Arc::clone(&self.bad_starts));
            let spec = Spec::new(key.to_string(), move || {
                ledger.built(key);
                Entity { key, ledger: ledger.clone(), bad_starts: Arc::clone(&bad_starts) }
            });
            let backoff = Backoff { initial: Duration::from_millis(100), ..Backoff::default() };
            Ok(Activation { supervisor: self.hub.clone(), spec: spec.backoff(backoff) })
        })
    }
}

/// How a message is sent.
#[derive(Debug, Clone, Copy)]
enum Way {
    Tell,
    TryTell,
    Ask,
    /// An ask that does not wait for long.
    AskBriefly(u64),
    /// A tell whose sender leaves if it takes longer.
    TellBriefly(u64),
}

/// One step of a sender: key, whether through a ref held since the beginning, and what then.
#[derive(Debug, Clone, Copy)]
struct Step {
    key: usize,
    is_held: bool,
    way: Way,
    how: How,
    pause_ms: u64,
}

/// What happens meanwhile.
#[derive(Debug, Clone, Copy)]
enum Chaos {
    Passivate(usize),
    Kill(usize),
    KillHub,
    Crash(usize),
    Delay(usize, u64),
    Lose(usize, usize),
    Heal(usize),
    Refuse(u32),
    PanicInActivation,
    BadStart(u32),
    Pass(u64),
}

async fn send(actor: &VirtualRef<EntityProtocol>, ledger: &Ledger, sender: usize, step: &Step) {
    let number = ledger.open(step.key, sender);
    let put = Put { number, how: step.how };
    let sent = match step.way {
        Way::Tell => Sent::told(&actor.tell(put).await),
        Way::TryTell => Sent::told(&actor.try_tell(put)),
        Way::Ask => Sent::asked(&actor.ask(put).await),
        Way::AskBriefly(ms) => Sent::asked(&actor.ask(put).within(Duration::from_millis(ms)).await),
        Way::TellBriefly(ms) => match time::timeout(Duration::from_millis(ms), actor.tell(put)).await {
            Ok(outcome) => Sent::told(&outcome),
            Err(_) => Sent::GivenUp,
        },
    };
    ledger.sent(number, sent);
}

async fn run_sender(family: Family<EntityProtocol>, entities: Entities, sender: usize, steps: Vec<Step>) {
    let resolve = |key: usize| family.resolve(key.to_string(), Arc::new(entities.clone()));
    let held: Vec<_> = (0..KEYS).map(resolve).collect();
    for step in &steps {
        if step.is_held {
            send(&held[step.key], &entities.ledger, sender, step).await;
        } else {
            send(&resolve(step.key), &entities.ledger, sender, step).await;
        }
        time::sleep(Duration::from_millis(step.pause_ms)).await;
    }
}

fn path(key: usize) -> String {
    format!("hub/{key}")
}

async fn run_chaos(system: System, family: Family<EntityProtocol>, entities: Entities, script: Vec<Chaos>) {
    for chaos in script {
        match chaos {
            Chaos::Passivate(key) => family.passivate(&key.to_string()),
            Chaos::Kill(key) => drop(kill(&system, &path(key))),
            Chaos::KillHub => drop(kill(&system, "hub")),
            Chaos::Crash(key) => drop(testkit::crash(&system, &path(key), None)),
            Chaos::Delay(key, ms) => drop(testkit::delay(&system, &path(key), Duration::from_millis(ms))),
            Chaos::Lose(key, count) => drop(testkit::lose(&system, &path(key), count)),
            Chaos::Heal(key) => drop(testkit::heal(&system, &path(key))),
            Chaos::Refuse(count) => entities.refusals.store(count, Ordering::Relaxed),
            Chaos::PanicInActivation => entities.panics.store(1, Ordering::Relaxed),
            Chaos::BadStart(count) => entities.bad_starts.store(count, Ordering::Relaxed),
            Chaos::Pass(ms) => time::sleep(Duration::from_millis(ms)).await,
        }
        tokio::task::yield_now().await;
    }
}

async fn run(
    system: System,
    max_active: usize,
    senders: Vec<Vec<Step>>,
    script: Vec<Chaos>,
) -> Result<(), TestCaseError> {
    let hub = system.spawn("hub", || Hub).await.unwrap().address().unwrap();
    let hub_dies = script.iter().any(|chaos| matches!(chaos, Chaos::KillHub));
    let (bad_starts, refusals, panics) = (Arc::default(), Arc::default(), Arc::default());
    let entities = Entities { hub, ledger: Ledger::default(), bad_starts, refusals, panics };
    let family = system.family("entity", FamilyOptions { idle_after: IDLE_AFTER, max_active });
    let chaos = task::spawn("chaos", run_chaos(system.clone(), family.clone(), entities.clone(), script));
    let senders = senders
        .into_iter()
        .enumerate()
        .map(|(sender, steps)| task::spawn("sender", run_sender(family.clone(), entities.clone(), sender, steps)));
    join_all(senders).await.into_iter().for_each(Result::unwrap);
    chaos.await.unwrap();
    // Long enough for every queue, gate and idle actor.
    time::sleep(Duration::from_secs(600)).await;
    let (active, names) = (family.active(), system.names());
    let faults = entities.ledger.faults(&system.dead_letters().recent(), hub_dies);
    system.shutdown(GRACE).await.unwrap();
    prop_assert!(faults.is_empty(), "{}", faults.join("\n"));
    prop_assert!(active.is_empty() && names.len() == 1, "{:?} {:?}", active, names);
    Ok(())
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![
        8 => Just(How::Work),
        3 => prop_oneof![Just(1_u64), Just(150), Just(3_000)].prop_map(How::Nap),
        1 => Just(How::Panic),
        1 => Just(How::LatePanic(150)),
        1 => Just(How::Fail),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let brief = || prop_oneof![Just(1_u64), Just(25), Just(500)];
    let way = prop_oneof![
        5 => Just(Way::Tell),
        1 => Just(Way::TryTell),
        3 => Just(Way::Ask),
        1 => brief().prop_map(Way::AskBriefly),
        1 => brief().prop_map(Way::TellBriefly),
    ];
    let pause = prop_oneof![12 => Just(0_u64), 2 => Just(10), 1 => Just(2_000), 1 => Just(6_000)];
    let key = prop_oneof![2 => Just(0), 3 => 0..KEYS];
    (key, any::<bool>(), way, how(), pause).prop_map(|(key, is_held, way, how, pause_ms)| Step {
        key,
        is_held,
        way,
        how,
        pause_ms,
    })
}

fn chaos() -> impl Strategy<Value = Chaos> {
    prop_oneof![
        4 => (0..KEYS).prop_map(Chaos::Passivate),
        2 => (0..KEYS).prop_map(Chaos::Kill),
        1 => Just(Chaos::KillHub),
        1 => (0..KEYS).prop_map(Chaos::Crash),
        1 => (0..KEYS, prop_oneof![Just(30_u64), Just(700)]).prop_map(|(key, ms)| Chaos::Delay(key, ms)),
        1 => (0..KEYS, 1..3_usize).prop_map(|(key, count)| Chaos::Lose(key, count)),
        1 => (0..KEYS).prop_map(Chaos::Heal),
        1 => (1..3_u32).prop_map(Chaos::Refuse),
        1 => Just(Chaos::PanicInActivation),
        1 => (1..3_u32).prop_map(Chaos::BadStart),
        6 => prop_oneof![Just(5_u64), Just(100), Just(1_000), Just(7_000)].prop_map(Chaos::Pass),
    ]
}

proptest! {
    #![proptest_config(super::config(192))]

    #[test]
    fn each_message_to_a_virtual_actor_is_handled_once_or_somebody_says_not(
        max_active in prop_oneof![Just(1_usize), Just(2), Just(10)],
        senders in prop::collection::vec(prop::collection::vec(step(), 1..25), 1..4),
        script in prop::collection::vec(chaos(), 0..30),
    ) {
        quiet_panics();
        testkit::run(13, |system| run(system, max_active, senders, script))?;
    }
}
