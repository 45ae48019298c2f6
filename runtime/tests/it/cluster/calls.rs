//! Calls of real actors over a cluster of three.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use beluga_core::Code;
use beluga_runtime::{task, time};
use futures_util::StreamExt;
use futures_util::future::join_all;

use super::nodes::*;

fn keys() -> impl Iterator<Item = String> {
    (0..40).map(|n| format!("a{n}"))
}

#[test]
fn a_key_is_one_actor_wherever_it_is_asked_from() {
    cluster(1, |_, books, nodes| async move {
        let mut places = HashSet::new();
        for key in keys() {
            for (before, node) in nodes.iter().enumerate() {
                let expected = u64::try_from(before).unwrap() + 1;
                assert_eq!(node.account(&key).ask(Add(1)).await.unwrap(), expected, "{key}");
            }
            places.insert(nodes[0].account(&key).ask(Place).await.unwrap());
        }
        assert_eq!(places.len(), 3, "they are spread over all nodes");
        assert!(books.lock().balances.values().all(|(_, balance)| *balance == 3));
        assert!(nodes.iter().all(|node| node.cluster.calls() == (0, 0)), "nothing is remembered");
        nodes
    });
}

#[test]
fn callers_get_no_error_and_nothing_is_lost_while_a_node_drains() {
    cluster(2, |_, books, nodes| async move {
        let mut asking = Vec::new();
        for (node, key) in (0..2).flat_map(|node| keys().map(move |key| (node, key))) {
            let account = nodes[node].account(&key);
            asking.push(task::spawn("asking", async move {
                for _ in 0..100 {
                    account.ask(Add(1)).with_context(&within(10_000)).await?;
                    time::sleep(Duration::from_millis(50)).await;
                }
                Ok::<(), beluga_core::Error>(())
            }));
        }
        time::sleep(Duration::from_millis(500)).await;
        nodes[2].cluster.leave().await;
        assert!(nodes[2].family.is_empty(), "its actors have left memory");
        for asked in join_all(asking).await {
            asked.unwrap().unwrap();
        }
        assert!(books.lock().balances.values().all(|(_, balance)| *balance == 200), "{:?}", books.lock().balances);
        let view = nodes[0].cluster.view().unwrap();
        assert_eq!(view.members().len(), 2);
        nodes
    });
}

#[test]
fn tells_of_one_sender_keep_their_order_while_their_shards_move() {
    cluster(3, |_, books, nodes| async move {
        for n in 0..400 {
            if n == 100 {
                let leaving = nodes[2].cluster.clone();
                drop(task::spawn("leaving", async move { leaving.leave().await }));
            }
            for key in keys() {
                nodes[0].account(&key).try_tell(Note(n)).unwrap();
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        time::sleep(Duration::from_secs(5)).await;
        let notes = books.lock().notes.clone();
        assert_eq!(notes.len(), 40);
        for (key, notes) in notes {
            assert!(notes.iter().copied().eq(0..400), "{key}: {notes:?}");
        }
        nodes
    });
}

#[test]
fn order_and_single_execution_survive_a_network_that_loses_doubles_and_delays() {
    for seed in 0..10 {
        cluster(seed, |net, books, nodes| async move {
            net.worsen(10, Duration::from_millis(120));
            for n in 0..60 {
                for key in keys().take(10) {
                    nodes[0].account(&key).try_tell(Note(n)).unwrap();
                }
                time::sleep(Duration::from_millis(5)).await;
            }
            time::sleep(Duration::from_secs(30)).await;
            for (key, notes) in &books.lock().notes {
                assert!(notes.iter().copied().eq(0..60), "seed {seed}, {key}: {notes:?}");
            }
            assert_eq!(nodes[0].cluster.calls().0, 0);
            nodes
        });
    }
}

#[test]
fn an_ask_has_one_effect_at_most_and_ends_however_bad_the_network_is() {
    for seed in 0..10 {
        cluster(seed, |net, books, nodes| async move {
            net.worsen(15, Duration::from_millis(120));
            let mut asking = Vec::new();
            for key in keys().take(20) {
                for node in &nodes {
                    let account = node.account(&key);
                    let key = key.clone();
                    asking.push(async move {
                        let mut told = (0, 0);
                        for _ in 0..10 {
                            match account.ask(Add(1)).with_context(&within(5000)).await {
                                Ok(_) => told.0 += 1,
                                Err(error) => {
                                    assert_eq!(error.code(), Code::Timeout, "{error}");
                                    told.1 += 1;
                                }
                            }
                        }
                        (key, told)
                    });
                }
            }
            let mut bounds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
            for (key, (done, unknown)) in join_all(asking).await {
                let bound = bounds.entry(key).or_default();
                *bound = (bound.0 + done, bound.1 + unknown);
            }
            net.mend();
            for (key, (done, unknown)) in bounds {
                let (_, balance) = books.lock().balances[&key];
                assert!((done..=done + unknown).contains(&balance), "{key}: {balance}, {done} + {unknown}");
            }
            time::sleep(Duration::from_secs(10)).await;
            assert!(nodes.iter().all(|node| node.cluster.calls() == (0, 0)), "nothing is remembered");
            nodes
        });
    }
}

/// Returns a key that runs on this node.
async fn key_on(nodes: &[Node], name: &str) -> String {
    for key in keys() {
        if nodes[0].account(&key).ask(Place).await.unwrap() == name {
            return key;
        }
    }
    panic!("no key is on {name}")
}

#[test]
fn what_a_dying_node_had_is_unknown_or_done_again_by_the_next_owner() {
    cluster(4, |net, books, mut nodes| async move {
        let key = key_on(&nodes, "n2").await;
        let account = nodes[0].account(&key);
        assert_eq!(account.ask(Add(5)).await.unwrap(), 5);
        let keyed = within(20_000).with_idempotency_key("once");
        let (once, again) = (account.clone(), account.clone());
        let lost = task::spawn("lost", async move { once.ask(Work(60_000)).with_context(&within(20_000)).await });
        let kept = task::spawn("kept", async move { again.ask(Add(1)).with_context(&keyed).await });
        time::sleep(Duration::from_millis(300)).await;
        net.cut("n2");
        nodes.remove(2).crash().await;
        let error = lost.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Code::UnknownOutcome, "{error}");
        assert_eq!(kept.await.unwrap().unwrap(), 6, "the next owner knows the balance");
        let began = time::now();
        assert_eq!(account.ask(Add(1)).await.unwrap(), 7);
        assert!(time::now() - began < Duration::from_millis(100));
        assert_eq!(books.lock().balances[&key].1, 7);
        nodes
    });
}

#[test]
fn a_node_that_is_cut_off_answers_nobody_and_comes_back_as_another() {
    cluster(5, |net, books, nodes| async move {
        let key = key_on(&nodes, "n2").await;
        let (near, far) = (nodes[2].account(&key), nodes[0].account(&key));
        assert_eq!(near.ask(Add(1)).await.unwrap(), 1);
        let before = nodes[2].cluster.me();
        let begun = near.clone();
        let begun = task::spawn("begun", async move { begun.ask(Work(1200)).with_context(&within(20_000)).await });
        time::sleep(Duration::from_millis(10)).await;
        net.cut("n2");
        // Its consent lasts for at most a second.
        time::sleep(Duration::from_millis(1050)).await;
        let error = near.ask(Add(100)).with_context(&within(600)).await.unwrap_err();
        assert_eq!(error.code(), Code::Timeout, "{error}");
        assert_eq!(far.ask(Add(1)).with_context(&within(5000)).await.unwrap(), 2, "the next owner serves");
        net.mend();
        time::sleep(Duration::from_secs(20)).await;
        nodes[2].cluster.joined().await;
        assert!(nodes[2].cluster.me().epoch > before.epoch);
        let error = begun.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Code::UnknownOutcome, "its work ended after its lease: {error}");
        assert_eq!(near.ask(Add(1)).await.unwrap(), 3);
        assert_eq!(books.lock().balances[&key].1, 3);
        nodes
    });
}

