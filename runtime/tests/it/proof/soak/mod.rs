//! Everything at once, at random, for as long as one likes; and at the end nothing is left.
//!
//! Several drivers do drawn operations in rounds on two real threads. After each round everybody comes to rest: all work
//! done, all actors up, all keys passive, every place and permit free; and what is held then is compared. At the end the
//! system is shut down, and no task, value, name, ask or permit is left. No time is asserted, only ends and counts.
//!
//! `BELUGA_SOAK_SECONDS` makes it long and `BELUGA_SOAK_SEED` another one: see `scripts/soak`.

mod actors;
mod driver;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use beluga_runtime::testkit::{clear_shelf, quiet_panics};
use beluga_runtime::{
    Backoff, BreakerState, FamilyOptions, Intensity, Lane, Overflow, PoolSpec, Spec, Strategy, System, SystemRandom,
    task, time,
};
use futures_util::future::join_all;

use self::actors::{BREAKER, Do, How, PLACES, Shared, Worker, WorkerProtocol, Workers};
use self::driver::{Driver, KINDS};
use super::counted::{count_this_thread, held_bytes};
use crate::fixture::GRACE;

const SEED: u64 = 1;
const WORKERS: usize = 2;
const DRIVERS: usize = 16;
const STEPS: u64 = 150;
/// The rounds there are at least; what is held after the first third of all is compared with what is held later.
const ROUNDS_MIN: usize = 9;
/// How often everybody is looked at before it is said that they do not come to rest; each look comes 2 ms after the last.
const LOOKS: usize = 20_000;
/// How many tasks of ended actors a system keeps for the next ones at most.
const TASKS_KEPT: usize = 16;
/// By how much what is held may differ: a few tables that happen to be larger.
const SLACK_BYTES: isize = 32 * 1024;

/// Reads a number from the environment, which is how the script asks for more.
#[allow(clippy::disallowed_methods)]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn after_a_soak_nothing_is_left() {
    quiet_panics();
    count_this_thread();
    let seed = asked("BELUGA_SOAK_SEED").unwrap_or(SEED);
    let least = Duration::from_secs(asked("BELUGA_SOAK_SECONDS").unwrap_or(0));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .on_thread_start(count_this_thread)
        .build()
        .unwrap();
    runtime.block_on(soak(seed, least));
}

async fn soak(seed: u64, least: Duration) {
    let system = System::builder("soak").seed(seed).dead_letter_capacity(64).build().unwrap();
    let driver = populate(&system).await;
    let lasting: BTreeSet<Arc<str>> = system.names().into_iter().collect();
    let started = time::now();
    let mut held = Vec::new();
    while held.len() < ROUNDS_MIN || time::now() - started < least {
        let drivers = (0..DRIVERS).map(|_| task::spawn("driver", drive(driver.clone())));
        join_all(drivers).await.into_iter().for_each(|driven| driven.unwrap());
        fill(&driver).await;
        rest(&driver, &lasting).await;
        clear_shelves().await;
        held.push(held_bytes());
    }
    let handled = driver.shared.handled.load(Ordering::Relaxed);
    let restarts: u64 = system.census().unwrap().actors.values().map(|kind| kind.restarts).sum();
    let (rounds, letters) = (held.len(), system.dead_letters().total());
    println!("seed {seed}: {rounds} rounds, {handled} handled, {restarts} restarts, {letters} dead letters");
    println!("bytes held at rest: first {}, warm {}, last {}", held[0], held[rounds / 3], held[rounds - 1]);
    compare(&held);
    end(driver, &system).await;
}

