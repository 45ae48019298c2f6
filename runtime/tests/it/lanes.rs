//! What lanes promise.

use std::time::Duration;

use beluga_core::{CallContext, Code};
use beluga_runtime::task;
use beluga_runtime::testkit::{self, kill, quiet_panics};
use beluga_runtime::{Backoff, DeadReason, Intensity, Lane, Overflow, Restart, Spec, time};
use futures_util::future::join_all;

use crate::fixture::*;

fn spec(journal: &Journal) -> Spec<CounterProtocol> {
    let journal = journal.clone();
    Spec::new("counter", move || Counter::noting(&journal))
}

#[test]
fn messages_of_one_sender_in_one_lane_stay_in_order() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(spec(&journal).lane(Lane::Normal, 8, Overflow::Wait)).await.unwrap();
        let senders = (0..4_u64).map(|sender| {
            let counter = counter.clone();
            async move {
                for n in 0..250 {
                    counter.tell(Add(sender * 1000 + n)).await.unwrap();
                }
            }
        });
        join_all(senders).await;
        counter.ask(Total).await.unwrap();
        let seen: Vec<u64> = journal.read().iter().map(|note| note.parse().unwrap()).collect();
        assert_eq!(seen.len(), 1000);
        for sender in 0..4 {
            let own: Vec<u64> = seen.iter().copied().filter(|n| n / 1000 == sender).collect();
            assert!(own.is_sorted() && own.len() == 250, "sender {sender}");
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn order_holds_over_threads_and_a_small_lane() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let system = testkit::system("threads", 2);
        let journal = Journal::default();
        let counter = system.spawn_with(spec(&journal).lane(Lane::Normal, 3, Overflow::Wait)).await.unwrap();
        let senders = (0..4_u64).map(|sender| {
            let counter = counter.clone();
            task::spawn("test", async move {
                for n in 0..5_000 {
                    counter.tell(Add(sender * 10_000 + n)).await.unwrap();
                }
            })
        });
        join_all(senders).await.into_iter().for_each(|sent| sent.unwrap());
        counter.ask(Total).await.unwrap();
        let seen: Vec<u64> = journal.read().iter().map(|note| note.parse().unwrap()).collect();
        assert_eq!(seen.len(), 20_000);
        for sender in 0..4 {
            assert!(seen.iter().filter(|n| *n / 10_000 == sender).is_sorted(), "sender {sender}");
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

/// Fills the lane of an actor that holds one message and returns the outcome of one more.
async fn overfill(system: &beluga_runtime::System, journal: &Journal, overflow: Overflow) -> Code {
    let counter = system.spawn_with(spec(journal).lane(Lane::Normal, 4, overflow)).await.unwrap();
    counter.tell(Wait(Duration::from_secs(1))).await.unwrap();
    settle().await;
    for n in 1..=4 {
        counter.try_tell(Add(n)).unwrap();
    }
    let fifth = counter.ask(Add(5)).within(Duration::from_millis(500)).await;
    time::sleep(Duration::from_secs(2)).await;
    counter.ask(Total).await.unwrap();
    fifth.unwrap_err().code()
}

#[test]
fn a_full_lane_that_rejects_answers_overloaded() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        assert_eq!(overfill(&system, &journal, Overflow::Reject).await, Code::Overloaded);
        assert_eq!(journal.read(), ["waited", "1", "2", "3", "4"]);
        assert_eq!(system.dead_letters().total(), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_full_lane_that_waits_keeps_the_sender_waiting_until_its_deadline() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        assert_eq!(overfill(&system, &journal, Overflow::Wait).await, Code::Timeout);
        assert_eq!(journal.read(), ["waited", "1", "2", "3", "4"], "a sender that left was not sent");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_full_lane_that_drops_the_newest_makes_it_a_dead_letter() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        assert_eq!(overfill(&system, &journal, Overflow::DropNewest).await, Code::Overloaded);
        assert_eq!(journal.read(), ["waited", "1", "2", "3", "4"]);
        assert_eq!(system.dead_letters().count(DeadReason::Overflow), 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_full_lane_that_drops_the_oldest_keeps_the_newest() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(spec(&journal).lane(Lane::Normal, 4, Overflow::DropOldest)).await.unwrap();
        counter.tell(Wait(Duration::from_secs(1))).await.unwrap();
        settle().await;
        for n in 1..=6 {
            counter.tell(Add(n)).await.unwrap();
        }
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(journal.read(), ["waited", "3", "4", "5", "6"]);
        assert_eq!(system.dead_letters().count(DeadReason::Overflow), 2);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn crashes_do_not_widen_a_lane_that_drops_the_oldest() {
    quiet_panics();
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let spec = Spec::new("mixed", move || Mixed(own.clone()))
            .lane(Lane::Bulk, 2, Overflow::DropOldest)
            .intensity(Intensity { max_restarts: 1000, window: Duration::from_secs(1) })
            .backoff(Backoff { initial: Duration::ZERO, ..Backoff::default() });
        let actor = system.spawn_with(spec).await.unwrap();
        for _ in 0..10 {
            // The crash finds a message of bulk in the drain's hands.
            testkit::pause(&system, "mixed");
            actor.tell(Normal(POISON)).await.unwrap();
            actor.tell(Bulk(0)).await.unwrap();
            testkit::resume(&system, "mixed");
            settle().await;
        }
        assert_eq!(system.snapshot().unwrap().find("mixed").unwrap().restarts, 10);
        journal.clear();
        testkit::pause(&system, "mixed");
        for n in 1..=6 {
            actor.tell(Bulk(n)).await.unwrap();
        }
        assert_eq!(system.snapshot().unwrap().find("mixed").unwrap().lanes.bulk, 2);
        testkit::resume(&system, "mixed");
        settle().await;
        assert_eq!(journal.read(), ["bulk 5", "bulk 6"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn senders_that_wait_get_their_place_when_there_is_one() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(spec(&journal).lane(Lane::Normal, 1, Overflow::Wait)).await.unwrap();
        counter.tell(Wait(Duration::from_secs(1))).await.unwrap();
        settle().await;
        let mut waiting: Vec<_> = (0..50).map(|n| Box::pin(counter.ask(Add(n)))).collect();
        let half = waiting.split_off(25);
        for ask in &mut waiting {
            assert!(futures_util::poll!(ask).is_pending());
        }
        // Those that leave must not take the wake of the others along.
        let left = waiting.split_off(12);
        drop(left);
        for answer in join_all(waiting.into_iter().chain(half)).await {
            answer.unwrap();
        }
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_expired_message_never_runs() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(spec(&journal)).await.unwrap();
        counter.tell(Wait(Duration::from_secs(3))).await.unwrap();
        let context = CallContext::new().with_timeout(time::now(), Duration::from_secs(1));
        counter.tell_with(Add(1), &context).await.unwrap();
        let cancelled = CallContext::new();
        counter.tell_with(Add(2), &cancelled).await.unwrap();
        cancelled.cancel_token().cancel();
        let late = counter.ask(Add(3)).within(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(late.code(), Code::Timeout);
        assert_eq!(counter.ask(Add(4)).await.unwrap(), 4);
        assert_eq!(journal.read(), ["waited", "4"]);
        assert_eq!(system.dead_letters().count(DeadReason::Expired), 3);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_message_that_expired_while_its_actor_was_busy_with_itself_never_runs() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let parent = system.spawn("sluggish", move || Sluggish(own.clone())).await.unwrap();
        let restart = Restart::Temporary;
        let child = Spec::new("child", Counter::default).restart(restart);
        system.spawn_under(&parent.address().unwrap(), child).await.unwrap();
        // Told while it starts anew, then while it hears of its child's end; both take 3 s.
        for path in ["sluggish", "sluggish/child"] {
            assert!(kill(&system, path));
            settle().await;
            let context = CallContext::new().with_timeout(time::now(), Duration::from_secs(1));
            parent.tell_with(News(1), &context).await.unwrap();
            time::sleep(Duration::from_secs(10)).await;
            if path == "sluggish" {
                let child = Spec::new("child", Counter::default).restart(restart);
                system.spawn_under(&parent.address().unwrap(), child).await.unwrap();
            }
        }
        assert_eq!(journal.read(), ["started", "started", "heard"]);
        assert_eq!(system.dead_letters().count(DeadReason::Expired), 2);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn urgent_lanes_come_first_and_bulk_gets_its_share() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let actor = system.spawn("mixed", move || Mixed(own.clone())).await.unwrap();
        testkit::pause(&system, "mixed");
        for n in 0..20 {
            actor.tell(Normal(n)).await.unwrap();
            actor.tell(Bulk(n)).await.unwrap();
        }
        actor.tell(Interrupt).await.unwrap();
        actor.tell(Control).await.unwrap();
        testkit::resume(&system, "mixed");
        time::sleep(Duration::from_secs(1)).await;
        let seen = journal.read();
        assert_eq!(seen.len(), 42);
        assert_eq!(seen[..2], ["control", "interrupt"]);
        assert!(seen[2..10].iter().all(|note| note.starts_with("normal")), "{seen:?}");
        assert_eq!(seen[10], "bulk 0");
        assert_eq!(seen[19], "bulk 1");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn drain_loses_nothing() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(spec(&journal)).await.unwrap();
        let work: Vec<_> = (0..3).map(|_| counter.ask(Work(Duration::from_secs(1)))).collect();
        let answers = task::spawn("test", join_all(work));
        for n in 0..500 {
            counter.tell(Add(n)).await.unwrap();
        }
        settle().await;
        counter.drain();
        assert_eq!(counter.tell(Add(1)).await.unwrap_err().code(), Code::NotSent, "nothing new comes in");
        counter.address().unwrap().gone().await;
        let numbers = journal.read().iter().filter(|note| note.parse::<u64>().is_ok()).count();
        assert_eq!(numbers, 500);
        assert!(answers.await.unwrap().into_iter().all(|answer| answer.unwrap() == 7), "accepted work is finished");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_stop_answers_everything_that_waits() {
    testkit::run(2, |system| async move {
        let journal = Journal::default();
        let counter = system.spawn_with(spec(&journal)).await.unwrap();
        let first = counter.ask(Wait(Duration::from_secs(60)));
        let others: Vec<_> = (0..10).map(|n| counter.ask(Add(n))).collect();
        let answers = task::spawn("test", async move { tokio::join!(first, join_all(others)) });
        settle().await;
        counter.stop();
        let (first, others) = answers.await.unwrap();
        assert_eq!(first.unwrap_err().code(), Code::Cancelled, "its wait ends, and it answers");
        assert!(others.into_iter().all(|answer| answer.unwrap_err().code() == Code::NotSent));
        assert_eq!(system.dead_letters().count(DeadReason::Stopped), 10);
        assert!(!kill(&system, "counter"));
        system.shutdown(GRACE).await.unwrap();
    });
}
