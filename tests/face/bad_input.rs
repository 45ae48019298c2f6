//! Bad input gets a clear answer, and the node goes on.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{PATIENCE, Place, read_head, request};

const INVOKE: &str = "/api/v1/agents/assistant/invoke";
const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn each_bad_request_is_told_what_is_wrong_and_the_node_goes_on() {
    let place = Place::new();
    let node = place.node(&[]);
    let post = |path: &str, headers: &[(&str, &str)], body: &[u8]| request(node.address, "POST", path, headers, body);
    let huge = vec![b'x'; 3 * 1024 * 1024];
    post(INVOKE, &[JSON], &huge).problem(413, "invalid_input");
    post(INVOKE, &[JSON], &[0, 159, 146, 150]).problem(400, "decode");
    post(INVOKE, &[JSON], b"{\"input\": \"\xff\xfe\"}").problem(400, "decode");
    post(INVOKE, &[JSON], "[".repeat(100_000).as_bytes()).problem(400, "decode");
    assert!(post(INVOKE, &[JSON], b"{\"input\": 7}").problem(400, "invalid_input").contains("field: input"));
    assert!(post(INVOKE, &[JSON], b"{}").problem(400, "invalid_input").contains("input is required"));
    assert!(post(INVOKE, &[JSON], b"").problem(400, "decode").contains("no JSON"));
    post(INVOKE, &[JSON], b"{\"input\":\"a\",\"session\":\"../../etc/passwd\"}").problem(400, "invalid_input");
    post(INVOKE, &[JSON], b"{\"input\":\"a\",\"cancel_on_disconnect\":1}").problem(400, "invalid_input");
    post(INVOKE, &[], b"{\"input\":\"a\"}").problem(415, "invalid_input");
    post(INVOKE, &[("Content-Type", "text/plain")], b"{\"input\":\"a\"}").problem(415, "invalid_input");
    let unknown = post("/api/v1/agents/nobody/invoke", &[JSON], b"{\"input\":\"a\"}").problem(404, "not_found");
    assert!(unknown.contains("assistant"), "the agents there are stand in {unknown}");
    for path in ["/api/v1/agents/..%2F..%2Fetc/invoke", "/api/v1/agents/%00/invoke", "/api/v1/agents/%ff/invoke"] {
        post(path, &[JSON], b"{\"input\":\"a\"}").problem(400, "invalid_input");
    }
    let long = "x".repeat(40 * 1024);
    request(node.address, "GET", "/api/v1/agents", &[("X-Long", &long)], b"").problem(431, "invalid_input");
    assert_eq!(node.invoke(&json!({"input": "What is 1 + 1?"})).status, 200);
    let (code, log) = node.stop();
    assert_eq!(code, Some(0));
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn what_is_no_http_at_all_ends_its_own_connection_only() {
    let place = Place::new();
    let node = place.node(&[]);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        &[0; 200_000],
        b"POST / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(node.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let mut stream = TcpStream::connect(node.address).unwrap();
    let head = format!(
        "POST {INVOKE} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n{}\r\n",
        "Content-Type: application/json\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    assert_eq!(node.invoke(&json!({"input": "What is 1 + 1?"})).status, 200);
}

#[test]
fn a_head_without_end_is_refused() {
    let place = Place::new();
    let node = place.node(&[]);
    let mut stream = TcpStream::connect(node.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(200_000)).as_bytes());
    let mut reader = std::io::BufReader::new(stream);
    let (status, _) = read_head(&mut reader);
    assert!(status == 414 || status == 431, "{status}");
}

#[test]
fn a_broken_file_is_told_as_a_whole() {
    let place = Place::new();
    place.write("beluga.toml", "[providers.main]\nkind = \"opnai\"\n[agents.support]\nmodel = \"gpt-5\"\ntols = []\n");
    let refused = place.run(&["ask", "hello"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    for told in [
        "3 problems",
        "beluga.toml:2:1: providers.main.kind",
        "beluga.toml:4:1: agents.support.model",
        "did you mean \"tools\"?",
    ] {
        assert!(refused.stderr.contains(told), "{told} is missing in {}", refused.stderr);
    }
    place.write("beluga.toml", "[http\naddr=");
    assert_eq!(place.run(&["node"]).code, Some(2));
    place.write("beluga.toml", [0xff, 0xfe, 0x00]);
    let binary = place.run(&["ask", "hello"]);
    assert!(binary.code == Some(2) && binary.stderr.contains("no UTF-8"), "{binary:?}");
}

#[test]
fn a_damaged_database_is_told_and_left_alone() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("beluga-data")).unwrap();
    let path = place.write("beluga-data/beluga.db", "this is no database, whatever its name says");
    let refused = place.run(&["ask", "hello"]);
    assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
    assert!(refused.stderr.contains("beluga.db"), "{refused:?}");
    assert_eq!(std::fs::read(path).unwrap(), b"this is no database, whatever its name says");
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let place = Place::new();
    place.write("data", "x");
    let refused = place.run(&["--data", "data", "ask", "hello"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("data directory"), "{refused:?}");
}

#[test]
fn a_taken_port_is_told() {
    let (one, two) = (Place::new(), Place::new());
    let node = one.node(&[]);
    let refused = two.run(&["node", "--http", &node.address.to_string()]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains(&format!("cannot listen on {}", node.address)), "{refused:?}");
}