async fn drive(driver: Driver) {
    let driver = Driver { random: driver.random.fork(), ..driver };
    for _ in 0..STEPS {
        driver.step(driver.random.below(KINDS)).await;
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn populate(system: &System) -> Driver {
    let shared = Shared::new();
    let (mut workers, mut branches) = (Vec::new(), Vec::new());
    let sturdy = |spec: Spec<WorkerProtocol>| {
        spec.intensity(Intensity { max_restarts: 1_000, window: Duration::from_millis(100) })
            .backoff(Backoff { initial: Duration::ZERO, ..Backoff::default() })
    };
    let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
    for (branch, strategy) in strategies.into_iter().enumerate() {
        let spec = sturdy(Worker::spec(format!("branch-{branch}"), &shared)).strategy(strategy);
        let address = system.spawn_with(spec).await.unwrap().address().unwrap();
        for name in ["a", "b", "c"] {
            let spec = Worker::spec(name, &shared).breaker(BREAKER).kept().lane(Lane::Normal, 16, Overflow::Wait);
            workers.push(system.spawn_under(&address, spec).await.unwrap());
        }
        branches.push(address);
    }
    let pool = PoolSpec::new("pool", 3, Worker::spec("worker", &shared)).breaker(BREAKER);
    let pool = system.spawn_pool(pool).await.unwrap();
    let hub = system.spawn_with(sturdy(Worker::spec("hub", &shared))).await.unwrap().address().unwrap();
    let options = FamilyOptions { idle_after: Duration::from_millis(20), max_active: 6 };
    let family = system.family("entity", options);
    let activator = Arc::new(Workers { hub, shared: Arc::clone(&shared) });
    let random = SystemRandom::seeded(system.random().seed());
    Driver { system: system.clone(), shared, workers, branches, pool, family, activator, random }
}

/// Has as many actors at once as the system keeps tasks for, so that it keeps the same number at every rest.
async fn fill(driver: &Driver) {
    let mut actors = Vec::new();
    for number in 0..TASKS_KEPT {
        actors.push(driver.system.spawn_with(Worker::spec(format!("full-{number}"), &driver.shared)).await.unwrap());
    }
    actors.iter().for_each(beluga_runtime::Ref::stop);
}

/// Lets every worker give back the boxes it keeps for messages: all of them are here at once, so each is another thread.
async fn clear_shelves() {
    let all_here = Arc::new(Barrier::new(WORKERS));
    let clears = (0..WORKERS).map(|_| {
        let all_here = Arc::clone(&all_here);
        task::spawn("clearer", async move {
            all_here.wait();
            clear_shelf();
        })
    });
    let clears: Vec<_> = clears.collect();
    join_all(clears).await.into_iter().for_each(|cleared| cleared.unwrap());
    clear_shelf();
}

/// Waits until everybody rests.
async fn rest(driver: &Driver, lasting: &BTreeSet<Arc<str>>) {
    for key in driver.family.active() {
        // One that has served nobody yet would stay for a second.
        drop(driver.entity(&key).try_tell(Do(How::Work)));
    }
    let mut why = String::new();
    for _ in 0..LOOKS {
        match unrest(driver, lasting) {
            None => return,
            Some(found) => why = found,
        }
        time::sleep(Duration::from_millis(2)).await;
    }
    panic!("they do not come to rest: {why}");
}

/// Returns who does not rest, and why.
fn unrest(driver: &Driver, lasting: &BTreeSet<Arc<str>>) -> Option<String> {
    let names: BTreeSet<Arc<str>> = driver.system.names().into_iter().collect();
    if names != *lasting {
        return Some(format!("{:?}", names.symmetric_difference(lasting).collect::<Vec<_>>()));
    }
    let census = driver.system.census().unwrap();
    if !census.jobs.is_empty() || !census.gated.is_empty() {
        return Some(format!("jobs {:?}, gated {:?}", census.jobs, census.gated));
    }
    let tree = driver.system.snapshot().unwrap();
    let mut busy = None;
    tree.visit(&mut |node| {
        let lanes = node.lanes;
        let waiting = lanes.control + lanes.interrupt + lanes.normal + lanes.bulk;
        if node.state != beluga_runtime::Phase::Running || waiting > 0 || node.handler_age_ms.is_some() {
            busy =
                Some(format!("{} is {:?}, {waiting} wait, {:?} in hand", node.name, node.state, node.handler_age_ms));
        }
    });
    if busy.is_some() {
        return busy;
    }
    let asks = driver.system.asks();
    if !asks.is_empty() || !driver.family.is_empty() {
        return Some(format!("asks {asks:?}, active {:?}", driver.family.active()));
    }
    // One each, one of the root, the one that wakes late asks, the one that lets virtual actors leave, and those that are
    // kept for the next actors.
    if tasks() > lasting.len() + 3 + TASKS_KEPT {
        return Some(format!("{} tasks for {} actors", tasks(), lasting.len()));
    }
    let places = &driver.shared.places;
    if places.free() != PLACES || places.waiting() != 0 {
        return Some(format!("{places:?}"));
    }
    let living = driver.shared.living.load(Ordering::Relaxed);
    // The pool is an actor too, but no worker.
    if usize::try_from(living).unwrap() != lasting.len() - 1 {
        return Some(format!("{living} values for {} names", lasting.len() - 1));
    }
    None
}

/// What is held later is no more than what was held when all was warm.
fn compare(held: &[isize]) {
    let (warm, later) = held.split_at(held.len() / 3);
    let most = |held: &[isize]| held.iter().copied().max().unwrap();
    let (warm, later) = (most(warm), most(later));
    assert!(later <= warm + SLACK_BYTES, "{warm} bytes were held when warm, {later} later");
}

async fn end(driver: Driver, system: &System) {
    let shared = Arc::clone(&driver.shared);
    let breakers = std::mem::take(&mut *shared.breakers.lock());
    for breaker in breakers {
        // A permit that was lost would hold a probe's place for ever.
        let mut looks = 0;
        while breaker.state() == BreakerState::Open && looks < LOOKS {
            looks += 1;
            time::sleep(Duration::from_millis(2)).await;
        }
        for _ in 0..BREAKER.half_open_max {
            breaker.try_acquire().unwrap().success();
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "{breaker:?}");
    }
    system.shutdown(GRACE).await.unwrap();
    assert!(system.names().is_empty(), "{:?}", system.names());
    assert_eq!(system.asks(), []);
    assert_eq!(shared.living.load(Ordering::Relaxed), 0, "values are left");
    assert_eq!((shared.places.free(), shared.places.waiting()), (PLACES, 0));
    // The task of a family ends with its last handle, and those that have nothing left to do are about to end.
    drop(driver);
    let mut looks = 0;
    while tasks() > 0 && looks < LOOKS {
        looks += 1;
        time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(tasks(), 0, "tasks are left");
}
