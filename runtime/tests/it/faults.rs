//! Panics, kills, leaks: what each costs, and what it does not.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use beluga_core::{CallContext, Code, Error};
use beluga_runtime::task;
use beluga_runtime::testkit::{self, kill, pause, quiet_panics, resume};
use beluga_runtime::{DeadReason, Spec, System, time};
use futures_util::FutureExt;

use crate::fixture::*;

#[test]
fn a_panic_loses_exactly_the_poison_message_and_names_it() {
    quiet_panics();
    testkit::run(4, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let wait = counter.ask(Wait(Duration::from_secs(1)));
        let (waited, exploded, total) = tokio::join!(wait, counter.ask(Explode("boom")), counter.ask(Add(4)));
        waited.unwrap();
        assert_eq!(exploded.unwrap_err().code(), Code::UnknownOutcome);
        assert_eq!(total.unwrap(), 4, "the message behind the poison is handled by the next incarnation");
        let letters = system.dead_letters().recent();
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].message, letters[0].panic.as_deref()), ("counter.explode", Some("boom")));
        assert_eq!(letters[0].payload.as_deref(), Some("Explode(\"boom\")"), "it opted in");
        assert_eq!(letters[0].age, Duration::from_secs(1));
        let node = system.snapshot().unwrap().find("counter").unwrap().clone();
        assert_eq!((node.restarts, node.panics), (1, 1));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_killed_actor_loses_the_message_in_hand_and_keeps_its_queue() {
    testkit::run(4, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let hand = task::spawn("test", counter.ask(Wait(Duration::from_secs(60))));
        let queued = task::spawn("test", counter.ask(Add(4)));
        settle().await;
        assert!(kill(&system, "counter"));
        assert_eq!(hand.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);
        assert_eq!(queued.await.unwrap().unwrap(), 4);
        assert_eq!(system.dead_letters().count(DeadReason::Abandoned), 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_killed_parent_takes_its_children_and_jobs_along_in_reverse_order() {
    testkit::run(4, |system| async move {
        let journal = Journal::default();
        let parent =
            system.spawn_with(named("parent", &journal).restart(beluga_runtime::Restart::Temporary)).await.unwrap();
        let address = parent.address().unwrap();
        for name in ["a", "b", "c"] {
            system.spawn_under(&address, named(name, &journal)).await.unwrap();
        }
        parent.tell(Work(Duration::from_secs(60))).await.unwrap();
        settle().await;
        assert!(kill(&system, "parent"));
        address.gone().await;
        let notes = journal.read();
        assert!(notes.contains(&"ended".to_owned()), "the job ended");
        let ends: Vec<&str> = notes.iter().map(String::as_str).filter(|note| note.ends_with("dropped")).collect();
        assert_eq!(ends, ["parent dropped", "c dropped", "b dropped", "a dropped"]);
        assert!(!notes.contains(&"parent stopping".to_owned()), "a kill says no goodbye");
        assert!(system.names().is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_killed_job_gives_its_awaiter_unknown_outcome() {
    testkit::run(4, |system| async move {
        let master = system.spawn("master", || Master).await.unwrap();
        let asked = task::spawn("test", master.ask(RunJob(Fate::Hang)));
        settle().await;
        assert!(kill(&system, "master/task"));
        assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);
        assert!(!kill(&system, "master/task"));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_panicking_job_gives_its_awaiter_the_text_and_the_actor_lives() {
    quiet_panics();
    testkit::run(4, |system| async move {
        let master = system.spawn("master", || Master).await.unwrap();
        let error: Error = master.ask(RunJob(Fate::Panic)).await.unwrap_err();
        assert_eq!((error.code(), error.get("panic")), (Code::Internal, Some("job panic")));
        assert_eq!(error.message(), "panicked: job panic");
        assert_eq!(master.ask(RunJob(Fate::Finish)).await.unwrap(), 3);
        let node = system.snapshot().unwrap().find("master").unwrap().clone();
        assert_eq!((node.job_panics, node.restarts), (1, 0));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn what_comes_after_a_job_learns_of_every_end() {
    quiet_panics();
    testkit::run(4, |system| async move {
        let master = system.spawn("master", || Master).await.unwrap();
        assert_eq!(master.ask(RunThen(Fate::Finish)).await.unwrap(), 3);
        let error = master.ask(RunThen(Fate::Panic)).await.unwrap_err();
        assert_eq!((error.code(), error.get("panic")), (Code::Internal, Some("job panic")));
        assert_eq!(system.snapshot().unwrap().find("master").unwrap().job_panics, 1);

        let asked = task::spawn("test", master.ask(RunThen(Fate::Hang)));
        settle().await;
        assert!(kill(&system, "master/task"));
        assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);

        let asked = task::spawn("test", master.ask(RunThen(Fate::Hang)));
        settle().await;
        assert!(kill(&system, "master"), "its jobs are killed with it");
        assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_job_ends_with_the_job_above_it() {
    testkit::run(4, |system| async move {
        let master = system.spawn("master", || Master).await.unwrap();
        let asked = task::spawn("test", master.ask(RunJob(Fate::Nest)));
        settle().await;
        let tree = system.snapshot().unwrap();
        assert_eq!(tree.find("master/task/below").unwrap().supervisor.as_deref(), Some("master/task"));
        assert!(kill(&system, "master/task"));
        assert!(asked.await.unwrap().is_err());
        settle().await;
        assert!(system.snapshot().unwrap().find("master/task/below").is_none());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_paused_actor_does_nothing_until_it_is_resumed() {
    testkit::run(4, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        assert!(pause(&system, "counter"));
        let late = counter.ask(Add(1)).within(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(late.code(), Code::Timeout);
        counter.tell(Add(2)).await.unwrap();
        assert!(resume(&system, "counter"));
        assert_eq!(counter.ask(Add(3)).await.unwrap(), 5, "the expired one never ran");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_resumed_handler_goes_on_whatever_the_moment() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let system = testkit::system("threads", 4);
        let restless = system.spawn("restless", || Restless).await.unwrap();
        for n in 0..20_000 {
            let asked = task::spawn("test", restless.ask(Fidget(n % 20)));
            pause(&system, "restless");
            // So long that the drain is just about to see it, sooner or later.
            (0..n % 499).for_each(|_| std::hint::spin_loop());
            resume(&system, "restless");
            asked.await.unwrap().unwrap();
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_paused_actor_is_killed_when_the_shutdown_runs_out_of_grace() {
    testkit::run(4, |system| async move {
        system.spawn("counter", Counter::default).await.unwrap();
        assert!(pause(&system, "counter"));
        let before = time::now();
        let error = system.shutdown(Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        assert!(time::now() - before < Duration::from_secs(6));
        assert!(system.names().is_empty());
    });
}

#[test]
fn a_system_dropped_with_live_actors_fails_the_test() {
    let leaked = std::panic::catch_unwind(|| {
        testkit::run(4, |system| async move {
            system.spawn("forgotten", Counter::default).await.unwrap();
        });
    });
    let text = beluga_runtime::task::panic_text(leaked.unwrap_err().as_ref());
    assert!(text.contains("forgotten") && text.contains("seed 4"), "{text}");
}

#[test]
fn the_next_incarnation_never_meets_the_old_ones_state() {
    quiet_panics();
    testkit::run(4, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(named("counter", &journal)).await.unwrap();
        counter.ask(Add(40)).await.unwrap();
        let exploded = AssertUnwindSafe(counter.ask(Explode("x"))).catch_unwind().await.unwrap();
        exploded.unwrap_err();
        assert_eq!(counter.ask(Total).await.unwrap(), 0);
        let notes = journal.read();
        let dropped = notes.iter().position(|note| note == "counter dropped").unwrap();
        let rebuilt = notes.iter().rposition(|note| note == "counter built").unwrap();
        assert!(dropped < rebuilt, "{notes:?}");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn two_systems_in_one_process_share_nothing() {
    testkit::run(4, |system| async move {
        let other = System::builder("other").build().unwrap();
        system.spawn("counter", Counter::default).await.unwrap();
        assert!(other.get::<CounterProtocol>("counter").is_none());
        other.spawn_with(Spec::new("counter", Counter::default)).await.unwrap();
        other.shutdown(GRACE).await.unwrap();
        assert!(system.get::<CounterProtocol>("counter").is_some());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_injected_crash_is_a_crash_on_that_message_and_happens_once() {
    quiet_panics();
    testkit::run(4, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        assert!(testkit::crash(&system, "counter", Some("counter.total")));
        assert!(!testkit::crash(&system, "nobody", None));
        counter.tell(Add(1)).await.unwrap();
        assert_eq!(counter.ask(Total).await.unwrap_err().code(), Code::UnknownOutcome);
        assert_eq!(counter.ask(Total).await.unwrap(), 0, "built anew, and once");
        let letter = system.dead_letters().recent().pop().unwrap();
        assert_eq!((letter.reason, letter.message), (DeadReason::Panicked, "counter.total"));
        assert_eq!(letter.panic.as_deref(), Some("a crash on purpose"));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_delayed_actor_handles_each_message_so_much_later_and_in_order() {
    testkit::run(4, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(named("counter", &journal)).await.unwrap();
        assert!(testkit::delay(&system, "counter", Duration::from_secs(3)));
        let start = time::now();
        counter.tell(Add(1)).await.unwrap();
        time::sleep(Duration::from_secs(1)).await;
        assert_eq!(counter.ask(Add(1)).await.unwrap(), 2);
        assert_eq!(time::now() - start, Duration::from_secs(4));
        let late = counter.ask(Total).within(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(late.code(), Code::Timeout);
        assert!(testkit::heal(&system, "counter"));
        time::sleep(Duration::from_secs(3)).await;
        let start = time::now();
        assert_eq!(counter.ask(Total).await.unwrap(), 2);
        assert_eq!(time::now(), start, "healed");
        testkit::delay(&system, "counter", Duration::from_secs(3));
        counter.tell(Add(1)).await.unwrap();
        let start = time::now();
        counter.stop();
        counter.address().unwrap().gone().await;
        assert_eq!(time::now(), start, "a stop does not wait for what is delayed");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn lost_messages_are_named_and_answered_by_nobody_until_the_actor_is_healed() {
    testkit::run(4, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        assert!(testkit::lose(&system, "counter", 2));
        let start = time::now();
        let lost = counter.ask(Add(1)).within(Duration::from_secs(5)).await.unwrap_err();
        assert_eq!((lost.code(), time::now() - start), (Code::Timeout, Duration::from_secs(5)));
        let waits = task::spawn("test", counter.ask(Add(1)).within(Duration::from_secs(60)));
        settle().await;
        assert_eq!(counter.ask(Add(1)).await.unwrap(), 1, "the third arrives");
        assert_eq!(system.dead_letters().count(DeadReason::Lost), 2);
        assert!(testkit::heal(&system, "counter"));
        assert_eq!(waits.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_crash_meant_for_a_message_that_never_runs_waits_for_the_next_of_its_name() {
    quiet_panics();
    testkit::run(4, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        assert!(testkit::crash(&system, "counter", Some("counter.add")));
        counter.tell(Wait(Duration::from_secs(2))).await.unwrap();
        let context = CallContext::new().with_timeout(time::now(), Duration::from_secs(1));
        counter.tell_with(Add(1), &context).await.unwrap();
        assert_eq!(counter.ask(Total).await.unwrap(), 0, "it was not meant");
        assert_eq!(system.dead_letters().count(DeadReason::Expired), 1);
        assert_eq!(counter.ask(Add(1)).await.unwrap_err().code(), Code::UnknownOutcome);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_healed_actor_goes_on_at_once_with_what_was_delayed() {
    testkit::run(4, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        assert!(testkit::delay(&system, "counter", Duration::from_secs(3600)));
        let asked = task::spawn("test", counter.ask(Add(1)).within(Duration::from_secs(7200)));
        settle().await;
        let before = time::now();
        assert!(testkit::delay(&system, "counter", Duration::from_secs(7)));
        assert_eq!(asked.await.unwrap().unwrap(), 1);
        assert_eq!(time::now() - before, Duration::from_secs(7), "the latest word counts");

        assert!(testkit::delay(&system, "counter", Duration::from_secs(3600)));
        let asked = task::spawn("test", counter.ask(Add(1)).within(Duration::from_secs(7200)));
        settle().await;
        let before = time::now();
        assert!(testkit::heal(&system, "counter"));
        assert_eq!(asked.await.unwrap().unwrap(), 2);
        assert_eq!(time::now(), before);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_lost_message_is_given_up_with_its_actor() {
    testkit::run(4, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        assert!(testkit::lose(&system, "counter", 1));
        let asked = task::spawn("test", counter.ask(Add(1)).within(Duration::from_secs(60)));
        settle().await;
        counter.stop();
        counter.address().unwrap().gone().await;
        let before = time::now();
        assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);
        assert_eq!(time::now(), before);
        system.shutdown(GRACE).await.unwrap();
    });
}
