//! A crash while one agent waits for another: both sessions are taken up, and find each other again.

use serde_json::json;

use crate::ledger::Ledger;
use crate::model::{Answer, Ask};
use crate::tools::Tools;
use crate::world::{World, kill, stream};

/// The desk asks the clerk and says what the clerk said; the clerk orders first.
fn desk_and_clerk(ask: &Ask, tools: &Tools) -> Answer {
    let is_clerk = ask.messages[0].to_string().contains("You are the clerk.");
    match (is_clerk, ask.rounds()) {
        (false, 0) => Answer::pieces(["I ask. "]).call("transfer_to_clerk", json!({"reason": "an order"})),
        (false, _) => Answer::pieces(["The clerk ", "is done."]),
        (true, 0) => Answer::default().call("http", json!({"url": tools.url("/held"), "method": "POST"})),
        (true, _) => Answer::pieces(["Ordered, ", "or not."]),
    }
}

#[test]
fn a_turn_that_waits_for_another_agent_finds_its_answer_after_the_crash() {
    let world = World::new(desk_and_clerk);
    let toml = std::fs::read_to_string(world.place.path().join("beluga.toml")).unwrap();
    let handoff = "handoffs = [{ agent = \"clerk\", mode = \"return\" }]\ninstructions = \"You are the desk.\"\n";
    let clerk = "[agents.clerk]\ninstructions = \"You are the clerk.\"\ntools = [\"http\"]\nmemory = []\n";
    world.place.write("beluga.toml", format!("{toml}{handoff}{clerk}"));
    let node = world.node();
    let mut ledger = Ledger::default();
    let mut reader = stream(&node, "order", "k").unwrap();
    world.tools.wait_for("POST");
    kill(node);
    ledger.read(&mut reader);
    world.tools.release();
    let node = world.node();
    // Two questions before the crash, the clerk's and the desk's last ones after it.
    world.model.wait_asked(4);
    ledger.follow(&node);
    assert_eq!((ledger.count("done"), world.tools.count("POST"), world.model.asked()), (1, 1, 4));
    assert!(world.model.asks()[2].is_told_unknown(), "the clerk is told of the doubt");
    let result = ledger.kept().into_iter().find(|event| event.event == "tool_result").unwrap();
    assert_eq!((&result.data["content"], &result.data["outcome"]), (&json!("Ordered, or not."), &json!("ok")));
    assert_eq!(ledger.seen.last().unwrap().data["result"], "The clerk is done.");
    ledger.check_every_cursor(&node, "handoff");
}
