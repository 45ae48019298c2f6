//! The sample configuration of the server, and what it keeps from whom.

use std::time::Duration;

use beluga::actors::testkit::Answer;
use beluga::runtime::{HealthState, SystemRandom};
use beluga::transports::nats::{ConnectSettings, Connection, Credentials, FaceSettings};
use beluga_core::Code;

use crate::kit::{self, Node, call, patiently};
use crate::server::Server;

/// The sample, on the test's own port.
pub fn sample() -> String {
    let text = include_str!("../../examples/nats/server.conf");
    text.lines().filter(|line| !line.starts_with("listen:")).collect::<Vec<_>>().join("\n")
}

fn as_node(server: &Server, user: &str, password: &str) -> ConnectSettings {
    ConnectSettings {
        credentials: Credentials::Password { user: user.into(), password: password.to_owned().into() },
        inbox_prefix: "_INBOX_node".into(),
        ..ConnectSettings::new(server.url())
    }
}

async fn as_client(server: &Server, user: &str, password: &str, inbox: &str) -> async_nats::Client {
    let options = async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
    options.custom_inbox_prefix(inbox).connect(server.url()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_lets_each_do_its_work_and_no_more() {
    let server = Server::with(&sample());
    let answers = [Answer::text("for the backend"), Answer::pieces(["for ", "ann"])];
    let node =
        Node::with(as_node(&server, "node", "node-secret"), FaceSettings::default(), answers, |agent| agent).await;
    let backend = as_client(&server, "backend", "backend-secret", "_INBOX_client").await;
    kit::until_served(&backend).await;
    let reply = call(&backend, "beluga.v1.acme.agent.assistant.call", r#"{"input":"Hi"}"#).await;
    assert_eq!(kit::json(&reply)["result"], "for the backend");

    let ann = as_client(&server, "ann", "ann-secret", "_INBOX_ann").await;
    let subject = "beluga.v1.acme.x.ann.agent.assistant.stream";
    let mut reading = kit::Reading::open(&ann, subject, &[("Beluga-Credit", "1")], r#"{"input":"Hi"}"#).await;
    assert!(reading.control.starts_with("beluga.v1.acme.x.ann.reader."), "{}", reading.control);
    reading.say(r#"{"credit":50}"#).await;
    let (events, end, _) = reading.rest().await;
    assert_eq!((events.last().unwrap().1["result"].as_str(), end.as_str()), (Some("for ann"), "ok"));

    for (client, subject) in [
        (&ann, "beluga.v1.acme.agent.assistant.call"),
        (&ann, "beluga.v1.acme.x.bob.agent.assistant.call"),
        (&ann, "beluga.v1.acme.session.s1.call"),
        (&backend, "beluga.v1.other.agent.assistant.call"),
        (&backend, "beluga-int.v1.acme.hb"),
    ] {
        let request = client.request(subject, r#"{"input":"Hi"}"#.into());
        let outcome = tokio::time::timeout(Duration::from_millis(500), request).await;
        assert!(!matches!(outcome, Ok(Ok(_))), "{subject} was let through: {outcome:?}");
    }
    assert_eq!(node.model.requests().len(), 2, "nothing else reached the node");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_listen_says_so_at_once() {
    let server = Server::with(&sample());
    let node = Node::with(as_node(&server, "ann", "ann-secret"), FaceSettings::default(), [], |agent| agent).await;
    let health = patiently("the refusal is noticed", async {
        loop {
            let health = node.face.connection().health();
            if health.state == HealthState::Unhealthy {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert!(health.message.contains("beluga.v1."), "{health:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_told_apart_from_a_server_that_is_away() {
    let server = Server::with(&sample());
    let error = Connection::open(&as_node(&server, "node", "wrong-pw"), &SystemRandom::seeded(1)).await.unwrap_err();
    assert_eq!(error.code(), Code::AuthError, "{error}");
    assert!(!error.to_string().contains("wrong-pw") && !format!("{error:?}").contains("wrong-pw"));
}
