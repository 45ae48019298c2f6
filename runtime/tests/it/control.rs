//! What an operator does with a running actor: pause, restart, kill.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxFuture, Code, Result};
use beluga_runtime::testkit::{self, quiet_panics};
use beluga_runtime::{
    Activation, Activator, Address, Backoff, FamilyOptions, Intensity, OnExhausted, Phase, Restart, Spec, Strategy,
    System, TreeNode, task, time,
};

use crate::fixture::*;

fn node(system: &System, name: &str) -> TreeNode {
    system.snapshot().unwrap().find(name).unwrap().clone()
}

/// Starts counters under an actor.
struct Under(Address);

impl Activator<CounterProtocol> for Under {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<CounterProtocol>>> {
        let activation = Activation { supervisor: self.0.clone(), spec: Spec::new(key, Counter::default) };
        Box::pin(std::future::ready(Ok(activation)))
    }
}

#[test]
fn messages_of_every_lane_wait_during_a_pause_and_are_handled_in_order_afterwards() {
    testkit::run(6, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let mixed = system.spawn("mixed", move || Mixed(own.clone())).await.unwrap();
        let address = mixed.address().unwrap();
        assert!(address.pause() && address.is_paused());
        mixed.tell(Normal(1)).await.unwrap();
        mixed.tell(Normal(2)).await.unwrap();
        mixed.tell(Control).await.unwrap();
        settle().await;
        assert!(journal.read().is_empty(), "{:?}", journal.read());
        let shown = node(&system, "mixed");
        assert_eq!((shown.paused, shown.lanes.normal, shown.lanes.control), (true, 2, 1));
        assert_eq!(system.census().unwrap().paused, 1);
        assert!(address.resume() && !address.is_paused());
        settle().await;
        assert_eq!(journal.read(), ["control", "normal 1", "normal 2"]);
        assert_eq!((node(&system, "mixed").paused, system.census().unwrap().paused), (false, 0));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_pause_lets_the_message_in_hand_end() {
    testkit::run(6, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let address = counter.address().unwrap();
        let hand = task::spawn("test", counter.ask(Wait(Duration::from_secs(5))));
        settle().await;
        assert!(address.pause());
        hand.await.unwrap().unwrap();
        let late = counter.ask(Total).within(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(late.code(), Code::Timeout, "the next one waits until its deadline");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_paused_actor_can_be_stopped_drained_and_killed() {
    testkit::run(6, |system| async move {
        let journal = Journal::default();
        for how in ["stop", "drain", "kill"] {
            let counter = system.spawn_with(named("counter", &journal).restart(Restart::Temporary)).await.unwrap();
            let address = counter.address().unwrap();
            assert!(address.pause());
            let waiting = task::spawn("test", counter.ask(Add(1)));
            settle().await;
            let before = time::now();
            match how {
                "stop" => address.stop(),
                "drain" => address.drain(),
                _ => assert!(address.kill()),
            }
            address.gone().await;
            assert_eq!(time::now(), before, "{how} needs no grace");
            match waiting.await.unwrap() {
                Ok(total) => assert_eq!((how, total), ("drain", 1), "what was accepted is handled"),
                Err(error) => assert!(how != "drain" && error.code() == Code::NotSent, "{how}: {error}"),
            }
            assert!(!address.pause() && !address.resume() && !address.restart() && !address.kill(), "it is gone");
        }
        let counter = system.spawn("last", Counter::default).await.unwrap();
        assert!(counter.address().unwrap().pause());
        counter.tell(Add(7)).await.unwrap();
        system.shutdown(GRACE).await.unwrap();
        assert_eq!(system.dead_letters().recent().len(), 2, "the shutdown handled what the paused actor held");
    });
}

#[test]
fn a_paused_supervisor_still_rebuilds_its_children() {
    testkit::run(6, |system| async move {
        let parent = system.spawn("parent", Counter::default).await.unwrap().address().unwrap();
        let child = system.spawn_under(&parent, Spec::new("child", Counter::default)).await.unwrap();
        assert!(parent.pause());
        child.tell(GiveUp).await.unwrap();
        assert_eq!(child.ask(Add(2)).await.unwrap(), 2);
        assert_eq!(node(&system, "parent/child").restarts, 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_paused_virtual_actor_stays_in_memory() {
    testkit::run(6, |system| async move {
        let options = FamilyOptions { idle_after: Duration::from_secs(60), max_active: 10 };
        let family = system.family::<CounterProtocol>("counter", options);
        let parent = system.spawn("parent", Counter::default).await.unwrap().address().unwrap();
        let counter = family.resolve("a", Arc::new(Under(parent)));
        assert_eq!(counter.ask(Add(1)).await.unwrap(), 1);
        let address = system.find("parent/a").unwrap();
        assert!(address.pause());
        time::sleep(Duration::from_secs(600)).await;
        family.passivate("a");
        settle().await;
        assert!(!address.is_gone() && address.is_paused());
        assert!(address.resume());
        address.gone().await;
        assert_eq!(counter.ask(Add(1)).await.unwrap(), 1, "a new activation");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_restart_keeps_queue_order_refs_and_pause_and_loses_the_value() {
    testkit::run(6, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(named("counter", &journal)).await.unwrap();
        let address = counter.address().unwrap();
        counter.ask(Add(40)).await.unwrap();
        assert!(address.pause());
        for n in 1..=3 {
            counter.tell(Add(n)).await.unwrap();
        }
        journal.clear();
        assert!(address.restart());
        address.ended(1).await;
        address.running().await;
        assert_eq!(address.incarnation(), 2);
        settle().await;
        assert_eq!(journal.read(), ["counter stopping", "counter dropped", "counter built"], "nothing was handled");
        assert_eq!(node(&system, "counter").lanes.normal, 3);
        assert!(address.is_paused() && address.resume());
        assert_eq!(counter.ask(Total).await.unwrap(), 6, "the old total is gone, the queue is not");
        assert_eq!(journal.read()[3..], ["1", "2", "3"]);
        assert_eq!(node(&system, "counter").restarts, 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_restart_is_no_failure_and_uses_up_no_intensity() {
    testkit::run(6, |system| async move {
        let spec = Spec::new("counter", Counter::default)
            .restart(Restart::Transient)
            .intensity(Intensity { max_restarts: 0, window: Duration::from_secs(60) })
            .on_exhausted(OnExhausted::Escalate);
        let counter = system.spawn_with(spec).await.unwrap();
        let address = counter.address().unwrap();
        let before = time::now();
        for round in 1..=10 {
            assert!(address.restart() && address.restart(), "a second request is the same restart");
            address.ended(round).await;
            address.running().await;
            assert_eq!(address.incarnation(), round + 1);
        }
        assert_eq!(time::now(), before, "no back-off");
        assert_eq!(counter.ask(Add(1)).await.unwrap(), 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_restart_ends_children_first_and_builds_kept_ones_again() {
    testkit::run(6, |system| async move {
        let journal = Journal::default();
        let parent = system.spawn_with(named("parent", &journal)).await.unwrap().address().unwrap();
        system.spawn_under(&parent, named("a", &journal)).await.unwrap();
        let kept = system.spawn_under(&parent, named("b", &journal).kept()).await.unwrap();
        journal.clear();
        assert!(parent.restart());
        parent.ended(1).await;
        parent.running().await;
        settle().await;
        let expected = [
            "b stopping",
            "b dropped",
            "a stopping",
            "a dropped",
            "parent stopping",
            "parent dropped",
            "parent built",
            "b built",
        ];
        assert_eq!(journal.read(), expected);
        assert_eq!(kept.ask(Add(1)).await.unwrap(), 1, "its ref still leads to it");
        assert!(system.find("parent/a").is_none());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_restart_takes_siblings_along_as_the_strategy_says() {
    testkit::run(6, |system| async move {
        for (strategy, rebuilt) in [
            (Strategy::OneForOne, &["b"][..]),
            (Strategy::RestForOne, &["b", "c"]),
            (Strategy::OneForAll, &["a", "b", "c"]),
        ] {
            let parent = Spec::new("parent", Counter::default).strategy(strategy);
            let parent = system.spawn_with(parent).await.unwrap().address().unwrap();
            let journal = Journal::default();
            for name in ["a", "b", "c"] {
                system.spawn_under(&parent, named(name, &journal)).await.unwrap();
            }
            journal.clear();
            assert!(system.find("parent/b").unwrap().restart());
            settle().await;
            let built: Vec<String> = journal.read().into_iter().filter(|note| note.ends_with("built")).collect();
            assert_eq!(built, rebuilt.iter().map(|name| format!("{name} built")).collect::<Vec<_>>(), "{strategy:?}");
            parent.stop();
            parent.gone().await;
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_restart_cancels_the_message_in_hand_and_ends_a_stuck_one_after_the_grace() {
    testkit::run(6, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let hand = task::spawn("test", counter.ask(Wait(Duration::from_secs(60))));
        settle().await;
        let before = time::now();
        assert!(counter.address().unwrap().restart());
        assert_eq!(hand.await.unwrap().unwrap_err().code(), Code::Cancelled);
        assert_eq!(time::now(), before);

        let spec = Spec::new("stubborn", || Stubborn { handled: 0 }).stop_grace(Duration::from_secs(3));
        let stubborn = system.spawn_with(spec).await.unwrap();
        let address = stubborn.address().unwrap();
        let (hung, queued) = (task::spawn("test", stubborn.ask(Hang)), task::spawn("test", stubborn.ask(Tick)));
        settle().await;
        assert!(address.restart());
        address.ended(1).await;
        assert_eq!(time::now() - before, Duration::from_secs(3));
        assert_eq!(hung.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);
        assert_eq!(queued.await.unwrap().unwrap(), 1, "the queue is the next incarnation's");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_restart_ends_the_back_off_and_the_gate() {
    quiet_panics();
    testkit::run(6, |system| async move {
        let backoff = Backoff { initial: Duration::from_secs(20), ..Backoff::default() };
        let intensity = Intensity { max_restarts: 2, window: Duration::from_secs(60) };
        let spec = Spec::new("counter", Counter::default).backoff(backoff).intensity(intensity);
        let counter = system.spawn_with(spec).await.unwrap();
        let address = counter.address().unwrap();
        let before = time::now();
        for state in [Phase::Running, Phase::Down, Phase::Gated] {
            counter.tell(GiveUp).await.unwrap();
            settle().await;
            assert_eq!(node(&system, "counter").state, state);
            assert!(address.restart());
            settle().await;
            assert_eq!(node(&system, "counter").state, Phase::Running);
        }
        assert_eq!(counter.ask(Add(1)).await.unwrap(), 1);
        assert_eq!(time::now(), before);
        time::sleep(Duration::from_secs(120)).await;
        assert_eq!(address.incarnation(), 5, "no late reminder builds it once more");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn the_root_and_what_has_not_started_or_never_comes_back_are_not_restarted() {
    testkit::run(6, |system| async move {
        assert!(!system.root_address().unwrap().restart());
        let once = system.spawn_with(Spec::new("once", Counter::default).restart(Restart::Temporary)).await.unwrap();
        assert!(!once.address().unwrap().restart());
        assert_eq!(once.ask(Add(1)).await.unwrap(), 1, "it lives on");
        let starting = task::spawn("test", {
            let system = system.clone();
            async move { system.spawn("slow", || Slow).await.map(drop) }
        });
        settle().await;
        let slow = system.find("slow").unwrap();
        assert!(!slow.restart());
        assert_eq!(starting.await.unwrap().unwrap_err().code(), Code::Timeout);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_kill_is_a_failure_that_keeps_the_queue() {
    testkit::run(6, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let hand = task::spawn("test", counter.ask(Wait(Duration::from_secs(60))));
        let queued = task::spawn("test", counter.ask(Add(4)));
        settle().await;
        assert!(counter.address().unwrap().kill());
        assert_eq!(hand.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);
        assert_eq!(queued.await.unwrap().unwrap(), 4);
        system.shutdown(GRACE).await.unwrap();
    });
}
