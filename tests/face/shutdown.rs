//! How a node ends: it drains, or it is made to leave.

use serde_json::json;

use crate::support::{Place, wait_until};
use crate::vendor::Vendor;

#[test]
fn sigterm_lets_running_turns_end_and_takes_no_new_ones() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let node = place.node(&[]);
    let mut follower = {
        node.invoke(&json!({"input": "say hi", "session": "old"}));
        node.events("old", "", None)
    };
    follower.until("done");
    let mut running = node.stream(&json!({"input": "slow 20", "session": "s"}));
    running.event().unwrap();
    node.signal("TERM");
    wait_until(|| (node.get("/readyz").status == 503).then_some(())).expect("readyz says it drains");
    assert_eq!(node.get("/healthz").status, 200);
    let refused = node.invoke(&json!({"input": "say no"}));
    refused.problem(503, "unavailable");
    assert!(refused.header("retry-after").is_some());
    let farewell = follower.item().unwrap().comment.unwrap();
    assert!(farewell.contains("Last-Event-ID"), "{farewell}");
    assert_eq!(running.rest().last().unwrap().event, "done", "the running turn ended");
    assert_eq!(node.end().0, Some(0));
    let again = place.node(&[]);
    let events = again.events("s", "?follow=false", None).rest();
    assert_eq!(events.last().unwrap().event, "done", "nothing was lost");
}

#[test]
fn a_second_signal_ends_at_once() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let node = place.node(&[]);
    let mut running = node.stream(&json!({"input": "slow 300", "session": "s"}));
    running.event().unwrap();
    node.signal("TERM");
    wait_until(|| (node.get("/readyz").status == 503).then_some(())).unwrap();
    node.signal("TERM");
    assert_eq!(node.end().0, Some(1));
}

#[test]
fn a_turn_longer_than_the_grace_is_taken_up_by_the_next_start() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", format!("{}[limits]\nshutdown_grace = \"200ms\"\n", vendor.configuration()));
    let node = place.node(&[]);
    let mut running = node.stream(&json!({"input": "slow 30", "session": "s"}));
    running.event().unwrap();
    assert_eq!(node.stop().0, Some(0));
    let again = place.node(&[]);
    let events = again.events("s", "", None).until("done");
    assert!(events.last().unwrap().data["result"].as_str().unwrap().ends_with("word29 "));
}

#[test]
fn an_idle_node_ends_at_once() {
    let place = Place::new();
    let node = place.node(&[]);
    let before = std::time::Instant::now();
    assert_eq!(node.stop().0, Some(0));
    assert!(before.elapsed() < std::time::Duration::from_secs(5));
}
