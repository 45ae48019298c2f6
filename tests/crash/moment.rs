//! `kill -9` at moments a user knows: while the answer streams, while a turn waits, right after the 200.

use serde_json::Value;

use crate::ledger::Ledger;
use crate::model::{Answer, Ask};
use crate::server::Gate;
use crate::support::{NodeProcess, text_of, wait_until};
use crate::tools::Tools;
use crate::world::{SESSION, World, died, kill, send_stream, side_by_side, stream};

/// Says the question again, word by word; the first time it is asked it stops in the middle.
fn echo_held_once(gate: &Gate) -> impl Fn(&Ask, &Tools) -> Answer + Send + Sync + use<> {
    let gate = gate.clone();
    move |ask, _| {
        let words = ask.question().split(' ').map(|word| format!("{word} "));
        let answer = Answer::pieces(words);
        if ask.number == 1 { answer.hold(2, &gate) } else { answer }
    }
}

#[test]
fn a_turn_killed_while_its_answer_streams_is_told_anew() {
    let world = World::new(echo_held_once(&Gate::default()));
    let node = world.node();
    let mut ledger = Ledger::default();
    let mut reader = stream(&node, "one two three four", "k").unwrap();
    ledger.read_up_to(&mut reader, 2);
    assert_eq!(text_of(&ledger.seen), "one two ");
    kill(node);
    ledger.read(&mut reader);
    let node = world.node();
    world.model.wait_asked(2);
    ledger.follow(&node);
    assert_eq!(ledger.seen[2].event, "retry");
    assert_eq!((&ledger.seen[2].data["attempt"], &ledger.seen[2].data["discard_from"]), (&2.into(), &1.into()));
    assert_eq!(ledger.story()[0], "text: one two three four ");
    assert_eq!(world.model.asked(), 2);
    ledger.check_every_cursor(&node, "streaming");
}

/// Finds a field's value anywhere in a tree.
fn holds(value: &Value, field: &str, wanted: u64) -> bool {
    match value {
        Value::Object(fields) => {
            fields.get(field).and_then(Value::as_u64) == Some(wanted)
                || fields.values().any(|v| holds(v, field, wanted))
        }
        Value::Array(values) => values.iter().any(|v| holds(v, field, wanted)),
        _ => false,
    }
}

fn wait_for_a_waiting_turn(node: &NodeProcess) {
    let waits = || holds(&node.get("/api/v1/tree").json(), "waiting", 1).then_some(());
    wait_until(waits).expect("the second turn waits");
}

#[test]
fn a_turn_that_waited_was_not_promised_and_runs_once_when_it_is_sent_again() {
    let world = World::new(echo_held_once(&Gate::default()));
    let node = world.node();
    let mut ledger = Ledger::default();
    let mut reader = stream(&node, "first in line", "k1").unwrap();
    ledger.read_up_to(&mut reader, 2);
    let second = send_stream(&node, "second in line", "k2");
    wait_for_a_waiting_turn(&node);
    kill(node);
    drop(second);
    ledger.read(&mut reader);
    let node = world.node();
    // Sent again at once, perhaps while the first turn is still under way: it comes after it.
    let mut own = Ledger::default();
    own.read(&mut stream(&node, "second in line", "k2").unwrap());
    assert_eq!(own.story()[0], "text: second in line ");
    ledger.follow(&node);
    assert_eq!(ledger.story()[0], "text: first in line ");
    let questions: Vec<String> = world.model.asks().iter().map(|ask| ask.question().to_owned()).collect();
    assert_eq!(questions, ["first in line", "first in line", "second in line"]);
    let last = world.model.asks().pop().unwrap();
    let said: Vec<&str> = last.messages.iter().filter_map(|message| message["role"].as_str()).collect();
    assert!(said.ends_with(&["user", "assistant", "user"]), "the second turn knows the first: {said:?}");
    let mut whole = Ledger::default();
    whole.read(&mut node.events(SESSION, "?follow=false", None));
    assert_eq!(whole.count("done"), 2);
}

