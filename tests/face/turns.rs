//! What a crash leaves behind is taken up by the next process.

use serde_json::json;

use crate::support::{Place, text_of};
use crate::vendor::Vendor;

#[test]
fn a_turn_is_finished_after_kill_nine() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let node = place.node(&[]);
    let mut running = node.stream(&json!({"input": "slow 30", "session": "s"}));
    let first = running.event().unwrap();
    node.signal("KILL");
    assert_eq!(node.end().0, None);
    let again = place.node(&[]);
    let events = again.events("s", "", None).until("done");
    let answer: String = (0..30).map(|word| format!("word{word} ")).collect();
    assert_eq!(events.last().unwrap().data["result"], answer.as_str());
    // A reader who saw the beginning is told what is void.
    let resumed = again.events("s", "?follow=false", first.id).rest();
    let retry = resumed.iter().find(|event| event.event == "retry");
    assert!(retry.is_some() || text_of(&resumed) == answer, "{resumed:?}");
}
