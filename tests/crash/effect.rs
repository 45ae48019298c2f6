//! `kill -9` between an effect and its record.

use serde_json::json;

use crate::ledger::Ledger;
use crate::model::{Answer, Ask};
use crate::tools::Tools;
use crate::world::{LOOK_BACK, World, kill, stream};

fn one_tool(ask: &Ask, url: &str, method: &str) -> Answer {
    match (ask.question(), ask.rounds()) {
        (LOOK_BACK, _) => Answer::pieces(["seen"]),
        (_, 0) => Answer::pieces(["One moment. "]).call("http", json!({"url": url, "method": method})),
        _ => Answer::pieces(["So ", "it ", "is."]),
    }
}

#[test]
fn an_effect_whose_record_is_lost_is_told_to_the_model_and_not_repeated() {
    let world = World::new(|ask, tools: &Tools| one_tool(ask, &tools.url("/held"), "POST"));
    let node = world.node();
    let mut ledger = Ledger::default();
    let mut reader = stream(&node, "go", "k").unwrap();
    world.tools.wait_for("POST");
    // The effect is there, its answer is held back.
    kill(node);
    ledger.read(&mut reader);
    assert_eq!((ledger.count("tool_call"), ledger.count("tool_result")), (1, 0));
    let node = world.node();
    world.model.wait_asked(2);
    assert!(world.model.asks()[1].is_told_unknown(), "the model is told: {:?}", world.model.asks()[1]);
    world.tools.release();
    ledger.follow(&node);
    assert!(ledger.has_unknown());
    assert_eq!((ledger.count("done"), world.tools.count("POST"), world.model.asked()), (1, 1, 2));
    ledger.check_every_cursor(&node, "once");
    let history = world.history(&node).to_string();
    assert_eq!(history.matches("unknown_outcome").count(), 1, "later turns know of it: {history}");
}

#[test]
fn a_call_that_may_be_repeated_is_repeated() {
    let world = World::new(|ask, tools: &Tools| one_tool(ask, &tools.url("/held"), "GET"));
    let node = world.node();
    let mut ledger = Ledger::default();
    let mut reader = stream(&node, "go", "k").unwrap();
    world.tools.wait_for("GET");
    kill(node);
    ledger.read(&mut reader);
    world.tools.release();
    let node = world.node();
    world.model.wait_asked(2);
    assert!(!world.model.asks()[1].is_told_unknown());
    ledger.follow(&node);
    assert!(!ledger.has_unknown());
    assert_eq!((ledger.count("tool_result"), ledger.count("done")), (1, 1));
    assert_eq!((world.tools.count("GET"), world.model.asked()), (2, 2), "the tool again, not the model");
    ledger.check_every_cursor(&node, "idempotent");
}
