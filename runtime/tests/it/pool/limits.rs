//! Bounds, policies, lanes, cancellation, streams.

use beluga_core::CallContext;
use beluga_runtime::testkit::{self};
use beluga_runtime::{DeadReason, Lane, Overflow, System, WORKERS_MAX};
use futures_util::StreamExt;
use futures_util::future::join_all;

use super::*;
use crate::fixture::GRACE;

#[test]
fn a_pool_needs_one_worker_at_least_and_knows_its_most() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        for workers in [0, WORKERS_MAX + 1] {
            let refused = system.spawn_pool(spec(&journal, workers, Routing::Queuer)).await;
            assert_eq!(code(refused), Code::InvalidInput);
        }
        let pool = system.spawn_pool(spec(&journal, 1, Routing::Queuer)).await.unwrap();
        assert_eq!(code(pool.resize(0).await), Code::InvalidInput);
        assert_eq!(pool.workers(), 1);
        system.shutdown(GRACE).await.unwrap();
        assert_eq!(code(pool.resize(2).await), Code::Unavailable);
    });
}

/// Fills a pool of one worker, and returns what became of the message that is too many and what ran.
async fn overfill(system: &System, routing: Routing, overflow: Overflow) -> (Result<String>, Vec<String>) {
    let journal = Journal::default();
    let spec = spec(&journal, 1, routing).lane(Lane::Normal, 2, overflow);
    let pool = system.spawn_pool(spec).await.unwrap();
    let mut asked = Vec::new();
    for name in ["hand", "first", "second"] {
        asked.push(ask(&pool, keyed(name, 7, 1000)).await);
    }
    let third = pool.ask(keyed("third", 7, 0)).within(Duration::from_millis(500)).await;
    join_all(asked).await;
    let ran = journal.read().into_iter().filter_map(|note| Some(note.strip_prefix("1 ends ")?.to_owned())).collect();
    pool.stop();
    pool.address().unwrap().gone().await;
    (third, ran)
}

#[test]
fn the_policy_of_the_lane_decides_about_the_message_that_is_too_many() {
    for routing in [Routing::Queuer, Routing::Sticky, Routing::RoundRobin, Routing::KeyPersistent] {
        testkit::run(5, |system| async move {
            let (third, ran) = overfill(&system, routing, Overflow::Reject).await;
            assert_eq!((code(third), ran.len()), (Code::Overloaded, 3), "{routing:?}");
            let (third, ran) = overfill(&system, routing, Overflow::DropNewest).await;
            assert_eq!((code(third), ran.len()), (Code::Overloaded, 3), "{routing:?}");
            let (third, ran) = overfill(&system, routing, Overflow::Wait).await;
            assert_eq!((code(third), ran.len()), (Code::Timeout, 3), "{routing:?}");
            let (third, ran) = overfill(&system, routing, Overflow::DropOldest).await;
            assert_eq!(
                (code(third), ran),
                (Code::Timeout, vec!["hand".to_owned(), "second".to_owned()]),
                "{routing:?}"
            );
            system.shutdown(GRACE).await.unwrap();
        });
    }
}