#[test]
fn a_stream_that_was_answered_with_200_is_finished_whatever_happens() {
    side_by_side((0..6).collect(), |delay_ms: u64| {
        let world = World::new(|ask, _: &Tools| Answer::pieces(ask.question().split(' ')));
        let node = world.node();
        let reader = stream(&node, "yes", "k").unwrap();
        assert_eq!(reader.status, 200);
        // From at once to about when the turn ends.
        std::thread::sleep(std::time::Duration::from_millis(delay_ms * 4));
        kill(node);
        drop(reader);
        let node = world.node();
        world.model.wait_asked(1);
        let mut ledger = Ledger::default();
        ledger.follow(&node);
        assert_eq!((ledger.story()[0].as_str(), ledger.count("done")), ("text: yes", 1));
        assert!(world.model.asked() <= 2);
        ledger.check_every_cursor(&node, "after 200");
    });
}

#[test]
fn a_cancellation_that_is_durable_holds_after_the_crash() {
    // The appends: the turn's start, the cancellation, the turn's end.
    side_by_side(vec!["after:2", "before:3"], |fault| {
        let world = World::new(echo_held_once(&Gate::default()));
        let node = world.dying(fault);
        let mut ledger = Ledger::default();
        let mut reader = stream(&node, "one two three", "k").unwrap();
        ledger.read_up_to(&mut reader, 2);
        let cancel = format!("/api/v1/sessions/{SESSION}/cancel");
        // Held until the node is dead: a caller that hangs up at once may not be heard.
        let caller = crate::support::connect(node.address, "POST", &cancel, &[], b"");
        died(node, fault);
        drop(caller);
        ledger.read(&mut reader);
        let node = world.node();
        ledger.follow(&node);
        let end = ledger.seen.last().unwrap();
        assert_eq!((end.event.as_str(), &end.data["error"]["code"]), ("error", &"cancelled".into()), "{fault}");
        assert_eq!(world.model.asked(), 1, "{fault}: the model is not asked again");
        let next = node.invoke(&serde_json::json!({"input": "go on", "session": SESSION}));
        assert_eq!(next.json()["result"], "go on ", "{fault}");
    });
}

#[test]
fn a_turn_that_kills_every_process_ends_and_the_session_goes_on() {
    // The first answer waits for the 200: a node that dies sooner has promised nothing.
    let gate = Gate::default();
    let held = gate.clone();
    let world = World::new(move |ask, _: &Tools| {
        let answer = Answer::pieces(ask.question().split(' '));
        if ask.number == 1 { answer.hold(0, &held) } else { answer }
    });
    let node = world.dying("before:2");
    let mut ledger = Ledger::default();
    let mut reader = stream(&node, "poison", "k").unwrap();
    gate.open();
    ledger.read(&mut reader);
    died(node, "the first");
    // Each successor writes that it goes on, asks the model, and dies at the end of the turn.
    for successor in 1..=3 {
        died(world.dying("before:2"), &format!("successor {successor}"));
    }
    assert_eq!(world.model.asked(), 4);
    let node = world.node();
    ledger.follow(&node);
    let end = ledger.seen.last().unwrap();
    assert_eq!((end.event.as_str(), &end.data["error"]["code"]), ("error", &"turn_poisoned".into()), "{ledger:#?}");
    assert_eq!(world.model.asked(), 4, "the last process asked nobody");
    let next = node.invoke(&serde_json::json!({"input": "bread", "session": SESSION}));
    assert_eq!(next.json()["result"], "bread");
}

#[test]
fn every_open_session_is_taken_up() {
    const SESSIONS: usize = 20;
    let never = Gate::default();
    let world = World::new(move |ask, _: &Tools| {
        let answer = Answer::pieces([ask.question()]);
        if ask.number <= SESSIONS { answer.hold(0, &never) } else { answer }
    });
    let node = world.node();
    let streams: Vec<_> = (0..SESSIONS)
        .map(|n| node.stream(&serde_json::json!({"input": format!("question {n}"), "session": format!("s{n}")})))
        .collect();
    assert!(streams.iter().all(|stream| stream.status == 200));
    world.model.wait_asked(SESSIONS);
    kill(node);
    let node = world.node();
    world.model.wait_asked(2 * SESSIONS);
    for n in 0..SESSIONS {
        let events = node.events(&format!("s{n}"), "", None).until("done");
        assert_eq!(events.last().unwrap().data["result"], format!("question {n}"));
    }
    assert_eq!(world.model.asked(), 2 * SESSIONS);
}
