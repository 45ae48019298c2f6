//! Who gets which message.

use std::collections::BTreeSet;

use beluga_core::{CallContext, TenantId};
use beluga_runtime::testkit::{self, quiet_panics};
use futures_util::future::join_all;

use super::*;
use crate::fixture::GRACE;

#[test]
fn a_queuer_gives_each_worker_one_message_and_lets_the_rest_wait_in_its_queue() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let pool = system.spawn_pool(spec(&journal, 2, Routing::Queuer)).await.unwrap();
        let mut asked = Vec::new();
        for (name, ms) in [("a", 100), ("b", 10), ("c", 10), ("d", 10)] {
            asked.push(ask(&pool, work(name, ms)).await);
        }
        assert_eq!(journal.read(), ["1 begins a", "2 begins b"]);
        let node = system.snapshot().unwrap().find("pool").unwrap().clone();
        assert_eq!((node.kind.as_str(), node.lanes.normal, node.children.len()), ("pool", 2, 2));
        assert_eq!(pool.status().waiting, 2);
        let by: Vec<String> = join_all(asked).await.into_iter().map(|by| by.unwrap().unwrap()).collect();
        assert_eq!(by, ["1", "2", "2", "2"], "nobody waits behind the slow one");
        assert_eq!((pool.status().waiting, pool.status().handed), (0, 4));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn nobody_can_tell_a_pool_from_an_actor() {
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(spec(&Journal::default(), 2, Routing::Queuer)).await.unwrap();
        let found = system.get::<WorkerProtocol>("pool").unwrap();
        found.tell(work("a", 0)).await.unwrap();
        assert!(found.ask(work("b", 0)).await.is_ok());
        assert_eq!(code(found.ask(work("c", 500)).within(Duration::from_millis(100)).await), Code::Timeout);
        assert!(system.get::<WorkerProtocol>("pool/1").is_some(), "its workers are actors as well");
        pool.stop();
        pool.address().unwrap().gone().await;
        assert!(system.names().is_empty());
        assert_eq!(code(found.ask(work("d", 0)).await), Code::NotSent);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn round_robin_goes_in_turn_and_queues_at_the_workers() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let pool = system.spawn_pool(spec(&journal, 3, Routing::RoundRobin)).await.unwrap();
        let mut asked = Vec::new();
        for n in 0..7 {
            asked.push(ask(&pool, work(n.to_string(), 10)).await);
        }
        let in_flight: Vec<usize> = pool.status().workers.iter().map(|worker| worker.in_flight).collect();
        assert_eq!((in_flight, pool.status().waiting), (vec![3, 2, 2], 0));
        let by: Vec<String> = join_all(asked).await.into_iter().map(|by| by.unwrap().unwrap()).collect();
        assert_eq!(by, ["1", "2", "3", "1", "2", "3", "1"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn sticky_keeps_a_key_at_its_worker_while_that_has_it_and_in_order() {
    testkit::run(5, |system| async move {
        let journal = Journal::default();
        let pool = system.spawn_pool(spec(&journal, 3, Routing::Sticky)).await.unwrap();
        let asked = [
            ask(&pool, keyed("a1", 7, 100)).await,
            ask(&pool, keyed("b1", 8, 10)).await,
            ask(&pool, keyed("a2", 7, 10)).await,
            ask(&pool, work("free", 10)).await,
        ];
        let by: Vec<String> = join_all(asked).await.into_iter().map(|by| by.unwrap().unwrap()).collect();
        assert_eq!(by, ["1", "2", "1", "3"]);
        let own: Vec<String> = journal.read().into_iter().filter(|note| note.starts_with('1')).collect();
        assert_eq!(own, ["1 begins a1", "1 ends a1", "1 begins a2", "1 ends a2"]);
        let next = pool.ask(keyed("a3", 7, 0)).await.unwrap();
        assert_eq!(next, "2", "nobody has the key in hand, so it goes to whoever is free for longest");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_persistent_key_stays_with_its_worker_and_a_resize_moves_few() {
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(spec(&Journal::default(), 4, Routing::KeyPersistent)).await.unwrap();
        let before = homes(&pool, 400).await;
        assert_eq!(homes(&pool, 400).await, before);
        for worker in ["1", "2", "3", "4"] {
            let share = before.iter().filter(|home| *home == worker).count();
            assert!((60..140).contains(&share), "worker {worker} has {share} of 400");
        }
        pool.resize(5).await.unwrap();
        let after = homes(&pool, 400).await;
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        assert!((40..130).contains(&moved.len()), "{} of 400 moved", moved.len());
        assert!(moved.iter().all(|(_, after)| *after == "5"), "a key moves to the new worker or not at all");
        pool.resize(4).await.unwrap();
        assert_eq!(homes(&pool, 400).await, before);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_persistent_key_waits_for_its_busy_worker_and_what_has_none_for_nobody() {
    testkit::run(5, |system| async move {
        let pool = system.spawn_pool(spec(&Journal::default(), 2, Routing::KeyPersistent)).await.unwrap();
        let long = ask(&pool, keyed("a1", 7, 100)).await;
        let behind = ask(&pool, keyed("a2", 7, 0)).await;
        let free = pool.ask(work("free", 0)).await.unwrap();
        let home = answer(long).await.unwrap();
        assert_ne!(free, home);
        assert_eq!(answer(behind).await.unwrap(), home);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_key_comes_from_the_message_or_else_from_the_call() {
    testkit::run(5, |system| async move {
        let spec = spec(&Journal::default(), 8, Routing::KeyPersistent)
            .key(|context| Some(PoolKey::of(context.tenant().as_str())));
        let pool = system.spawn_pool(spec).await.unwrap();
        let ask = |tenant: &str, work: Work| {
            let context = CallContext::new().with_tenant(TenantId::parse(tenant).unwrap());
            let asking = pool.ask(work).with_context(&context);
            async move { asking.await.unwrap() }
        };
        let mut of_tenant = BTreeSet::new();
        let mut of_message = BTreeSet::new();
        for tenant in ["ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"] {
            assert_eq!(ask(tenant, work("a", 0)).await, ask(tenant, work("b", 0)).await);
            of_tenant.insert(ask(tenant, work("c", 0)).await);
            of_message.insert(ask(tenant, keyed("d", 7, 0)).await);
        }
        assert!(of_tenant.len() > 1);
        assert_eq!(of_message.len(), 1, "the message's own key goes before the call's");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_key_function_that_panics_gives_no_key() {
    quiet_panics();
    testkit::run(5, |system| async move {
        let spec = spec(&Journal::default(), 2, Routing::Sticky).key(|_| panic!("no key"));
        let pool = system.spawn_pool(spec).await.unwrap();
        assert_eq!(pool.ask(work("a", 0)).await.unwrap(), "1");
        assert_eq!(system.snapshot().unwrap().find("pool").unwrap().restarts, 0);
        system.shutdown(GRACE).await.unwrap();
    });
}
