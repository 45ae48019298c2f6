//! The same `Idempotency-Key` before and after a crash: one turn, one outcome.

use serde_json::json;

use crate::ledger::Ledger;
use crate::model::{Answer, Ask};
use crate::server::Gate;
use crate::tools::Tools;
use crate::world::{SESSION, World, died, invoke, kill, send_invoke, stream};

/// Says three words; the first and the second time it is asked it stops in the middle.
fn held_twice(gates: &[Gate; 2]) -> impl Fn(&Ask, &Tools) -> Answer + Send + Sync + use<> {
    let gates = gates.clone();
    move |ask, _| {
        let answer = Answer::pieces(["one ", "two ", "three"]);
        match gates.get(ask.number - 1) {
            Some(gate) => answer.hold(1, gate),
            None => answer,
        }
    }
}

#[test]
fn a_key_repeated_while_the_turn_is_taken_up_attaches_to_it() {
    let gates = <[Gate; 2]>::default();
    let world = World::new(held_twice(&gates));
    let node = world.node();
    let mut ledger = Ledger::default();
    let mut reader = stream(&node, "go", "k").unwrap();
    ledger.read_up_to(&mut reader, 1);
    kill(node);
    ledger.read(&mut reader);
    let node = world.node();
    world.model.wait_asked(2);
    let mut attached = stream(&node, "go", "k").unwrap();
    let mut second = Ledger::default();
    // The retry and the first word: live, while the model has not gone on.
    second.read_up_to(&mut attached, 2);
    assert_eq!(second.seen[0].event, "retry");
    gates[1].open();
    second.read(&mut attached);
    ledger.follow(&node);
    assert_eq!(second.story(), ledger.story());
    assert_eq!(second.story()[0], "text: one two three");
    assert_eq!(world.model.asked(), 2);
    assert_eq!(ledger.seen[0].data["turn"], second.seen[0].data["turn"]);
}

#[test]
fn a_key_repeated_after_the_end_gives_the_first_outcome_and_refuses_another_body() {
    let world = World::new(|ask, _: &Tools| Answer::pieces([format!("answer {}", ask.number)]));
    let body = json!({"input": "go", "session": SESSION});
    let node = world.node();
    let first = invoke(&node, &body, "k").json();
    assert_eq!(first["result"], "answer 1");
    kill(node);
    let node = world.node();
    assert_eq!(invoke(&node, &body, "k").json(), first);
    assert_eq!(world.model.asked(), 1, "the second process asked nobody");
    invoke(&node, &json!({"input": "stop", "session": SESSION}), "k").problem(422, "invalid_input");
    assert_eq!(invoke(&node, &body, "other").json()["result"], "answer 2");
}

#[test]
fn a_key_alone_names_the_session_across_a_crash() {
    let gates = <[Gate; 2]>::default();
    let world = World::new(held_twice(&gates));
    let body = json!({"input": "go"});
    let node = world.node();
    let waiting = send_invoke(&node, &body, "k");
    world.model.wait_asked(1);
    kill(node);
    drop(waiting);
    let node = world.node();
    world.model.wait_asked(2);
    gates[1].open();
    let reply = invoke(&node, &body, "k").json();
    assert_eq!(reply["result"], "one two three");
    assert_eq!(invoke(&node, &body, "k").json(), reply);
    let other = invoke(&node, &body, "l").json();
    assert_ne!(other["session"], reply["session"], "another key is another session");
    assert_eq!(world.model.asked(), 3);
}

#[test]
fn a_key_of_a_request_that_was_never_acknowledged_starts_its_turn() {
    let world = World::new(|ask, _: &Tools| Answer::pieces([format!("answer {}", ask.number)]));
    let node = world.dying("before:1");
    assert!(stream(&node, "go", "k").is_none());
    died(node, "before the first append");
    let node = world.node();
    assert_eq!(world.model.asked(), 0);
    let mut ledger = Ledger::default();
    ledger.read(&mut stream(&node, "go", "k").unwrap());
    assert_eq!(ledger.story()[0], "text: answer 1");
}

#[test]
fn a_key_of_a_request_that_is_durable_and_unheard_attaches() {
    let world = World::new(|ask, _: &Tools| Answer::pieces([format!("answer {}", ask.number)]));
    let node = world.dying("after:1");
    assert!(stream(&node, "go", "k").is_none(), "nobody heard of it");
    died(node, "after the first append");
    let node = world.node();
    let mut ledger = Ledger::default();
    ledger.read(&mut stream(&node, "go", "k").unwrap());
    assert_eq!((ledger.story()[0].as_str(), world.model.asked()), ("text: answer 1", 1));
}