#[test]
fn a_told_message_that_a_full_worker_rejects_is_a_dead_letter() {
    testkit::run(5, |system| async move {
        let spec = spec(&Journal::default(), 1, Routing::RoundRobin).lane(Lane::Normal, 1, Overflow::Reject);
        let pool = system.spawn_pool(spec).await.unwrap();
        for name in ["hand", "queued", "lost"] {
            pool.tell(work(name, 10)).await.unwrap();
            settle().await;
        }
        assert_eq!(system.dead_letters().count(DeadReason::Overflow), 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_worker_that_is_full_makes_senders_wait_and_loses_nothing() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let spec = spec(&journal, 2, Routing::KeyPersistent).lane(Lane::Normal, 2, Overflow::Wait);
        let pool = system.spawn_pool(spec).await.unwrap();
        let calls = (0..40_u64).map(|n| pool.ask(keyed(n.to_string(), n % 3, 5)));
        let done = join_all(calls).await;
        assert!(done.iter().all(Result::is_ok));
        assert_eq!(system.dead_letters().total(), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn urgent_messages_reach_a_worker_while_the_queue_is_held() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let pool = system.spawn_pool(spec(&journal, 1, Routing::Queuer)).await.unwrap();
        let first = ask(&pool, work("a", 100)).await;
        let second = ask(&pool, work("b", 0)).await;
        assert_eq!(pool.ask(Urgent("hurry")).await.unwrap(), "1");
        answer(first).await.unwrap();
        answer(second).await.unwrap();
        let notes = journal.read();
        assert_eq!(notes, ["1 begins a", "1 ends a", "1 is told hurry", "1 begins b", "1 ends b"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_call_cancelled_in_the_queue_never_runs() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let pool = system.spawn_pool(spec(&journal, 1, Routing::Queuer)).await.unwrap();
        let busy = ask(&pool, work("a", 100)).await;
        let context = CallContext::new();
        let cancelled = task::spawn("test", pool.ask(work("b", 0)).with_context(&context));
        let expired = task::spawn("test", pool.ask(work("c", 0)).within(Duration::from_millis(50)));
        settle().await;
        context.cancel_token().cancel();
        assert_eq!(code(cancelled.await.unwrap()), Code::Cancelled);
        assert_eq!(code(expired.await.unwrap()), Code::Timeout);
        answer(busy).await.unwrap();
        assert_eq!(pool.ask(work("d", 0)).await.unwrap(), "1");
        assert_eq!(journal.read(), ["1 begins a", "1 ends a", "1 begins d", "1 ends d"]);
        assert_eq!(system.dead_letters().count(DeadReason::Expired), 2);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_call_cancelled_in_hand_frees_its_worker() {
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(spec(&Journal::default(), 1, Routing::Queuer)).await.unwrap();
        let context = CallContext::new();
        let busy = task::spawn("test", pool.ask(work("a", 60_000)).with_context(&context));
        settle().await;
        let waiting = ask(&pool, work("b", 0)).await;
        context.cancel_token().cancel();
        assert_eq!(code(busy.await.unwrap()), Code::Cancelled);
        let before = time::now();
        answer(waiting).await.unwrap();
        assert_eq!(time::now(), before);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_stream_keeps_its_worker_busy_to_its_end() {
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(spec(&Journal::default(), 1, Routing::Sticky)).await.unwrap();
        let mut stream = pool.stream(Count { key: 7, to: 5 }).open();
        assert_eq!(stream.next().await.unwrap().unwrap(), ("1".to_owned(), 1));
        let waiting = ask(&pool, work("a", 0)).await;
        assert_eq!(pool.status().waiting, 1);
        let rest: Vec<u64> = stream.map(|item| item.unwrap().1).collect().await;
        assert_eq!(rest, [2, 3, 4, 5]);
        answer(waiting).await.unwrap();
        let left = pool.stream(Count { key: 7, to: 1_000_000 }).open().take(3).collect::<Vec<_>>().await;
        assert_eq!(left.len(), 3);
        assert!(pool.ask(work("b", 0)).await.is_ok(), "a reader that left frees the worker");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn what_left_the_queue_and_found_no_place_is_answered_when_the_pool_stops() {
    testkit::run(5, |system| async move {
        let spec = spec(&Journal::default(), 1, Routing::RoundRobin).lane(Lane::Normal, 1, Overflow::Wait);
        let pool = system.spawn_pool(spec).await.unwrap();
        let mut asked = Vec::new();
        for name in ["hand", "queued", "between", "waiting"] {
            asked.push(ask(&pool, work(name, 60_000)).await);
        }
        assert_eq!(pool.status().waiting, 2, "one in the pool's lane, one between it and the worker's");
        pool.stop();
        let codes: Vec<Code> = join_all(asked).await.into_iter().map(|done| code(done.unwrap())).collect();
        assert_eq!(codes, [Code::Cancelled, Code::NotSent, Code::NotSent, Code::NotSent]);
        assert_eq!(system.dead_letters().count(DeadReason::Stopped), 3);
        system.shutdown(GRACE).await.unwrap();
    });
}
