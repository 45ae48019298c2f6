//! Handoffs: transfer, return, conditions.

use beluga_actors::agent::{Agent, Handoff};
use beluga_actors::session::Invoke;
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_core::{AgentName, Code, Event, HandoffMode};
use serde_json::json;

use crate::kit::{Node, collect, names, session};

fn billing() -> AgentName {
    AgentName::parse("billing").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_transfer_gives_the_session_to_the_other_agent() {
    let node = Node::start().await;
    let front = ScriptedModel::new([Answer::call("transfer_to_billing", json!({"reason": "money"}))]);
    let back = ScriptedModel::new([Answer::text("billing here"), Answer::text("still billing")]);
    let billing = Agent::builder("billing").instructions("You bill.").model(back.clone());
    let billing = billing.spawn(&node.agents).await.unwrap();
    let agent = node.agent(&front, |agent| agent.handoff("billing", HandoffMode::Transfer)).await;
    let events = collect(agent.stream(Invoke::text("refund me").with_session(session("s"))).await.unwrap()).await;
    assert_eq!(names(&events), ["usage", "tool_call", "tool_result", "handoff", "text", "usage", "done"]);
    assert!(
        matches!(&events[3].event, Event::Handoff { to, mode: HandoffMode::Transfer, .. } if to.as_str() == "billing")
    );
    assert_eq!(events[4].agent.as_str(), "billing");
    assert_eq!(front.requests()[0].tools[0].name, "transfer_to_billing");
    let request = &back.requests()[0];
    assert_eq!(request.messages[0].text(), "You bill.");
    assert_eq!(request.messages.len(), 4, "system, question, call, result");
    let conflict = agent.ask("more").session(session("s")).await.unwrap_err();
    assert_eq!(conflict.code(), Code::Conflict);
    assert_eq!(billing.ask("more").session(session("s")).await.unwrap().result, "still billing");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_return_handoff_answers_like_a_tool() {
    let node = Node::start().await;
    let front = ScriptedModel::new([Answer::call("transfer_to_billing", json!({})), Answer::text("they say: paid")]);
    let back = ScriptedModel::new([Answer::text("paid")]);
    Agent::builder("billing").model(back.clone()).spawn(&node.agents).await.unwrap();
    let agent = node.agent(&front, |agent| agent.handoff("billing", HandoffMode::Return)).await;
    let reply = agent.invoke(Invoke::text("is it paid?").with_session(session("s"))).await.unwrap();
    assert_eq!(reply.result, "they say: paid");
    assert_eq!(front.requests()[1].messages[2].results().next().unwrap().text(), "paid");
    let seen: Vec<String> = back.requests()[0].messages.iter().map(|message| message.text()).collect();
    assert_eq!(seen, ["is it paid?"], "the question once, and nothing of the call");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_disabled_handoff_is_hidden_and_refused() {
    let node = Node::start().await;
    let front = ScriptedModel::new([Answer::call("transfer_to_billing", json!({})), Answer::text("stayed")]);
    Agent::builder("billing").model(ScriptedModel::new([])).spawn(&node.agents).await.unwrap();
    let handoff = Handoff::new(billing(), HandoffMode::Transfer).enabled(|_| false);
    let agent = node.agent(&front, |agent| agent.handoff_with(handoff)).await;
    assert_eq!(agent.ask("go").await.unwrap().result, "stayed");
    assert!(front.requests()[0].tools.is_empty());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn agents_that_hand_over_in_a_circle_are_stopped() {
    let node = Node::start().await;
    let ping: Vec<Answer> = (0..40).map(|_| Answer::call("transfer_to_billing", json!({}))).collect();
    let pong: Vec<Answer> = (0..40).map(|_| Answer::call("transfer_to_assistant", json!({}))).collect();
    let back = Agent::builder("billing").model(ScriptedModel::new(pong)).max_iterations(30);
    back.handoff("assistant", HandoffMode::Transfer).spawn(&node.agents).await.unwrap();
    let front = ScriptedModel::new(ping);
    let agent = node.agent(&front, |agent| agent.max_iterations(30).handoff("billing", HandoffMode::Transfer)).await;
    let error = agent.ask("go").await.unwrap_err();
    assert_eq!(error.code(), Code::BudgetExhausted);
    let refused = front.requests().last().unwrap().messages.last().unwrap().results().next().unwrap().text();
    assert!(refused.contains("8 handoffs"), "{refused}");
    node.stop().await;
}
