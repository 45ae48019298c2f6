//! What keeps a system from going on: stuck handlers, blocked threads, deadlocks.

use std::sync::mpsc;
use std::time::Duration;

use beluga_core::Result;
use beluga_runtime::{
    Actor, Cx, Handler, Message, Ref, Spec, System, TROUBLES_LISTED_MAX, Troubles, WatchdogSettings, protocol, task,
    testkit, time,
};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::fixture::{Counter, CounterProtocol, GRACE, Wait, Work, settle};

/// The limit of a system nobody gave one.
const STUCK_AFTER: Duration = beluga_runtime::STUCK_AFTER;
const SECOND: Duration = Duration::from_secs(1);

/// Lets a counter await in its handler.
async fn keep(counter: &Ref<CounterProtocol>, length: Duration) {
    counter.tell(Wait(length)).await.unwrap();
    settle().await;
}

fn stuck(system: &System) -> Vec<String> {
    system.troubles().stuck.iter().map(|stuck| stuck.actor.to_string()).collect()
}

#[test]
fn a_handler_is_stuck_once_it_has_awaited_for_its_limit_and_until_it_ends() {
    testkit::run(3, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        keep(&counter, STUCK_AFTER * 2).await;
        time::sleep(STUCK_AFTER - SECOND).await;
        assert!(system.troubles().is_empty());
        time::sleep(SECOND * 2).await;
        let troubles = system.troubles();
        let seen = &troubles.stuck[0];
        assert_eq!((&*seen.actor, seen.kind, seen.message), ("counter", "counter", Some("counter.wait")));
        assert_eq!((seen.age, troubles.counts().stuck), (STUCK_AFTER + SECOND, 1));
        let shown = serde_json::to_value(&troubles).unwrap();
        let stuck = json!([{ "actor": "counter", "kind": "counter", "message": "counter.wait", "age_ms": 31_000 }]);
        assert_eq!((&shown["stuck"], &shown["by_kind"]["counter"]["stuck"]), (&stuck, &json!(1)));
        time::sleep(STUCK_AFTER).await;
        assert!(system.troubles().is_empty(), "it ended");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_actor_has_its_own_limit_or_none() {
    testkit::run(3, |system| async move {
        let named = |name: &str| Spec::new(name, Counter::default);
        let quick = system.spawn_with(named("quick").stuck_after(SECOND)).await.unwrap();
        let slow = system.spawn_with(named("slow").stuck_after(STUCK_AFTER * 3)).await.unwrap();
        let endless = system.spawn_with(named("endless").stuck_after(None)).await.unwrap();
        for counter in [&quick, &slow, &endless] {
            keep(counter, STUCK_AFTER * 100).await;
        }
        time::sleep(SECOND * 2).await;
        assert_eq!(stuck(&system), ["quick"]);
        time::sleep(STUCK_AFTER).await;
        assert_eq!(stuck(&system), ["quick"]);
        time::sleep(STUCK_AFTER * 90).await;
        assert_eq!(stuck(&system), ["quick", "slow"], "the oldest first");
        drop(system.shutdown(GRACE).await);
    });
}

#[test]
fn a_paused_actor_and_a_job_that_awaits_are_not_stuck() {
    testkit::run(3, |system| async move {
        let paused = system.spawn("paused", Counter::default).await.unwrap();
        let busy = system.spawn("busy", Counter::default).await.unwrap();
        keep(&paused, STUCK_AFTER * 3).await;
        let work = task::spawn("test", busy.ask(Work(STUCK_AFTER * 3)).within(STUCK_AFTER * 4));
        settle().await;
        assert!(testkit::pause(&system, "paused"));
        time::sleep(STUCK_AFTER * 2).await;
        assert!(system.troubles().is_empty());
        assert!(testkit::resume(&system, "paused"));
        assert_eq!(stuck(&system), ["paused"], "it is stuck since it began to wait");
        work.await.unwrap().unwrap();
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn of_many_stuck_handlers_the_oldest_are_listed_and_all_are_counted() {
    testkit::run(3, |system| async move {
        let more = 5;
        for index in 0..TROUBLES_LISTED_MAX + more {
            let counter = system.spawn(format!("counter-{index}"), Counter::default).await.unwrap();
            keep(&counter, STUCK_AFTER * 10).await;
            time::sleep(Duration::from_millis(1)).await;
        }
        time::sleep(STUCK_AFTER).await;
        let troubles = system.troubles();
        assert_eq!((troubles.stuck.len(), troubles.left_out.stuck), (TROUBLES_LISTED_MAX, more));
        assert_eq!(troubles.by_kind["counter"].stuck, TROUBLES_LISTED_MAX + more);
        assert_eq!(&*troubles.stuck[0].actor, "counter-0");
        drop(system.shutdown(GRACE).await);
    });
}

/// Asks a counter, or itself, from inside the handler.
#[derive(Message)]
#[message(name = "asker.ask", reply = ())]
struct AskBack(Vec<Ref<AskerProtocol>>);

protocol!(AskerProtocol: AskBack);

struct Asker;

impl Actor for Asker {
    type Protocol = AskerProtocol;
    const KIND: &'static str = "asker";
}

impl Handler<AskBack> for Asker {
    async fn handle(&mut self, AskBack(mut path): AskBack, cx: &mut Cx<Self>) -> Result<()> {
        let Some(next) = path.pop() else { return Ok(()) };
        next.ask(AskBack(path)).with_context(cx.context()).await
    }
}

#[test]
fn a_circle_of_handlers_is_a_trouble_until_its_asks_end() {
    testkit::run(3, |system| async move {
        let left = system.spawn("left", || Asker).await.unwrap();
        let right = system.spawn("right", || Asker).await.unwrap();
        let asks = left.ask(AskBack(vec![left.clone(), right.clone()])).within(SECOND * 5);
        let asking = task::spawn("test", asks);
        settle().await;
        let troubles = system.troubles();
        let names: Vec<_> = troubles.deadlocks[0].asks.iter().map(|ask| &*ask.to).collect();
        assert_eq!((names, troubles.counts().deadlocks), (vec!["right", "left"], 1));
        asking.await.unwrap().unwrap_err();
        settle().await;
        assert!(system.troubles().is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}

/// Blocks its thread until the test lets go.
#[derive(Message)]
#[message(name = "blocker.block", reply = ())]
struct Block(mpsc::Receiver<()>);

/// Blocks a thread in a job.
#[derive(Message)]
#[message(name = "blocker.block_in_job", reply = ())]
struct BlockInJob(mpsc::Receiver<()>);

protocol!(BlockerProtocol: Block, BlockInJob);

struct Blocker;

impl Actor for Blocker {
    type Protocol = BlockerProtocol;
    const KIND: &'static str = "blocker";
}

impl Handler<Block> for Blocker {
    async fn handle(&mut self, Block(release): Block, _cx: &mut Cx<Self>) -> Result<()> {
        let _ended = release.recv();
        Ok(())
    }
}

impl Handler<BlockInJob> for Blocker {
    async fn handle(&mut self, BlockInJob(release): BlockInJob, cx: &mut Cx<Self>) -> Result<()> {
        let context = cx.context().clone();
        drop(cx.job("blocking", "blocking", &context, move |_| async move {
            let _ended = release.recv();
            Ok(())
        }));
        Ok(())
    }
}

/// Real time: a blocked thread is seen from outside of the runtime.
const PATIENCE: Duration = Duration::from_secs(120);
const STEP: Duration = Duration::from_millis(5);
const SETTINGS: WatchdogSettings = WatchdogSettings {
    period: Some(Duration::from_millis(5)),
    stuck_after: Duration::from_secs(3600),
    blocked_after: Duration::from_millis(200),
};

/// One worker, which a test blocks: the test itself runs on its own thread.
fn one_worker() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn built(runtime: &Runtime, name: &str, settings: WatchdogSettings) -> (System, Ref<BlockerProtocol>) {
    runtime.block_on(async {
        let system = System::builder(name).watchdog(settings).build().unwrap();
        let blocker = system.spawn("blocker", || Blocker).await.unwrap();
        (system, blocker)
    })
}

/// Looks again and again until the troubles are as expected.
fn until(system: &System, expected: impl Fn(&Troubles) -> bool) -> Troubles {
    let (_open, never) = mpsc::channel::<()>();
    let end = time::now() + PATIENCE;
    loop {
        let troubles = system.troubles();
        if expected(&troubles) {
            return troubles;
        }
        assert!(time::now() < end, "{troubles:?}");
        never.recv_timeout(STEP).unwrap_err();
    }
}

/// Returns whether the blocker keeps a thread. On a busy machine any poll may take long.
fn keeps_thread(troubles: &Troubles, in_job: bool) -> bool {
    troubles.blocked.iter().any(|blocked| &*blocked.actor == "blocker" && blocked.is_job == in_job)
}

/// Real time, see [`PATIENCE`].
#[test]
fn a_handler_that_blocks_its_thread_shows_until_it_goes_on() {
    let runtime = one_worker();
    let (system, blocker) = built(&runtime, "test", SETTINGS);
    let (release, released) = mpsc::channel();
    runtime.block_on(blocker.tell(Block(released))).unwrap();
    let troubles = until(&system, |troubles| keeps_thread(troubles, false));
    let seen = &troubles.blocked[0];
    assert_eq!((&*seen.actor, seen.kind, seen.is_job), ("blocker", "blocker", false));
    assert!(seen.thread.contains('#') && seen.age >= SETTINGS.blocked_after, "{seen:?}");
    assert_eq!((troubles.blocked.len(), troubles.by_kind["blocker"].blocked), (1, 1));
    release.send(()).unwrap();
    until(&system, Troubles::is_empty);
    runtime.block_on(system.shutdown(GRACE)).unwrap();
}

/// Real time, see [`PATIENCE`].
#[test]
fn a_job_that_blocks_its_thread_shows_as_a_job_without_a_watchdog_thread_too() {
    let runtime = one_worker();
    let (system, blocker) = built(&runtime, "test", WatchdogSettings { period: None, ..SETTINGS });
    let (release, released) = mpsc::channel();
    runtime.block_on(blocker.tell(BlockInJob(released))).unwrap();
    until(&system, |troubles| keeps_thread(troubles, true));
    drop(release);
    until(&system, Troubles::is_empty);
    runtime.block_on(system.shutdown(GRACE)).unwrap();
}

/// Real time, see [`PATIENCE`].
#[test]
fn two_systems_on_one_thread_know_their_own_troubles_only() {
    let runtime = one_worker();
    let (one, blocker) = built(&runtime, "one", SETTINGS);
    let (two, other) = built(&runtime, "two", SETTINGS);
    for (blocked, calm, blocker) in [(&one, &two, &blocker), (&two, &one, &other), (&one, &two, &blocker)] {
        let (release, released) = mpsc::channel();
        runtime.block_on(blocker.tell(Block(released))).unwrap();
        until(blocked, |troubles| keeps_thread(troubles, false));
        assert!(calm.troubles().is_empty());
        drop(release);
        until(blocked, Troubles::is_empty);
    }
    runtime.block_on(one.shutdown(GRACE)).unwrap();
    runtime.block_on(two.shutdown(GRACE)).unwrap();
}
