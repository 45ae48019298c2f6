//! A client goes on with `Last-Event-ID` in the middle of a step that the crash has voided.

use crate::ledger::Ledger;
use crate::model::{Answer, Ask};
use crate::server::Gate;
use crate::tools::Tools;
use crate::world::{SESSION, World, died, kill, side_by_side, stream};

#[test]
fn a_cursor_in_a_voided_step_is_told_so_and_gets_the_new_one() {
    let gates = <[Gate; 2]>::default();
    let world = World::new({
        let gates = gates.clone();
        // The second time the model says something else, as models do.
        move |ask: &Ask, _: &Tools| match ask.number {
            1 => Answer::pieces(["a1 ", "a2 ", "a3 ", "a4 ", "a5 ", "a6"]).hold(5, &gates[0]),
            _ => Answer::pieces(["b1 ", "b2 ", "b3 ", "b4"]).hold(2, &gates[1]),
        }
    });
    let node = world.node();
    let mut all = Ledger::default();
    let mut reader = stream(&node, "go", "k").unwrap();
    all.read_up_to(&mut reader, 5);
    kill(node);
    all.read(&mut reader);
    // One client saw everything, another left after three pieces, a third never came.
    let mut some = Ledger { seen: all.seen[..3].to_vec() };
    let mut none = Ledger::default();
    let node = world.node();
    world.model.wait_asked(2);
    for (ledger, already) in [(&mut all, 5), (&mut some, 3), (&mut none, 0)] {
        // While the repeated step is under way.
        let mut live = node.events(SESSION, "", ledger.cursor());
        ledger.read_up_to(&mut live, already + 3);
        let new: Vec<&str> = ledger.seen[already..].iter().map(|event| event.event.as_str()).collect();
        assert_eq!(new, ["retry", "text", "text"]);
        assert!(ledger.seen[already].data["discard_from"].as_u64() <= ledger.seen[0].id, "{ledger:?}");
        assert_eq!(ledger.story(), ["text: b1 b2 "]);
    }
    let mut live = node.events(SESSION, "", some.cursor());
    gates[1].open();
    some.read_to_the_end(&mut live);
    all.follow(&node);
    none.follow(&node);
    for ledger in [&all, &some, &none] {
        assert_eq!(ledger.story()[0], "text: b1 b2 b3 b4");
        assert_eq!((ledger.count("done"), ledger.story().len()), (1, 3));
        ledger.check_every_cursor(&node, "voided");
    }
    assert_eq!(all.seen.last().unwrap().data["result"], "b1 b2 b3 b4");
}

/// More pieces than one reservation of numbers holds.
const PIECES: usize = 1500;

#[test]
fn numbers_a_dead_process_reserved_are_never_given_to_other_words() {
    // The second append reserves more numbers in the middle of the answer; the third ends the turn.
    let faults = vec!["before:2", "after:2", "before:3", "after:3"];
    side_by_side(faults, |fault| {
        // The first answer waits until a piece was shown: a node that dies sooner has promised nothing.
        let gate = Gate::default();
        let held = gate.clone();
        let world = World::new(move |ask, _: &Tools| {
            let run = ask.number;
            let answer = Answer::pieces((0..PIECES).map(|piece| format!("{run}.{piece} ")));
            if run == 1 { answer.hold(1, &held) } else { answer }
        });
        let node = world.dying(fault);
        let mut ledger = Ledger::default();
        let mut reader = stream(&node, "go", "k").unwrap();
        ledger.read_up_to(&mut reader, 1);
        gate.open();
        ledger.read(&mut reader);
        died(node, fault);
        let shown = ledger.seen.len();
        let node = world.node();
        ledger.follow(&node);
        let run = if fault == "after:3" { 1 } else { 2 };
        let answer: String = (0..PIECES).map(|piece| format!("{run}.{piece} ")).collect();
        assert_eq!(ledger.story()[0], format!("text: {answer}"), "{fault}");
        assert_eq!(ledger.count("done"), 1, "{fault}");
        assert_eq!(world.model.asked(), run, "{fault}");
        // From a few cursors on both sides of the crash.
        for count in [1, shown / 2, shown, shown + 1, ledger.seen.len() - 1] {
            let mut other = Ledger { seen: ledger.seen[..count].to_vec() };
            other.read(&mut node.events(SESSION, "?follow=false", other.cursor()));
            assert!(other.story() == ledger.story(), "{fault}: after {count} events");
        }
    });
}