#[test]
fn a_caller_that_leaves_cancels_the_work_elsewhere_at_once() {
    cluster(6, |_, books, nodes| async move {
        let account = nodes[0].account(&key_on(&nodes, "n1").await);
        let asked = time::timeout(Duration::from_millis(200), account.ask(Work(60_000))).await;
        assert!(asked.is_err());
        time::sleep(Duration::from_millis(50)).await;
        let works = books.lock().works;
        assert_eq!((works.ended, works.dropped), (0, 1));
        assert!(nodes.iter().all(|node| node.cluster.calls() == (0, 0)));
        nodes
    });
}

#[test]
fn a_stream_crosses_with_credit_and_ends_with_its_reader() {
    cluster(7, |_, books, nodes| async move {
        let account = nodes[0].account(&key_on(&nodes, "n1").await);
        let items: Vec<u64> = account.stream(Count(1000)).window(8).open().map(|item| item.unwrap()).collect().await;
        assert!(items.into_iter().eq(1..=1000));
        let mut reading = account.stream(Count(1_000_000)).window(8).open();
        for n in 1..=10 {
            assert_eq!(reading.next().await.unwrap().unwrap(), n);
        }
        time::sleep(Duration::from_secs(1)).await;
        let ahead = books.lock().counted;
        // Ten are read; eight wait here and one is in hand, eight are the credit for those, and eight wait there.
        assert!(ahead <= 10 + 8 + 1 + 8 + 8, "the producer is bounded: {ahead}");
        drop(reading);
        time::sleep(Duration::from_millis(100)).await;
        let calls: Vec<_> = nodes.iter().map(|node| node.cluster.calls()).collect();
        assert_eq!(calls, [(0, 0); 3]);
        nodes
    });
}

#[test]
fn an_actor_of_a_node_is_called_by_name_and_a_node_that_is_none_is_told_at_once() {
    cluster(8, |net, _, nodes| async move {
        nodes[1].system.register::<by_name::Named>().unwrap();
        nodes[1].system.spawn("named", || by_name::Named).await.unwrap();
        let named = nodes[0].cluster.named::<by_name::NamedProtocol>("named", "n1", "named");
        assert_eq!(named.ask(by_name::Hello).await.unwrap(), "hello");
        let nobody = nodes[0].cluster.named::<by_name::NamedProtocol>("named", "n9", "named");
        assert_eq!(nobody.ask(by_name::Hello).await.unwrap_err().code(), Code::Unavailable);
        assert!(net.calls() > 0);
        nodes
    });
}

mod by_name {
    use beluga_core::Result;
    use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Message, Serialize, Deserialize)]
    #[message(name = "named.hello", reply = String)]
    pub(super) struct Hello;

    protocol!(pub(super) NamedProtocol: Hello);

    pub(super) struct Named;

    impl Actor for Named {
        type Protocol = NamedProtocol;
        const KIND: &'static str = "named";
    }

    impl Handler<Hello> for Named {
        async fn handle(&mut self, _hello: Hello, _cx: &mut Cx<Self>) -> Result<String> {
            Ok("hello".to_owned())
        }
    }
}
