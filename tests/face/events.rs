//! Streams: order, cursors, many readers, slow readers, readers that leave.

use serde_json::json;

use crate::support::{NodeProcess, Place, SseItem, text_of, wait_until};
use crate::vendor::Vendor;

fn vendor_node() -> (Place, Vendor, NodeProcess) {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let node = place.node(&[]);
    (place, vendor, node)
}

#[test]
fn a_stream_numbers_its_events_and_ends_with_done() {
    let place = Place::new();
    let node = place.node(&[]);
    let mut stream = node.stream(&json!({"input": "What is 17% of 2340?", "session": "s"}));
    assert_eq!((stream.status, stream.session().as_str()), (200, "s"));
    let events = stream.rest();
    let names: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
    assert!(names.contains(&"tool_call") && names.contains(&"tool_result") && names.contains(&"text"), "{names:?}");
    assert_eq!(names.last(), Some(&"done"));
    let numbers: Vec<u64> = events.iter().map(|event| event.id.unwrap()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    for event in &events {
        assert_eq!((&event.data["type"], &event.data["number"]), (&json!(event.event), &json!(event.id)));
    }
}

#[test]
fn a_session_is_read_from_any_cursor_by_many_readers() {
    let (_place, _vendor, node) = vendor_node();
    let mut live = node.stream(&json!({"input": "slow 8", "session": "s"}));
    let mut second = node.events("s", "", None);
    let seen = live.rest();
    let also = second.until("done");
    assert_eq!(text_of(&seen), "word0 word1 word2 word3 word4 word5 word6 word7 ");
    assert_eq!(text_of(&also), text_of(&seen));
    let whole = node.events("s", "?follow=false", None).rest();
    assert_eq!(text_of(&whole), text_of(&seen), "a finished step replays as one text");
    for cursor in seen.iter().filter_map(|event| event.id) {
        let before: Vec<_> = seen.iter().filter(|event| event.id <= Some(cursor)).cloned().collect();
        let after = node.events("s", "?follow=false", Some(cursor)).rest();
        assert!(after.iter().all(|event| event.id > Some(cursor)));
        assert_eq!(format!("{}{}", text_of(&before), text_of(&after)), text_of(&seen), "from {cursor}");
    }
    node.get("/api/v1/sessions/nobody/events").problem(404, "not_found");
    node.get("/api/v1/sessions/s/events?follow=maybe").problem(400, "invalid_input");
    node.get("/api/v1/sessions/..%2Fs/events").problem(400, "invalid_input");
    let bad = [("Last-Event-ID", "seven")];
    crate::support::request(node.address, "GET", "/api/v1/sessions/s/events", &bad, b"").problem(400, "invalid_input");
}

#[test]
fn a_quiet_stream_is_kept_alive() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", format!("{}[http]\nkeep_alive = \"50ms\"\n", vendor.configuration()));
    let node = place.node(&[]);
    node.invoke(&json!({"input": "say hi", "session": "s"}));
    let mut reader = node.events("s", "", None);
    reader.until("done");
    for _ in 0..3 {
        assert_eq!(reader.item().unwrap().comment.as_deref(), Some(""));
    }
}

#[test]
fn a_client_that_hangs_up_cancels_its_invoke() {
    let (_place, vendor, node) = vendor_node();
    let body = json!({"input": "hang", "session": "s"}).to_string();
    let headers = [("Content-Type", "application/json")];
    let path = "/api/v1/agents/assistant/invoke";
    let connection = crate::support::connect(node.address, "POST", path, &headers, body.as_bytes());
    wait_until(|| (vendor.requests() == 1).then_some(())).unwrap();
    drop(connection);
    wait_until(|| (vendor.hung_up() == 1).then_some(())).expect("the vendor's request is closed");
    let events = node.events("s", "", None).until("error");
    assert_eq!(events.last().unwrap().data["error"]["code"], "cancelled");
    assert_eq!(node.invoke(&json!({"input": "say on", "session": "s"})).json()["result"], "on");
}

#[test]
fn a_client_with_a_key_that_hangs_up_finds_its_answer_later() {
    let (_place, vendor, node) = vendor_node();
    let body = json!({"input": "slow 5"});
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    let path = "/api/v1/agents/assistant/invoke";
    let connection = crate::support::connect(node.address, "POST", path, &headers, body.to_string().as_bytes());
    wait_until(|| (vendor.requests() == 1).then_some(())).unwrap();
    drop(connection);
    let reply = node.post_with(path, &body, &headers[1..]);
    assert_eq!(reply.json()["result"], "word0 word1 word2 word3 word4 ");
    assert_eq!((vendor.requests(), vendor.hung_up()), (1, 0));
}

#[test]
fn a_streamed_turn_goes_on_without_its_reader_unless_it_asked_otherwise() {
    let (_place, vendor, node) = vendor_node();
    let mut stream = node.stream(&json!({"input": "slow 6", "session": "on"}));
    stream.event().unwrap();
    drop(stream);
    let events = node.events("on", "", None).until("done");
    assert_eq!(text_of(&events), "word0 word1 word2 word3 word4 word5 ");
    assert_eq!(vendor.hung_up(), 0);
    let mut stream = node.stream(&json!({"input": "slow 300", "session": "off", "cancel_on_disconnect": true}));
    stream.event().unwrap();
    drop(stream);
    let events = node.events("off", "", None).until("error");
    assert_eq!(events.last().unwrap().data["error"]["code"], "cancelled");
}

