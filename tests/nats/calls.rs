//! One question, one reply.

use beluga::actors::testkit::Answer;
use beluga::transports::nats::ConnectSettings;
use beluga::transports::nats::FaceSettings;
use beluga_core::{Code, Problem};
use serde_json::json;

use crate::kit::{self, Node, call, client, header};
use crate::server::Server;

const ASSISTANT: &str = "beluga.v1.acme.agent.assistant.call";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_answered_as_http_answers_it() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::text("Hello"), Answer::text("Again")]).await;
    let client = client(&server).await;
    let reply = call(&client, ASSISTANT, r#"{"input":"Hi","session":"s1","metadata":{"from":"test"}}"#).await;
    let body = kit::json(&reply);
    assert_eq!((&body["result"], &body["session"]), (&json!("Hello"), &json!("s1")));
    assert!(body["turn"].is_string() && body["usage"].is_object());
    let second = kit::json(&call(&client, ASSISTANT, r#"{"input":"And now?","session":"s1"}"#).await);
    assert_eq!(second["result"], "Again");
    assert_eq!(node.model.requests()[1].messages.len(), 3, "the same session went on");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenant_comes_from_the_subject_and_no_header_is_believed() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::text("for acme"), Answer::text("for other")]).await;
    let client = client(&server).await;
    let body = r#"{"input":"Hi","session":"same"}"#;
    call(&client, ASSISTANT, body).await;
    let mut headers = async_nats::HeaderMap::new();
    for name in ["X-Beluga-Tenant", "Beluga-Tenant", "Beluga-From"] {
        headers.insert(name, "acme");
    }
    let other = "beluga.v1.other.x.ann.agent.assistant.call";
    client.request_with_headers(other, headers, body.into()).await.unwrap();
    assert_eq!(node.model.requests()[1].messages.len(), 1, "another tenant's session of the same id");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_told_by_header_and_body() {
    let server = Server::start();
    let node = Node::start(&server, []).await;
    let client = client(&server).await;
    for (subject, body, code, told) in [
        ("beluga.v1.acme.agent.nobody.call", r#"{"input":"Hi"}"#, Code::NotFound, "nobody"),
        (ASSISTANT, "{", Code::Decode, "no JSON"),
        (ASSISTANT, r#"{"input":"Hi","sesion":"x"}"#, Code::InvalidInput, "sesion"),
        (ASSISTANT, r#"{"input":" "}"#, Code::InvalidInput, "must not be empty"),
        ("beluga.v1.acme.agent._a.call", r#"{"input":"Hi"}"#, Code::InvalidInput, "beluga.v1.TENANT"),
        ("beluga.v1.acme.session.s1.call", r#"{"cancel":false}"#, Code::InvalidInput, "cancel"),
    ] {
        let reply = call(&client, subject, body).await;
        let problem: Problem = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(problem.code, code, "{subject} {body}: {problem:?}");
        assert!(problem.detail.contains(told), "{problem:?}");
        assert_eq!(header(&reply, "Nats-Service-Error-Code"), Some(problem.status.to_string().as_str()));
        assert!(header(&reply, "Nats-Service-Error").unwrap().starts_with(code.as_str()));
    }
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Beluga-Codec", "b2");
    let reply = client.request_with_headers(ASSISTANT, headers, r#"{"input":"Hi"}"#.into()).await.unwrap();
    assert_eq!(kit::json(&reply)["code"], "unsupported");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_one_effect_and_a_deadline_ends_a_call() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::text("once"), Answer::hang()]).await;
    let client = client(&server).await;
    let mut turns = Vec::new();
    for _ in 0..2 {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Idempotency-Key", "order-17");
        let reply = client.request_with_headers(ASSISTANT, headers, r#"{"input":"Buy"}"#.into()).await.unwrap();
        turns.push(kit::json(&reply)["turn"].clone());
    }
    assert_eq!(turns[0], turns[1]);
    assert_eq!(node.model.remaining(), 1, "the second call was answered from the first");
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Beluga-Deadline-Ms", "100");
    let reply = client.request_with_headers(ASSISTANT, headers, r#"{"input":"Hang"}"#.into()).await.unwrap();
    assert_eq!(kit::json(&reply)["code"], "timeout");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tell_is_acknowledged_once_its_turn_is_recorded() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::text("done")]).await;
    let client = client(&server).await;
    let reply = call(&client, "beluga.v1.acme.agent.assistant.tell", r#"{"input":"Hi","session":"told"}"#).await;
    assert_eq!(kit::json(&reply)["session"], "told");
    let mut reading =
        kit::Reading::open(&client, "beluga.v1.acme.session.told.stream", &[], r#"{"after":0,"follow":true}"#).await;
    loop {
        let item = reading.next().await;
        if item.event.as_deref() == Some("done") {
            assert_eq!(item.body["result"], "done");
            break;
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_it_may_serve_is_refused_at_once() {
    let server = Server::start();
    let settings = FaceSettings { requests_max: 1, body_limit_bytes: 2_000, ..FaceSettings::default() };
    let node = Node::with(ConnectSettings::new(server.url()), settings, [Answer::hang()], |agent| agent).await;
    let client = client(&server).await;
    let mut running =
        kit::Reading::open(&client, "beluga.v1.acme.agent.assistant.stream", &[], r#"{"input":"Hang"}"#).await;
    let refused = call(&client, ASSISTANT, r#"{"input":"Hi"}"#).await;
    assert_eq!(kit::json(&refused)["code"], "overloaded");
    running.say(r#"{"cancel":true}"#).await;
    let (_, end, _) = running.rest().await;
    assert_eq!(end, "cancelled");
    let large = format!(r#"{{"input":"{}"}}"#, "x".repeat(3_000));
    let reply = kit::patiently("a place is free again", async {
        loop {
            let reply = call(&client, ASSISTANT, &large).await;
            if kit::json(&reply)["code"] != "overloaded" {
                return reply;
            }
        }
    })
    .await;
    assert_eq!(kit::json(&reply)["status"], 413);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drains_leaves_the_queue_group_and_finishes_what_runs() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::text("slow").after(std::time::Duration::from_millis(300))]).await;
    let client = client(&server).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { call(&client, ASSISTANT, r#"{"input":"Hi"}"#).await }
    });
    kit::patiently("the turn runs", async {
        while node.model.requests().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    node.listener.stop().await;
    let refused = client.request(ASSISTANT, r#"{"input":"Hi"}"#.into()).await;
    assert!(refused.is_err(), "nobody listens: {refused:?}");
    assert_eq!(kit::json(&asking.await.unwrap())["result"], "slow");
    node.stop().await;
}
