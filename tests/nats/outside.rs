//! The binary and the official Python client.

use std::process::{Child, Command, Stdio};

use crate::kit;
use crate::server::Server;

struct NodeProcess(Child);

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn node(server: &Server, place: &std::path::Path) -> NodeProcess {
    let child = Command::new(env!("CARGO_BIN_EXE_beluga"))
        .args(["node", "--http", "127.0.0.1:0", "--name", "n1", "--nats", &server.url()])
        .current_dir(place)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    NodeProcess(child)
}

/// Returns a Python that has the client, or says why there is none.
fn python() -> Option<String> {
    let python = std::env::var("BELUGA_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&python).args(["-c", "import nats"]).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    println!(
        "skipped 1 test: {python} has no nats-py; BELUGA_PYTHON names a Python that has it (scripts/test makes one)"
    );
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_python_client_calls_streams_cancels_and_discovers() {
    let Some(python) = python() else { return };
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    let _node = node(&server, place.path());
    let client = async_nats::connect(server.url()).await.unwrap();
    kit::until_served(&client).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/nats/client.py");
    let output = Command::new(python).arg(script).arg(server.url()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    for line in ["call: ", "stream: ", "cancelled: ", "error: not_found", "service: beluga"] {
        assert!(stdout.contains(line), "{line:?} is missing in {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_rust_client_calls_and_streams() {
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    let _node = node(&server, place.path());
    let client = async_nats::connect(server.url()).await.unwrap();
    kit::until_served(&client).await;
    // Cargo builds examples beside the binary before it runs tests.
    let example = std::path::Path::new(env!("CARGO_BIN_EXE_beluga")).with_file_name("examples").join("nats_client");
    let output = Command::new(example).arg(server.url()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    for line in ["call: ", "ended: ok", "error: not_found"] {
        assert!(stdout.contains(line), "{line:?} is missing in {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_process_serves_and_leaves_in_order() {
    let (server, place) = (Server::start(), tempfile::tempdir().unwrap());
    let mut node = node(&server, place.path());
    let client = async_nats::connect(server.url()).await.unwrap();
    kit::until_served(&client).await;
    let reply = kit::call(&client, "beluga.v1.default.agent.assistant.call", r#"{"input":"What is 2 + 3?"}"#).await;
    assert!(kit::json(&reply)["result"].as_str().unwrap().contains('5'));
    let ended = Command::new("kill").args(["-TERM", &node.0.id().to_string()]).status().unwrap();
    assert!(ended.success());
    let status = kit::patiently("the node ends", async {
        loop {
            if let Some(status) = node.0.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(status.success(), "{status}");
    assert!(client.request("$SRV.PING.beluga", bytes::Bytes::new()).await.is_err(), "nobody serves any more");
}

#[test]
fn a_server_that_is_away_is_told_by_its_address() {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_beluga"))
        .args(["node", "--http", "127.0.0.1:0", "--nats", "nats://127.0.0.1:1"])
        .current_dir(place.path())
        .env_clear()
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains("no nats server answers") && stderr.contains("127.0.0.1:1"), "{stderr}");
}