#[test]
fn cancel_ends_the_running_turn() {
    let (_place, vendor, node) = vendor_node();
    let mut stream = node.stream(&json!({"input": "slow 300", "session": "s"}));
    let first = stream.event().unwrap();
    let cancelled = node.post("/api/v1/sessions/s/cancel", &json!({})).json();
    assert_eq!((&cancelled["cancelled"], &cancelled["turn"]), (&json!(true), &first.data["turn"]));
    assert_eq!(stream.rest().last().unwrap().data["error"]["code"], "cancelled");
    wait_until(|| (vendor.hung_up() == 1).then_some(())).expect("the vendor's request is closed");
    let nothing = node.post("/api/v1/sessions/s/cancel", &json!({})).json();
    assert_eq!((&nothing["cancelled"], &nothing["turn"]), (&json!(false), &json!(null)));
    node.post("/api/v1/sessions/nobody/cancel", &json!({})).problem(404, "not_found");
}

/// Reads a turn to its end, taking it up again at its cursor each time the node cuts this reader off.
/// Returns the events and how often that happened.
fn read_on(node: &NodeProcess, session: &str, mut events: Vec<SseItem>) -> (Vec<SseItem>, usize) {
    for cuts in 0..1000 {
        if events.iter().any(|event| event.event == "done") {
            return (events, cuts);
        }
        let failed = events.iter().find(|event| event.event == "error");
        assert_eq!(failed.map(|event| &event.data["error"]), None);
        let cursor = events.iter().filter_map(|event| event.id).next_back();
        let mut reader = node.events(session, "", cursor);
        while let Some(item) = reader.item() {
            let told = item.comment.clone();
            events.extend(item.id.is_some().then_some(item));
            if events.last().is_some_and(|event| event.event == "done" || event.event == "error") {
                break;
            }
            if let Some((_, named)) = told.as_deref().and_then(|comment| comment.split_once("Last-Event-ID: ")) {
                let seen = events.iter().filter_map(|event| event.id).next_back().or(cursor);
                assert_eq!(named.parse().ok(), seen.or(Some(0)), "the node names the cursor the reader has");
            }
        }
    }
    panic!("no end after 1000 readers");
}

fn assert_whole(events: &[SseItem]) {
    let numbers: Vec<u64> = events.iter().filter_map(|event| event.id).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "nothing twice");
    let text = text_of(events);
    assert_eq!(text.len(), 2048 * 1024);
    for (number, piece) in text.as_bytes().chunks(1024).enumerate() {
        assert!(piece.starts_with(format!("{number:08}").as_bytes()), "a gap at {number}");
    }
}

/// 2 MiB: more than fits in the buffers on the way, less than the most an answer may have.
#[test]
fn a_slow_reader_is_cut_off_with_its_cursor_and_resumes_without_a_gap() {
    let (_place, vendor, node) = vendor_node();
    let mut slow = node.stream(&json!({"input": "stall 2048", "session": "s"}));
    wait_until(|| (vendor.flooded() == 1).then_some(())).expect("the session takes everything though nobody reads");
    let mut events = Vec::new();
    let mut farewell = None;
    while let Some(item) = slow.item() {
        farewell = item.comment.clone();
        events.extend(item.id.is_some().then_some(item));
    }
    let farewell = farewell.expect("a comment is the last word");
    assert!(farewell.starts_with("overloaded; go on with Last-Event-ID: "), "{farewell}");
    assert!(events.len() < 2048, "it was cut off, not fed from memory");
    assert_whole(&read_on(&node, "s", events).0);
}

#[test]
fn a_reader_that_comes_back_late_is_served_from_the_journal() {
    let (_place, _vendor, node) = vendor_node();
    let slow = node.stream(&json!({"input": "flood 2048", "session": "s"}));
    assert_whole(&read_on(&node, "s", Vec::new()).0);
    let mut slow = slow;
    let events: Vec<SseItem> = std::iter::from_fn(|| slow.item()).filter(|item| item.id.is_some()).collect();
    assert_whole(&read_on(&node, "s", events).0);
}

#[test]
fn an_invoke_is_answered_however_fast_the_vendor_is() {
    let (_place, _vendor, node) = vendor_node();
    let reply = node.invoke(&json!({"input": "flood 2048"})).json();
    assert_eq!(reply["result"].as_str().map(str::len), Some(2048 * 1024), "{}", reply["detail"]);
}

#[test]
fn a_reader_that_takes_nothing_is_disconnected() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", format!("{}[http]\nwrite_timeout = \"300ms\"\n", vendor.configuration()));
    let node = place.node(&[]);
    let _slow = node.stream(&json!({"input": "flood 2048", "session": "s"}));
    read_on(&node, "s", Vec::new());
    // The connection that asks is one itself.
    let alone = || node.get("/metrics").text().contains("beluga_http_connections 1\n");
    wait_until(|| alone().then_some(())).expect("the connection that took nothing is closed");
}
