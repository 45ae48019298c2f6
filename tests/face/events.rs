//! Streams: order, cursors, many readers, slow readers, readers that leave.

use std::time::Duration;

use serde_json::json;

use crate::support::{Place, Reader, text_of, wait_until};
use crate::vendor::Vendor;

fn vendor_node() -> (Place, Vendor, crate::support::NodeProcess) {
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
    let events = node.events("s", "?follow=false", None).until("error");
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

#[test]
fn a_slow_reader_loses_nothing() {
    let (_place, _vendor, node) = vendor_node();
    let mut slow = node.stream(&json!({"input": "flood 4096", "session": "s"}));
    // The whole turn happens while this reader takes nothing: 4 MiB fit in no buffer on the way.
    let mut fast = node.events("s", "", None);
    let whole = text_of(&fast.until("done"));
    assert_eq!(whole.len(), 4096 * 1024);
    let mut events = slow.rest();
    for _ in 0..10 {
        if events.iter().any(|event| event.event == "done") {
            break;
        }
        let cursor = events.iter().filter_map(|event| event.id).next_back();
        let mut reader: Reader = node.events("s", "?follow=false", cursor);
        events.extend(reader.rest());
    }
    assert_eq!(text_of(&events).len(), whole.len());
    assert!(text_of(&events) == whole, "no gap and nothing twice");
}

#[test]
fn a_reader_that_takes_nothing_is_disconnected() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", format!("{}[http]\nwrite_timeout = \"300ms\"\n", vendor.configuration()));
    let node = place.node(&[]);
    let mut slow = node.stream(&json!({"input": "flood 16384", "session": "s"}));
    node.events("s", "", None).until("done");
    std::thread::sleep(Duration::from_millis(1500));
    let events = slow.rest();
    assert_ne!(events.last().map(|event| event.event.as_str()), Some("done"), "the connection was cut");
    let cursor = events.iter().filter_map(|event| event.id).next_back();
    let rest = node.events("s", "?follow=false", cursor).rest();
    assert_eq!(text_of(&events).len() + text_of(&rest).len(), 16384 * 1024);
}
