//! Restarts, strategies, intensity, gates, order.

use std::time::Duration;

use beluga_core::{Code, Retry};
use beluga_runtime::testkit::{self, kill, quiet_panics};
use beluga_runtime::{
    Backoff, BreakerConfig, BreakerState, Intensity, OnExhausted, Phase, Restart, Spec, Strategy, System, time,
};

use crate::fixture::*;

const STEADY: Backoff =
    Backoff { initial: Duration::from_secs(1), factor: 2.0, max: Duration::from_secs(30), jitter: 0.0 };

async fn family(system: &System, strategy: Strategy) -> Journal {
    let journal = Journal::default();
    let parent = system.spawn_with(named("parent", &Journal::default()).strategy(strategy)).await.unwrap();
    for name in ["a", "b", "c"] {
        system.spawn_under(&parent.address().unwrap(), named(name, &journal)).await.unwrap();
    }
    journal.clear();
    assert!(kill(system, "parent/b"));
    settle().await;
    journal
}

#[test]
fn one_for_one_rebuilds_the_failed_child_only() {
    testkit::run(5, |system| async move {
        let journal = family(&system, Strategy::OneForOne).await;
        assert_eq!(journal.read(), ["b dropped", "b built"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn one_for_all_stops_in_reverse_order_and_starts_in_order() {
    testkit::run(5, |system| async move {
        let journal = family(&system, Strategy::OneForAll).await;
        let expected =
            ["b dropped", "c stopping", "c dropped", "a stopping", "a dropped", "a built", "b built", "c built"];
        assert_eq!(journal.read(), expected);
        let tree = system.snapshot().unwrap();
        assert!(
            ["parent/a", "parent/b", "parent/c"].iter().all(|name| tree.find(name).unwrap().state == Phase::Running)
        );
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn rest_for_one_takes_the_younger_ones_along() {
    testkit::run(5, |system| async move {
        let journal = family(&system, Strategy::RestForOne).await;
        assert_eq!(journal.read(), ["b dropped", "c stopping", "c dropped", "b built", "c built"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_temporary_child_goes_with_its_group_and_does_not_come_back() {
    testkit::run(5, |system| async move {
        for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
            let journal = Journal::default();
            let parent = system.spawn_with(named("parent", &Journal::default()).strategy(strategy)).await.unwrap();
            let address = parent.address().unwrap();
            for (name, restart) in [("a", Restart::Permanent), ("b", Restart::Temporary), ("c", Restart::Permanent)] {
                system.spawn_under(&address, named(name, &journal).restart(restart)).await.unwrap();
            }
            journal.clear();
            assert!(kill(&system, "parent/a"));
            settle().await;
            let expected = ["a dropped", "c stopping", "c dropped", "b stopping", "b dropped", "a built", "c built"];
            assert_eq!(journal.read(), expected, "{strategy:?}");
            assert!(system.find("parent/b").is_none());
            system.spawn_under(&address, named("b", &journal).restart(Restart::Temporary).kept()).await.unwrap();
            assert!(kill(&system, "parent"));
            settle().await;
            assert!(system.find("parent/b").is_none(), "nor with its parent");
            parent.stop();
            address.gone().await;
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_parent_that_drains_still_rebuilds_its_children() {
    testkit::run(5, |system| async move {
        for strategy in [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne] {
            let journal = Journal::default();
            let spec = named("parent", &journal).strategy(strategy).stop_grace(Duration::from_secs(60));
            let parent = system.spawn_with(spec).await.unwrap();
            let address = parent.address().unwrap();
            let mut children = Vec::new();
            for name in ["a", "b"] {
                children.push(system.spawn_under(&address, named(name, &journal).backoff(STEADY)).await.unwrap());
            }
            parent.tell(Wait(Duration::from_secs(30))).await.unwrap();
            settle().await;
            parent.drain();
            // The first restart comes at once, the second after a back-off.
            for _ in 0..2 {
                assert!(kill(&system, "parent/a"));
                for child in &children {
                    let answer = child.ask(Total).within(Duration::from_secs(5)).await;
                    assert_eq!(answer.unwrap(), 0, "{strategy:?}: what it accepted may need {child:?}");
                }
            }
            address.gone().await;
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn stop_order_is_the_reverse_of_start_order() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        for top in ["one", "two"] {
            let parent = system.spawn_with(named(top, &journal)).await.unwrap();
            for name in ["x", "y"] {
                let spec = named_as(name, &format!("{top}/{name}"), &journal);
                system.spawn_under(&parent.address().unwrap(), spec).await.unwrap();
            }
        }
        journal.clear();
        system.shutdown(GRACE).await.unwrap();
        let dropped: Vec<String> = journal.read().into_iter().filter(|note| note.ends_with("dropped")).collect();
        assert_eq!(dropped, ["two/y", "two/x", "two", "one/y", "one/x", "one"].map(|name| format!("{name} dropped")));
    });
}

#[test]
fn a_shutdown_waits_as_long_as_its_grace_for_those_who_stop_in_order() {
    testkit::run(5, |system| async move {
        let parent = system.spawn("parent", Counter::default).await.unwrap();
        for n in 0..10 {
            // Each takes its time with what it has in hand, and keeps within its own grace.
            let spec = Spec::new(format!("child-{n}"), Counter::default).stop_grace(Duration::from_secs(5));
            let child = system.spawn_under(&parent.address().unwrap(), spec).await.unwrap();
            child.tell(Wait(Duration::from_secs(55))).await.unwrap();
        }
        time::sleep(Duration::from_secs(1)).await;
        let before = time::now();
        system.shutdown(Duration::from_secs(120)).await.unwrap();
        assert!(time::now() - before > Duration::from_secs(30));
    });
}

#[test]
fn child_kinds_decide_who_comes_back() {
    quiet_panics();
    testkit::run(5, |system| async move {
        let cases =
            [(Restart::Permanent, true, true), (Restart::Transient, false, true), (Restart::Temporary, false, false)];
        for (restart, after_leaving, after_failing) in cases {
            for (expected, fails) in [(after_leaving, false), (after_failing, true)] {
                let spec = Spec::new("kind", Counter::default).restart(restart);
                let counter = system.spawn_with(spec).await.unwrap();
                if fails {
                    counter.ask(GiveUp).await.unwrap();
                } else {
                    counter.ask(Leave).await.unwrap();
                }
                settle().await;
                assert_eq!(!counter.is_gone(), expected, "{restart:?}, fails: {fails}");
                counter.stop();
                counter.address().unwrap().gone().await;
            }
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn the_first_restart_of_a_window_does_not_wait_and_the_next_ones_back_off() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let spec = named("counter", &journal)
            .backoff(STEADY)
            .intensity(Intensity { max_restarts: 10, window: Duration::from_secs(60) });
        let counter = system.spawn_with(spec).await.unwrap();
        let mut waits = Vec::new();
        for _ in 0..4 {
            let before = time::now();
            counter.ask(GiveUp).await.unwrap();
            counter.ask(Total).await.unwrap();
            waits.push((time::now() - before).as_secs());
        }
        assert_eq!(waits, [0, 1, 2, 4]);
        time::sleep(Duration::from_secs(61)).await;
        let before = time::now();
        counter.ask(GiveUp).await.unwrap();
        counter.ask(Total).await.unwrap();
        assert_eq!(time::now(), before, "a new window begins without a wait");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn intensity_used_up_opens_the_gate() {
    testkit::run(5, |system| async move {
        let spec = Spec::new("counter", Counter::default)
            .backoff(Backoff { initial: Duration::ZERO, ..STEADY })
            .intensity(Intensity { max_restarts: 2, window: Duration::from_secs(60) })
            .on_exhausted(OnExhausted::OpenGate { reset_after: Duration::from_secs(30) });
        let counter = system.spawn_with(spec).await.unwrap();
        for _ in 0..3 {
            counter.ask(GiveUp).await.unwrap();
            settle().await;
        }
        let refused = counter.ask(Total).await.unwrap_err();
        assert_eq!((refused.code(), refused.retry()), (Code::Unavailable, Retry::After(Duration::from_secs(30))));
        assert_eq!(system.snapshot().unwrap().find("counter").unwrap().state, Phase::Gated);
        time::sleep(Duration::from_secs(31)).await;
        assert_eq!(counter.ask(Total).await.unwrap(), 0, "one try was made, and it works");
        counter.ask(GiveUp).await.unwrap();
        settle().await;
        assert_eq!(
            counter.ask(Total).await.unwrap_err().code(),
            Code::Unavailable,
            "within the window one is too many"
        );
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn intensity_used_up_escalates() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let parent = system.spawn_with(named("parent", &journal)).await.unwrap();
        let spec = named("child", &journal)
            .intensity(Intensity { max_restarts: 0, window: Duration::from_secs(60) })
            .on_exhausted(OnExhausted::Escalate);
        let child = system.spawn_under(&parent.address().unwrap(), spec).await.unwrap();
        child.tell(GiveUp).await.unwrap();
        settle().await;
        assert!(child.is_gone());
        assert_eq!(journal.read(), ["parent built", "child built", "child dropped", "parent dropped", "parent built"]);
        assert_eq!(parent.ask(Total).await.unwrap(), 0, "the parent was rebuilt by its own supervisor");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_child_that_cannot_start_is_the_spawners_error() {
    testkit::run(5, |system| async move {
        let error = system.spawn("lame", || Lame { starts: false }).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Config, "no legs"));
        assert!(system.find("lame").is_none());
        let spec = Spec::new("slow", || Slow).start_timeout(Duration::from_secs(2));
        let before = time::now();
        assert_eq!(system.spawn_with(spec).await.unwrap_err().code(), Code::Timeout);
        assert_eq!(time::now() - before, Duration::from_secs(2));
        system.spawn("lame", || Lame { starts: true }).await.unwrap();
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_spawn_that_is_given_up_leaves_no_actor_behind() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let spec = Spec::new("late", move || Late { after: Duration::from_secs(1), journal: own.clone() });
        let given_up = time::timeout(Duration::from_millis(500), system.spawn_with(spec)).await;
        assert!(given_up.is_err(), "it had not started yet");
        let taken = system.spawn("late", Counter::default).await;
        assert_eq!(taken.unwrap_err().code(), Code::Conflict, "the value still lives under its name");
        time::sleep(Duration::from_secs(10)).await;
        assert_eq!(journal.read(), ["started", "dropped"]);
        system.spawn("late", Counter::default).await.unwrap();
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_parent_learns_of_the_exit_and_what_was_done() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let watcher = system.spawn("watcher", move || Watcher(own.clone())).await.unwrap();
        let child =
            system.spawn_under(&watcher.address().unwrap(), Spec::new("child", Counter::default)).await.unwrap();
        child.tell(GiveUp).await.unwrap();
        settle().await;
        child.stop();
        child.address().unwrap().gone().await;
        settle().await;
        let seen = journal.read();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen[0].contains("failed: internal: gave up") && seen[0].contains("Restart"), "{seen:?}");
        assert!(seen[1].contains("stopped") && seen[1].contains("Gone"), "{seen:?}");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn death_watch_tells_once_and_also_of_the_dead() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let watcher = system.spawn("watcher", move || Watcher(own.clone())).await.unwrap();
        let address = counter.address().unwrap();
        watcher.ask(Watch(address.clone())).await.unwrap();
        counter.tell(GiveUp).await.unwrap();
        settle().await;
        assert!(journal.read().is_empty(), "a restart is no end");
        counter.stop();
        address.gone().await;
        settle().await;
        assert_eq!(journal.read(), ["counter gone"]);
        watcher.ask(Watch(address)).await.unwrap();
        settle().await;
        assert_eq!(journal.read(), ["counter gone", "counter gone"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_breaker_of_the_slot_survives_restarts_and_half_open_admits_exactly_n() {
    testkit::run(5, |system| async move {
        let config = BreakerConfig { max_failures: 2, reset_timeout: Duration::from_secs(30), half_open_max: 3 };
        let spec = Spec::new("guarded", || Guarded).breaker(config);
        let guarded = system.spawn_with(spec).await.unwrap();
        for _ in 0..2 {
            guarded.ask(Try(Outcome::Fail)).await.unwrap();
        }
        assert!(kill(&system, "guarded"));
        settle().await;
        assert_eq!(guarded.ask(Try(Outcome::Hold)).await.unwrap_err().code(), Code::CircuitOpen);
        let node = system.snapshot().unwrap().find("guarded").unwrap().breaker.unwrap();
        assert_eq!(node.state, BreakerState::Open);
        time::sleep(Duration::from_secs(31)).await;
        let tries = (0..1000).map(|_| guarded.ask(Try(Outcome::Hold)).within(Duration::from_secs(5)));
        let outcomes = futures_util::future::join_all(tries).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
        assert!(
            outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| error.code() == Code::CircuitOpen)
        );
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_first_start_that_fails_is_tried_once_on_any_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let system = testkit::system("threads", 5);
        let built = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        for _ in 0..200 {
            let count = std::sync::Arc::clone(&built);
            let lame = move || {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Lame { starts: false }
            };
            assert_eq!(system.spawn("lame", lame).await.unwrap_err().code(), Code::Config);
        }
        assert_eq!(built.load(std::sync::atomic::Ordering::SeqCst), 200);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_gated_actor_can_be_stopped_and_answers_what_waits() {
    testkit::run(5, |system| async move {
        let spec = Spec::new("counter", Counter::default)
            .intensity(Intensity { max_restarts: 0, window: Duration::from_secs(60) });
        let counter = system.spawn_with(spec).await.unwrap();
        testkit::pause(&system, "counter");
        let waiting = beluga_runtime::task::spawn("test", counter.ask(Add(1)));
        settle().await;
        assert!(kill(&system, "counter"));
        settle().await;
        assert_eq!(system.snapshot().unwrap().find("counter").unwrap().state, Phase::Gated);
        assert_eq!(system.snapshot().unwrap().find("counter").unwrap().lanes.normal, 1, "what was accepted waits");
        counter.stop();
        counter.address().unwrap().gone().await;
        assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::NotSent);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_kept_child_outlives_its_parents_failures_on_the_same_ref() {
    quiet_panics();
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let parent = system.spawn_with(named("parent", &journal)).await.unwrap();
        let address = parent.address().unwrap();
        let kept = system.spawn_under(&address, named("kept", &journal).kept()).await.unwrap();
        let younger = system.spawn_under(&address, named("younger", &journal).kept()).await.unwrap();
        let lost = system.spawn_under(&address, named("lost", &journal)).await.unwrap();
        kept.ask(Add(1)).await.unwrap();
        journal.clear();

        assert!(kill(&system, "parent"));
        settle().await;
        assert_eq!(kept.ask(Add(4)).await.unwrap(), 4, "the ref is valid, the value is new");
        assert_eq!(younger.ask(Total).await.unwrap(), 0);
        assert!(lost.is_gone());
        let notes = journal.read();
        let ends: Vec<&str> = notes.iter().map(String::as_str).filter(|note| note.ends_with("dropped")).collect();
        assert_eq!(ends, ["parent dropped", "lost dropped", "younger dropped", "kept dropped"]);
        let builds: Vec<&str> = notes.iter().map(String::as_str).filter(|note| note.ends_with("built")).collect();
        assert_eq!(builds, ["parent built", "kept built", "younger built"]);

        parent.ask(GiveUp).await.unwrap();
        assert_eq!(kept.ask(Add(2)).await.unwrap(), 2);
        let tree = system.snapshot().unwrap();
        assert_eq!(tree.find("parent/kept").unwrap().restarts, 2);
        kept.stop();
        kept.address().unwrap().gone().await;
        assert!(kill(&system, "parent"));
        settle().await;
        assert!(system.find("parent/kept").is_none(), "what was stopped stays away");
        system.shutdown(GRACE).await.unwrap();
        assert!(system.names().is_empty());
    });
}

#[test]
fn a_kept_child_waits_behind_its_parents_gate_and_goes_with_its_parent_for_good() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let spec = named("parent", &journal)
            .intensity(Intensity { max_restarts: 0, window: Duration::from_secs(60) })
            .on_exhausted(OnExhausted::OpenGate { reset_after: Duration::from_secs(30) });
        let parent = system.spawn_with(spec).await.unwrap();
        let kept = system.spawn_under(&parent.address().unwrap(), named("kept", &journal).kept()).await.unwrap();
        assert!(kill(&system, "parent"));
        settle().await;
        let refused = kept.ask(Total).await.unwrap_err();
        assert_eq!((refused.code(), refused.retry()), (Code::Unavailable, Retry::After(Duration::from_secs(30))));
        time::sleep(Duration::from_secs(31)).await;
        assert_eq!(kept.ask(Total).await.unwrap(), 0);
        assert!(kill(&system, "parent"));
        settle().await;
        parent.stop();
        parent.address().unwrap().gone().await;
        assert!(kept.is_gone());
        assert_eq!(kept.ask(Total).await.unwrap_err().code(), Code::NotSent);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_child_that_escalates_is_rebuilt_with_its_parent_if_it_is_kept() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let parent = system.spawn_with(named("parent", &journal).strategy(Strategy::OneForAll)).await.unwrap();
        let address = parent.address().unwrap();
        let sibling = system.spawn_under(&address, named("sibling", &journal).kept()).await.unwrap();
        let spec = named("child", &journal)
            .intensity(Intensity { max_restarts: 0, window: Duration::from_secs(60) })
            .on_exhausted(OnExhausted::Escalate)
            .kept();
        let child = system.spawn_under(&address, spec).await.unwrap();
        journal.clear();
        child.tell(GiveUp).await.unwrap();
        assert_eq!(child.ask(Total).await.unwrap(), 0);
        assert_eq!(sibling.ask(Total).await.unwrap(), 0);
        let builds: Vec<String> = journal.read().into_iter().filter(|note| note.ends_with("built")).collect();
        assert_eq!(builds, ["parent built", "sibling built", "child built"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_kept_child_may_be_spawned_the_moment_its_parent_has_started() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let journal = Journal::default();
        let system = System::builder("eager").build().unwrap();
        for number in 0..2_000 {
            let parent = system.spawn_with(named(&format!("parent-{number}"), &journal)).await.unwrap();
            let child = named("child", &journal).kept();
            let child = system.spawn_under(&parent.address().unwrap(), child).await;
            assert!(child.is_ok(), "{number}: {:?}", child.err());
            journal.clear();
            parent.stop();
        }
        system.shutdown(GRACE).await.unwrap();
    });
}
