//! Growing, shrinking and ending under load.

use beluga_runtime::testkit::{self};
use beluga_runtime::{Lane, Overflow};
use futures_util::future::join_all;

use super::*;
use crate::fixture::GRACE;

#[test]
fn a_stop_is_heeded_at_once_and_answers_what_waits() {
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(spec(&Journal::default(), 1, Routing::Queuer)).await.unwrap();
        let (hand, queued) = (ask(&pool, work("a", 60_000)).await, ask(&pool, work("b", 0)).await);
        let before = time::now();
        pool.stop();
        pool.address().unwrap().gone().await;
        assert_eq!(time::now(), before);
        assert_eq!(code(answer(hand).await), Code::Cancelled);
        assert_eq!(code(answer(queued).await), Code::NotSent);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_drain_handles_everything_accepted_first() {
    for routing in [Routing::Queuer, Routing::RoundRobin] {
        testkit::run(5, |system| async move {
            let pool = system.spawn_pool(spec(&Journal::default(), 2, routing)).await.unwrap();
            let mut asked = Vec::new();
            for n in 0..9 {
                asked.push(ask(&pool, work(n.to_string(), 1000)).await);
            }
            pool.drain();
            settle().await;
            assert_eq!(code(pool.ask(work("late", 0)).await), Code::NotSent);
            assert!(join_all(asked).await.into_iter().all(|done| done.unwrap().is_ok()), "{routing:?}");
            pool.address().unwrap().gone().await;
            assert!(system.names().is_empty());
            system.shutdown(GRACE).await.unwrap();
        });
    }
}

#[test]
fn growing_takes_up_what_waits_at_once() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let pool = system.spawn_pool(spec(&journal, 1, Routing::Queuer)).await.unwrap();
        let mut asked = Vec::new();
        for name in ["a", "b", "c"] {
            asked.push(ask(&pool, work(name, 1000)).await);
        }
        assert_eq!(journal.read(), ["1 begins a"]);
        pool.resize(3).await.unwrap();
        settle().await;
        assert_eq!(journal.read(), ["1 begins a", "2 begins b", "3 begins c"]);
        join_all(asked).await;
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn shrinking_lets_the_surplus_finish_and_loses_nothing() {
    for routing in [Routing::Queuer, Routing::RoundRobin, Routing::Sticky, Routing::KeyPersistent] {
        testkit::run(5, |system| async move {
            let pool = system.spawn_pool(spec(&Journal::default(), 4, routing)).await.unwrap();
            let mut asked = Vec::new();
            for n in 0..16 {
                asked.push(ask(&pool, keyed(n.to_string(), n, 100)).await);
            }
            pool.resize(1).await.unwrap();
            assert_eq!(pool.workers(), 1);
            let late = ask(&pool, work("late", 0)).await;
            assert!(join_all(asked).await.into_iter().all(|done| done.unwrap().is_ok()), "{routing:?}");
            assert_eq!(answer(late).await.unwrap(), "1", "those that leave get nothing more");
            settle().await;
            let names: Vec<String> = system.names().iter().map(ToString::to_string).collect();
            assert_eq!(names, ["pool", "pool/1"]);
            assert_eq!(system.dead_letters().total(), 0);
            system.shutdown(GRACE).await.unwrap();
        });
    }
}

#[test]
fn a_worker_that_was_leaving_stays_when_the_pool_grows_again() {
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(spec(&Journal::default(), 2, Routing::Queuer)).await.unwrap();
        let busy = [ask(&pool, work("a", 100)).await, ask(&pool, work("b", 100)).await];
        pool.resize(1).await.unwrap();
        assert!(pool.status().workers[1].leaving);
        pool.resize(3).await.unwrap();
        assert!(pool.status().workers.iter().all(|worker| !worker.leaving));
        join_all(busy).await;
        assert_eq!(pool.workers(), 3);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_worker_that_somebody_stopped_is_replaced_by_a_resize() {
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(spec(&Journal::default(), 2, Routing::Queuer)).await.unwrap();
        for name in ["pool/1", "pool/2"] {
            let worker = system.find(name).unwrap();
            worker.stop();
            worker.gone().await;
        }
        settle().await;
        assert_eq!((pool.workers(), code(pool.ask(work("a", 0)).await)), (0, Code::Unavailable));
        pool.resize(2).await.unwrap();
        assert!(pool.ask(work("b", 0)).await.is_ok());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn over_threads_every_call_is_answered_while_the_pool_is_resized() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let system = testkit::system("threads", 5);
        for routing in [Routing::Queuer, Routing::RoundRobin, Routing::Sticky, Routing::KeyPersistent] {
            let spec = spec(&Journal::default(), 3, routing).lane(Lane::Normal, 8, Overflow::Wait);
            let pool = system.spawn_pool(spec).await.unwrap();
            let callers = (0..8_u64).map(|caller| {
                let pool = pool.clone();
                task::spawn("test", async move {
                    for n in 0..500_u64 {
                        pool.ask(keyed("x", (caller + n) % 5, 0)).await.unwrap();
                    }
                })
            });
            let callers: Vec<_> = callers.collect();
            for workers in [5, 1, 4, 2, 6, 3] {
                pool.resize(workers).await.unwrap();
                tokio::task::yield_now().await;
            }
            join_all(callers).await.into_iter().for_each(|caller| caller.unwrap());
            assert_eq!((pool.status().handed, pool.status().waiting), (4000, 0), "{routing:?}");
            pool.drain();
            pool.address().unwrap().gone().await;
        }
        assert_eq!(system.dead_letters().total(), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}
