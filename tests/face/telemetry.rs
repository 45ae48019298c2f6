//! Traces and logs of a node: exported with the caller's ids, and joined by them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::support::{PATIENCE, Place};
use crate::vendor::Vendor;

/// Takes what an exporter sends: the paths and the bytes.
fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut path, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if path.is_empty() {
                    path = line.clone();
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
            if sender.send((path, body)).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}"), receiver)
}

#[test]
fn spans_are_exported_with_the_caller_s_trace() {
    let place = Place::new();
    let (endpoint, exported) = collector();
    let node = place.node_with(&[], &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]);
    let trace = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    let body = json!({"input": "What is 17% of 2340?"});
    assert_eq!(node.post_with("/api/v1/agents/assistant/invoke", &body, &trace).status, 200);
    let (code, log) = node.stop();
    assert_eq!(code, Some(0), "{log}");
    let (path, mut bytes) = exported.recv_timeout(PATIENCE).expect("the spans were sent at the latest at the end");
    bytes.extend(exported.try_iter().flat_map(|(_, bytes)| bytes));
    assert!(path.starts_with("POST /v1/traces"), "{path}");
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let caller = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128;
    assert!(has(&caller.to_be_bytes()), "the caller's trace id");
    for name in ["POST /api/v1/agents/{agent}/invoke", "invoke_agent assistant", "execute_tool calculator", "chat "] {
        assert!(has(name.as_bytes()), "{name:?} is missing in {}", String::from_utf8_lossy(&bytes));
    }
    assert!(!has(b"What is 17% of 2340?"), "content is not exported");
}

#[test]
fn a_collector_that_is_away_stops_nothing() {
    let place = Place::new();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")];
    let node = place.node_with(&[], &variables);
    assert_eq!(node.invoke(&json!({"input": "What is 1 + 1?"})).status, 200);
    assert_eq!(node.stop().0, Some(0));
}

#[test]
fn log_lines_are_json_and_carry_the_trace() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let node = place.node(&[]);
    let trace = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")];
    let body = json!({"input": "refuse 500"});
    let trace = [trace[0], ("X-Request-Id", "order/17")];
    assert_eq!(node.post_with("/api/v1/agents/assistant/invoke", &body, &trace).status, 502);
    let (_, log) = node.stop();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = lines.iter().find(|line| line["message"] == "a request failed").unwrap_or_else(|| panic!("{log}"));
    assert_eq!(failed["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(failed["request_id"], "order/17");
    let call = lines.iter().find(|line| line["message"] == "call failed").unwrap_or_else(|| panic!("{log}"));
    assert_eq!(call["request_id"], "order/17");
    assert_eq!((&failed["level"], &failed["status"]), (&json!("WARN"), &json!(502)));
}
