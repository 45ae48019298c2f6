//! Servers that go away and come back.

use std::time::Duration;

use beluga::actors::testkit::Answer;
use beluga::runtime::HealthState;

use crate::kit::{self, Node, call, client, patiently};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_again_when_its_server_is_back() {
    let mut server = Server::start();
    let node = Node::start(&server, [Answer::text("before"), Answer::text("after")]).await;
    let client = client(&server).await;
    let subject = "beluga.v1.acme.agent.assistant.call";
    assert_eq!(kit::json(&call(&client, subject, r#"{"input":"Hi"}"#).await)["result"], "before");
    server.stop();
    patiently("the loss is noticed", async {
        while node.face.connection().health().state != HealthState::Degraded {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    server.restart();
    kit::until_served(&client).await;
    assert_eq!(kit::json(&call(&client, subject, r#"{"input":"Hi"}"#).await)["result"], "after");
    assert_eq!(node.face.connection().health().state, HealthState::Healthy);
    node.stop().await;
}
