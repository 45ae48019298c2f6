//! A pool under random kills and resizes.

use std::collections::BTreeMap;

use beluga_runtime::testkit::{self, kill, quiet_panics};
use beluga_runtime::{Intensity, Lane, Overflow, System};
use proptest::prelude::*;

use super::*;
use crate::fixture::GRACE;

#[derive(Debug, Clone)]
enum Step {
    Ask(u64, u64),
    Poison,
    Kill(usize),
    KillPool,
    Resize(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..4_u64, 0..60_u64).prop_map(|(key, ms)| Step::Ask(key, ms)),
        1 => Just(Step::Poison),
        2 => (1..6_usize).prop_map(Step::Kill),
        1 => Just(Step::KillPool),
        2 => (1..6_usize).prop_map(Step::Resize),
        4 => (0..80_u64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..60)
}

fn routing() -> impl Strategy<Value = Routing> {
    prop_oneof![Just(Routing::Queuer), Just(Routing::RoundRobin), Just(Routing::Sticky), Just(Routing::KeyPersistent),]
}

async fn play(system: System, routing: Routing, steps: Vec<Step>) -> Result<(), String> {
    let journal = Journal::default();
    // Enough restarts for every fault, so that no gate refuses a call.
    let template = template(&journal).intensity(Intensity { max_restarts: 100, window: Duration::from_secs(60) });
    let spec = PoolSpec::new("pool", 3, template)
        .routing(routing)
        .key_of::<Work>(|work| work.key.map(|key| PoolKey::of(&key)))
        .lane(Lane::Normal, 4, Overflow::Wait);
    let supervisor = system.spawn_with(patient()).await.unwrap();
    let pool = system.spawn_pool_under(&supervisor.address().unwrap(), spec.kept()).await.unwrap();
    let (mut asked, mut pool_kills) = (Vec::new(), 0);
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Ask(key, ms) => asked.push(ask(&pool, keyed(n.to_string(), key, ms)).await),
            Step::Poison => {
                drop(pool.try_tell(Poison));
                settle().await;
            }
            Step::Kill(worker) => drop(kill(&system, &format!("boss/pool/{worker}"))),
            // The pool's own restarts are bounded, and its gate would refuse calls.
            Step::KillPool if pool_kills < 4 => pool_kills += usize::from(kill(&system, "boss/pool")),
            Step::KillPool => {}
            // A pool that is just being built anew refuses; what is lost counts, not the size.
            Step::Resize(workers) => drop(pool.resize(workers).await),
            Step::Pass(ms) => pass(ms).await,
        }
    }
    let total = asked.len();
    let mut by_code: BTreeMap<Code, usize> = BTreeMap::new();
    for asking in asked {
        if let Err(error) = answer(asking).await {
            *by_code.entry(error.code()).or_default() += 1;
        }
    }
    pool.drain();
    pool.address().unwrap().gone().await;
    let letters = system.dead_letters().recent();
    system.shutdown(GRACE).await.unwrap();
    let named = letters.iter().filter(|letter| letter.message == "pool.work").count();
    // A kill loses what is in hand; a killed pool stops its workers, whose handlers answer that.
    let killed = by_code.remove(&Code::UnknownOutcome).unwrap_or_default();
    let stopped = by_code.remove(&Code::Cancelled).unwrap_or_default();
    let ends = journal.read().iter().filter(|note| note.contains(" ends ")).count();
    if !by_code.is_empty() {
        return Err(format!("calls were neither answered nor in hand: {by_code:?}"));
    }
    if killed != named || stopped > pool_kills * HANDS_MAX || ends + killed + stopped != total {
        return Err(format!("{total} asked, {ends} done, {killed} killed, {named} named, {stopped} stopped"));
    }
    Ok(())
}

/// The most workers with something in hand: those of the largest pool, and those that still leave.
const HANDS_MAX: usize = 10;

fn patient() -> Spec<beluga_runtime::Silent> {
    struct Boss;
    impl Actor for Boss {
        type Protocol = beluga_runtime::Silent;
        const KIND: &'static str = "boss";
    }
    Spec::new("boss", || Boss)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn under_kills_and_resizes_only_what_is_in_hand_is_lost(
        routing in routing(), steps in steps(), seed in any::<u64>()
    ) {
        quiet_panics();
        let outcome = testkit::run(seed, |system| play(system, routing, steps));
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}
