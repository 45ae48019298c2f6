//! Crashes, back-off, gates, kills.

use std::collections::BTreeSet;

use beluga_core::Retry;
use beluga_runtime::testkit::{self, kill, quiet_panics};
use beluga_runtime::{Backoff, BreakerConfig, BreakerState, Intensity, OnExhausted, Phase};
use futures_util::future::join_all;

use super::*;
use crate::fixture::GRACE;

#[test]
fn a_drain_waits_for_a_worker_that_is_built_anew_after_a_while() {
    quiet_panics();
    testkit::run(5, |system| async move {
        let backoff = Backoff { initial: Duration::from_secs(9), max: Duration::from_secs(9), ..Backoff::default() };
        let template = template(&Journal::default()).backoff(backoff);
        let pool = system.spawn_pool(PoolSpec::new("pool", 1, template)).await.unwrap();
        for _ in 0..2 {
            assert_eq!(code(pool.ask(Poison).await), Code::UnknownOutcome);
        }
        let queued = ask(&pool, work("a", 0)).await;
        pool.drain();
        assert_eq!(answer(queued).await.unwrap(), "1");
        pool.address().unwrap().gone().await;
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_poison_message_kills_only_itself() {
    quiet_panics();
    for routing in [Routing::Queuer, Routing::RoundRobin, Routing::Sticky, Routing::KeyPersistent] {
        testkit::run(5, |system| async move {
            let pool = system.spawn_pool(spec(&Journal::default(), 1, routing)).await.unwrap();
            let first = ask(&pool, keyed("a", 1, 10)).await;
            let poison = task::spawn("test", pool.ask(Poison));
            settle().await;
            let second = ask(&pool, keyed("b", 1, 10)).await;
            assert!(answer(first).await.is_ok());
            assert_eq!(code(poison.await.unwrap()), Code::UnknownOutcome);
            assert!(answer(second).await.is_ok(), "its queue is kept: {routing:?}");
            let tree = system.snapshot().unwrap();
            assert_eq!((tree.find("pool").unwrap().restarts, tree.find("pool/1").unwrap().restarts), (0, 1));
            assert_eq!(pool.status().workers[0].in_flight, 0, "what it had in hand was given back");
            system.shutdown(GRACE).await.unwrap();
        });
    }
}

#[test]
fn a_worker_in_its_back_off_gets_nothing_while_others_work() {
    quiet_panics();
    testkit::run(5, |system| async move {
        let backoff = Backoff { initial: Duration::from_secs(9), max: Duration::from_secs(9), ..Backoff::default() };
        let journal = Journal::default();
        let pool = system.spawn_pool(PoolSpec::new("pool", 2, template(&journal).backoff(backoff))).await.unwrap();
        let busy = ask(&pool, work("a", 1000)).await;
        for _ in 0..2 {
            assert_eq!(code(pool.ask(Poison).await), Code::UnknownOutcome);
        }
        assert_eq!(system.snapshot().unwrap().find("pool/2").unwrap().state, Phase::Down);
        let waiting = ask(&pool, work("b", 0)).await;
        assert_eq!(answer(waiting).await.unwrap(), "1", "it waited for the one that runs");
        answer(busy).await.unwrap();
        pass(10_000).await;
        let both = [ask(&pool, work("c", 10)).await, ask(&pool, work("d", 10)).await];
        let by: BTreeSet<String> = join_all(both).await.into_iter().map(|by| by.unwrap().unwrap()).collect();
        assert_eq!(by.len(), 2, "it is back");
        system.shutdown(GRACE).await.unwrap();
    });
}

fn fragile(journal: &Journal) -> Spec<WorkerProtocol> {
    template(journal)
        .intensity(Intensity { max_restarts: 0, window: Duration::from_secs(60) })
        .on_exhausted(OnExhausted::OpenGate { reset_after: Duration::from_secs(30) })
}

#[test]
fn a_gated_worker_is_passed_over_and_all_of_them_open_the_gate_of_the_pool() {
    quiet_panics();
    for routing in [Routing::Queuer, Routing::RoundRobin, Routing::Sticky, Routing::KeyPersistent] {
        testkit::run(5, |system| async move {
            let journal = Journal::default();
            let spec = PoolSpec::new("pool", 2, fragile(&journal))
                .routing(routing)
                .key_of::<Work>(|work| work.key.map(|key| PoolKey::of(&key)));
            let pool = system.spawn_pool(spec).await.unwrap();
            assert_eq!(code(pool.ask(Poison).await), Code::UnknownOutcome);
            settle().await;
            let by: BTreeSet<String> = homes(&pool, 20).await.into_iter().collect();
            assert_eq!(by.len(), 1, "{routing:?}");
            pass(10_000).await;
            assert_eq!(code(pool.ask(Poison).await), Code::UnknownOutcome);
            settle().await;
            let refused = pool.ask(work("a", 0)).await.unwrap_err();
            assert_eq!((refused.code(), refused.retry()), (Code::Unavailable, Retry::After(Duration::from_secs(20))));
            assert_eq!(code(pool.ask(Urgent("a")).await), Code::Unavailable);
            pass(20_000).await;
            assert!(pool.ask(keyed("b", 1, 0)).await.is_ok(), "the first is back");
            system.shutdown(GRACE).await.unwrap();
        });
    }
}

#[test]
fn what_a_pool_accepted_waits_behind_its_gate() {
    quiet_panics();
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(PoolSpec::new("pool", 1, fragile(&Journal::default()))).await.unwrap();
        let busy = ask(&pool, work("a", 10)).await;
        let poison = task::spawn("test", pool.ask(Poison));
        settle().await;
        let waiting = [ask(&pool, work("b", 0)).await, ask(&pool, work("c", 0)).await];
        answer(busy).await.unwrap();
        assert_eq!(code(poison.await.unwrap()), Code::UnknownOutcome);
        settle().await;
        assert_eq!(pool.status().waiting, 2);
        assert!(join_all(waiting).await.into_iter().all(|done| done.unwrap().is_ok()));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn the_breaker_belongs_to_the_pool_and_survives_its_workers() {
    testkit::run(5, |system| async move {
        let config = BreakerConfig { max_failures: 2, ..BreakerConfig::default() };
        let spec = spec(&Journal::default(), 2, Routing::RoundRobin).breaker(config);
        let pool = system.spawn_pool(spec).await.unwrap();
        pool.ask(Trip).await.unwrap();
        assert!(kill(&system, "pool/1"));
        settle().await;
        pool.ask(Trip).await.unwrap();
        assert_eq!(code(pool.ask(Trip).await), Code::CircuitOpen, "two workers failed once each");
        let node = system.snapshot().unwrap().find("pool").unwrap().clone();
        assert_eq!(node.breaker.unwrap().state, BreakerState::Open);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_pool_that_is_killed_finds_its_workers_and_its_queues_again() {
    for routing in [Routing::Queuer, Routing::RoundRobin] {
        testkit::run(5, |system| async move {
            let pool = system.spawn_pool(spec(&Journal::default(), 2, routing)).await.unwrap();
            let mut asked = Vec::new();
            for n in 0..6 {
                asked.push(ask(&pool, work(n.to_string(), 100)).await);
            }
            assert!(kill(&system, "pool"));
            let done: Vec<_> = join_all(asked).await.into_iter().map(|done| done.unwrap()).collect();
            assert!(done[..2].iter().all(Result::is_err), "what was in hand ended with it");
            assert!(done[2..].iter().all(Result::is_ok), "{routing:?}: {done:?}");
            assert_eq!(pool.workers(), 2);
            pool.resize(3).await.unwrap();
            assert!(pool.ask(work("a", 0)).await.is_ok());
            system.shutdown(GRACE).await.unwrap();
        });
    }
}

#[test]
fn a_worker_that_does_not_start_fails_the_pool() {
    struct Lame;
    impl Actor for Lame {
        type Protocol = beluga_runtime::Silent;
        const KIND: &'static str = "lame";
        async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
            Err(beluga_core::Error::config("no legs"))
        }
    }
    testkit::run(5, |system| async move {
        let refused = system.spawn_pool(PoolSpec::new("pool", 3, Spec::new("lame", || Lame))).await;
        assert_eq!(code(refused), Code::Config);
        assert!(system.names().is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}
