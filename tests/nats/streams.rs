//! One question, many replies.

use std::time::Duration;

use beluga::actors::testkit::Answer;
use beluga::transports::nats::stream::PUSH_MESSAGES;
use serde_json::json;

use crate::kit::{self, Node, Reading, client};
use crate::server::Server;

const ASSISTANT: &str = "beluga.v1.acme.agent.assistant.stream";

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_one_by_one_and_the_last_message_says_how_it_ended() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::pieces(["Hel", "lo ", "you"])]).await;
    let client = client(&server).await;
    let mut reading = Reading::open(&client, ASSISTANT, &[], r#"{"input":"Hi"}"#).await;
    let (events, end, last) = reading.rest().await;
    let texts: Vec<&str> =
        events.iter().filter(|(name, _)| name == "text").map(|(_, body)| body["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Hel", "lo ", "you"]);
    assert_eq!(events.last().unwrap().1["result"], "Hello you");
    assert_eq!((end.as_str(), last), ("ok", json!(null)));
    let numbers: Vec<u64> = events.iter().map(|(_, body)| body["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");

    // The same events are read again from any number on; pieces of one stretch of text may come as one.
    let subject = format!("beluga.v1.acme.session.{}.stream", reading.session);
    let body = format!(r#"{{"after":{},"follow":false}}"#, numbers[0]);
    let (again, end, _) = Reading::open(&client, &subject, &[], &body).await.rest().await;
    let text: String = again.iter().filter_map(|(_, body)| body["text"].as_str()).collect();
    assert_eq!(text, "lo you");
    assert_eq!(again.last(), events.last());
    assert_eq!(end, "ok");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_cancels_its_turn() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::pieces(["So"]).then_hang()]).await;
    let client = client(&server).await;
    let mut reading = Reading::open(&client, ASSISTANT, &[], r#"{"input":"Hi"}"#).await;
    assert_eq!(reading.next().await.body["text"], "So");
    reading.say(r#"{"cancel":true}"#).await;
    let (events, end, _) = reading.rest().await;
    assert_eq!(events.last().unwrap().1["error"]["code"], "cancelled");
    assert_eq!(end, "cancelled");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_cancelled_by_name() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::pieces(["So"]).then_hang()]).await;
    let client = client(&server).await;
    let mut reading = Reading::open(&client, ASSISTANT, &[], r#"{"input":"Hi","session":"s7"}"#).await;
    reading.next().await;
    let told = kit::json(&kit::call(&client, "beluga.v1.acme.session.s7.call", r#"{"cancel":true}"#).await);
    assert_eq!((&told["cancelled"], &told["session"]), (&json!(true), &json!("s7")));
    assert_eq!(reading.rest().await.1, "cancelled");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_ends_with_its_reader_only_if_it_was_asked_to() {
    let server = Server::start();
    let slow = || Answer::pieces((0..40).map(|_| "x")).then_hang();
    let node = Node::start(&server, [slow(), Answer::hang()]).await;
    let client = client(&server).await;
    let body = r#"{"input":"Hi","session":"leaving","cancel_on_disconnect":true}"#;
    let mut reading = Reading::open(&client, ASSISTANT, &[("Beluga-Credit", "1")], body).await;
    reading.next().await;
    let control = reading.control.clone();
    reading.leave().await;
    // What is sent next meets nobody; the server says so.
    client.publish(control, r#"{"credit":5}"#.into()).await.unwrap();
    let subject = "beluga.v1.acme.session.leaving.stream";
    let mut watching = Reading::open(&client, subject, &[], r#"{"after":0}"#).await;
    loop {
        let item = watching.next().await;
        if item.event.as_deref() == Some("error") {
            assert_eq!(item.body["error"]["code"], "cancelled");
            break;
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_credit_the_node_is_never_further_ahead() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::pieces((0..20).map(|n| n.to_string()))]).await;
    let client = client(&server).await;
    let mut reading = Reading::open(&client, ASSISTANT, &[("Beluga-Credit", "2")], r#"{"input":"Hi"}"#).await;
    for want in ["0", "1"] {
        assert_eq!(reading.next().await.body["text"], want);
    }
    assert!(reading.is_quiet().await, "two were asked for");
    reading.say("nonsense").await;
    reading.say(r#"{"credit":3}"#).await;
    for want in ["2", "3", "4"] {
        assert_eq!(reading.next().await.body["text"], want);
    }
    assert!(reading.is_quiet().await, "three more were asked for");
    reading.say(r#"{"credit":100}"#).await;
    let (events, end, _) = reading.rest().await;
    assert_eq!((events.last().unwrap().0.as_str(), end.as_str()), ("done", "ok"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credit_long_answers_come_whole() {
    let server = Server::start();
    // Fewer than the ring of a session holds: the answer comes faster than it can be read, and nobody is cut off.
    let count = 2 * PUSH_MESSAGES + PUSH_MESSAGES / 2;
    let node = Node::start(&server, [Answer::pieces((0..count).map(|n| format!("{n} ")))]).await;
    let client = client(&server).await;
    let mut reading = Reading::open(&client, ASSISTANT, &[], r#"{"input":"Count"}"#).await;
    let (events, end, body) = reading.rest().await;
    assert_eq!(end, "ok", "{body}");
    // A reader that fell behind reads from the journal, where pieces of one stretch of text are one.
    let text: String = events.iter().filter_map(|(_, body)| body["text"].as_str()).collect();
    assert_eq!(text, (0..count).map(|n| format!("{n} ")).collect::<String>());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_begin_ends_at_once_with_the_error() {
    let server = Server::start();
    let node = Node::start(&server, []).await;
    let client = client(&server).await;
    for (subject, body, code) in [
        ("beluga.v1.acme.agent.nobody.stream", r#"{"input":"Hi"}"#, "not_found"),
        (ASSISTANT, r#"{"input":7}"#, "invalid_input"),
        ("beluga.v1.acme.session.none.stream", r#"{"after":-1}"#, "invalid_input"),
        ("beluga.v1.acme.session.none.stream", "{}", "not_found"),
    ] {
        let reply = kit::call(&client, subject, body).await;
        assert_eq!(kit::json(&reply)["code"], code, "{subject} {body}");
        assert_eq!(kit::header(&reply, "Beluga-Eos"), Some("error"));
        assert!(kit::header(&reply, "Nats-Service-Error").unwrap().starts_with(code));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_away_ends_its_streams_in_words() {
    let server = Server::start();
    let node = Node::start(&server, [Answer::text("Hello")]).await;
    let client = client(&server).await;
    let session = kit::json(&kit::call(&client, "beluga.v1.acme.agent.assistant.call", r#"{"input":"Hi"}"#).await);
    let subject = format!("beluga.v1.acme.session.{}.stream", session["session"].as_str().unwrap());
    let mut reading = Reading::open(&client, &subject, &[], "{}").await;
    while reading.next().await.event.as_deref() != Some("done") {}
    tokio::time::timeout(Duration::from_secs(20), node.stop()).await.unwrap();
    let (_, end, problem) = reading.rest().await;
    assert_eq!((end.as_str(), problem["code"].as_str()), ("error", Some("unavailable")));
}
