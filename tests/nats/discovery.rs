//! What a stranger finds out.

use beluga::actors::testkit::Answer;
use bytes::Bytes;
use serde_json::Value;

use crate::kit::{self, Node, Reading, call, client};
use crate::server::Server;

async fn ask(client: &async_nats::Client, subject: &str) -> Value {
    kit::json(&kit::patiently(subject, client.request(subject.to_owned(), Bytes::new())).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_found_as_a_micro_service() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::text("Hello")]).await;
    let client = client(&server).await;
    let ping = ask(&client, "$SRV.PING").await;
    assert_eq!(
        (ping["name"].as_str(), ping["type"].as_str()),
        (Some("beluga"), Some("io.nats.micro.v1.ping_response"))
    );
    assert_eq!(ping["metadata"]["agents"], "assistant");
    let id = ping["id"].as_str().unwrap();
    let info = ask(&client, &format!("$SRV.INFO.beluga.{id}")).await;
    let subjects: Vec<&str> =
        info["endpoints"].as_array().unwrap().iter().map(|one| one["subject"].as_str().unwrap()).collect();
    assert!(subjects.contains(&"beluga.v1.*.agent.*.call"), "{subjects:?}");
    assert!(subjects.contains(&"beluga.v1.*.x.*.agent.*.stream"), "{subjects:?}");

    call(&client, "beluga.v1.acme.agent.assistant.call", r#"{"input":"Hi"}"#).await;
    call(&client, "beluga.v1.acme.agent.nobody.call", r#"{"input":"Hi"}"#).await;
    let stats = kit::patiently("both are counted", async {
        loop {
            let stats = ask(&client, "$SRV.STATS.beluga").await;
            let calls =
                stats["endpoints"].as_array().unwrap().iter().find(|one| one["name"] == "agent-call").unwrap().clone();
            if calls["num_requests"] == 2 {
                return calls;
            }
        }
    })
    .await;
    assert_eq!((&stats["num_errors"], &stats["last_error"]), (&1.into(), &"404:not_found".into()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_take_what_the_node_takes_and_gives() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::text("Hello"), Answer::pieces(["a", "b"])]).await;
    let client = client(&server).await;
    let info = ask(&client, "$SRV.INFO.beluga").await;
    let schema = |endpoint: &str, which: &str| {
        let all = info["endpoints"].as_array().unwrap();
        let metadata = &all.iter().find(|one| one["name"] == endpoint).unwrap()["metadata"];
        let schema: Value = serde_json::from_str(metadata[which].as_str().unwrap()).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    };
    let requests = schema("agent-call", "request_schema");
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    for (body, is_taken) in [
        (r#"{"input":"Hi"}"#, true),
        (r#"{"input":"Hi","session":null,"metadata":{"a":"b"}}"#, true),
        (r#"{}"#, false),
        (r#"{"input":"Hi","sesion":"x"}"#, false),
        (r#"{"input":"Hi","session":"a b"}"#, false),
        (r#"{"input":"Hi","metadata":{"a":1}}"#, false),
    ] {
        assert_eq!(requests.is_valid(&parse(body)), is_taken, "{body}");
        if !is_taken {
            let reply = call(&client, "beluga.v1.acme.agent.assistant.call", body).await;
            assert!(kit::header(&reply, "Nats-Service-Error").is_some(), "{body} is refused in fact");
        }
    }
    let reply = call(&client, "beluga.v1.acme.agent.assistant.call", r#"{"input":"Hi"}"#).await;
    assert!(schema("agent-call", "reply_schema").is_valid(&kit::json(&reply)));
    let events = schema("agent-stream", "reply_schema");
    let mut reading = Reading::open(&client, "beluga.v1.acme.agent.assistant.stream", &[], r#"{"input":"Hi"}"#).await;
    let (got, _, _) = reading.rest().await;
    assert!(!got.is_empty());
    for (name, body) in got {
        assert!(events.is_valid(&body), "{name}: {body}");
    }
    node.stop().await;
}
