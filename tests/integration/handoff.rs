//! Handoffs: transfer, return, conditions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use beluga_actors::agent::{Agent, AgentBuilder, Handoff};
use beluga_actors::session::Invoke;
use beluga_actors::testkit::{Answer, FunctionModel, ScriptedModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{
    AgentName, CallContext, Code, Effect, Error, Event, HandoffMode, Numbered, Result, Role, TenantId, ToolContext,
    ToolOutcome,
};
use beluga_runtime::testkit::kill;
use serde_json::json;

use crate::kit::{Gate, Node, Word, collect, names, session, wait};

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
    let events = collect(agent.stream(Invoke::text("is it paid?").with_session(session("s"))).await.unwrap()).await;
    let expected = ["usage", "tool_call", "handoff", "handoff", "tool_result", "text", "usage", "done"];
    assert_eq!(names(&events), expected);
    assert_eq!(handoffs(&events), ["assistant > billing Return", "billing > assistant Return"]);
    assert!(events.iter().all(|event| event.agent.as_str() == "assistant"), "the session stays with its agent");
    assert!(matches!(&events[7].event, Event::Done { result, .. } if result == "they say: paid"));
    let again = node.agents.sessions().events(&TenantId::default(), &session("s"), None, false).await.unwrap();
    assert_eq!(collect(again).await, events, "the journal tells the same");
    assert_eq!(front.requests()[1].messages[2].results().next().unwrap().text(), "paid");
    let seen: Vec<String> = back.requests()[0].messages.iter().map(|message| message.text()).collect();
    assert_eq!(seen, ["is it paid?"], "the question once, and nothing of the call");
    node.stop().await;
}

/// Who hands over to whom, in order.
fn handoffs(events: &[Numbered]) -> Vec<String> {
    let told = |event: &Numbered| match &event.event {
        Event::Handoff { from, to, mode } => Some(format!("{from} > {to} {mode:?}")),
        _ => None,
    };
    events.iter().filter_map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn every_return_handoff_comes_back_also_when_the_other_agent_fails() {
    let node = Node::start().await;
    let both = Answer::call("transfer_to_billing", json!({})).and_call("transfer_to_ghost", json!({}));
    let front = ScriptedModel::new([both, Answer::text("one is down")]);
    let down = ScriptedModel::new([Answer::error(Error::provider_unavailable("down"))]);
    Agent::builder("billing").model(down).spawn(&node.agents).await.unwrap();
    let returns = |agent: AgentBuilder, to: &str| agent.handoff(to, HandoffMode::Return);
    let agent = node.agent(&front, |agent| returns(returns(agent, "billing"), "ghost")).await;
    let events = collect(agent.stream(Invoke::text("go")).await.unwrap()).await;
    let expected = [
        "assistant > billing Return",
        "assistant > ghost Return",
        "billing > assistant Return",
        "ghost > assistant Return",
    ];
    assert_eq!(handoffs(&events), expected);
    let failed = |event: &Numbered| matches!(event.event, Event::ToolResult { outcome: ToolOutcome::Error, .. });
    assert_eq!(events.iter().filter(|event| failed(event)).count(), 2);
    assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_return_handoff_that_a_crash_interrupts_is_told_once_and_comes_back() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let front = ScriptedModel::new([Answer::call("transfer_to_billing", json!({})), Answer::text("done")]);
    let back = ScriptedModel::new([Answer::call("wait", json!({"word": "x"})), Answer::text("paid")]);
    let billing = Agent::builder("billing").model(back).tool(wait("wait", Effect::Idempotent, &gate));
    billing.spawn(&node.agents).await.unwrap();
    let agent = node.agent(&front, |agent| agent.handoff("billing", HandoffMode::Return)).await;
    let stream = agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap();
    gate.arrived(1).await;
    assert!(kill(&node.system, "agents/assistant/default.s"));
    gate.open();
    let events = collect(stream).await;
    assert_eq!(handoffs(&events), ["assistant > billing Return", "billing > assistant Return"], "{events:#?}");
    assert_eq!(names(&events).last(), Some(&"done"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handoff_is_offered_to_those_calls_it_is_enabled_for() {
    let node = Node::start().await;
    let front = ScriptedModel::new([Answer::text("closed"), Answer::text("open"), Answer::text("closed again")]);
    Agent::builder("billing").model(ScriptedModel::new([])).spawn(&node.agents).await.unwrap();
    let open = Arc::new(AtomicBool::new(false));
    let handoff = {
        let open = Arc::clone(&open);
        Handoff::new(billing(), HandoffMode::Return)
            .enabled(move |cx| open.load(Ordering::SeqCst) && cx.tenant().as_str() == "acme")
    };
    let agent = node.agent(&front, |agent| agent.handoff_with(handoff)).await;
    let acme = TenantId::parse("acme").unwrap();
    let ask = |tenant: &TenantId| {
        agent.invoke(Invoke::text("go").with_context(CallContext::new().with_tenant(tenant.clone())))
    };
    ask(&acme).await.unwrap();
    open.store(true, Ordering::SeqCst);
    ask(&acme).await.unwrap();
    ask(&TenantId::default()).await.unwrap();
    let offered: Vec<usize> = front.requests().iter().map(|request| request.tools.len()).collect();
    assert_eq!(offered, [0, 1, 0], "hidden while it is closed, and from other tenants");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_transfer_the_model_was_told_of_happens_also_if_it_closes_meanwhile() {
    let node = Node::start().await;
    let open = Arc::new(AtomicBool::new(true));
    let close = {
        let open = Arc::clone(&open);
        FunctionTool::new("close", "Closes.", move |_: Word, _cx: ToolContext| {
            open.store(false, Ordering::SeqCst);
            async { Result::Ok("closed") }
        })
    };
    let front = ScriptedModel::new([Answer::call("transfer_to_billing", json!({})).and_call("close", json!({}))]);
    Agent::builder("billing").model(ScriptedModel::new([Answer::text("here")])).spawn(&node.agents).await.unwrap();
    let handoff = Handoff::new(billing(), HandoffMode::Transfer).enabled(move |_| open.load(Ordering::SeqCst));
    let agent = node.agent(&front, |agent| agent.handoff_with(handoff).tool(close)).await;
    assert_eq!(agent.ask("go").await.unwrap().result, "here");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn agents_that_ask_each_other_in_a_circle_are_stopped() {
    let node = Node::start().await;
    let ask = |to: &'static str| {
        FunctionModel::new(move |request| match request.messages.last().unwrap().role {
            Role::User => Answer::call(format!("transfer_to_{to}"), json!({})),
            _ => Answer::text(request.messages.last().unwrap().results().next().unwrap().text()),
        })
    };
    let (ping, pong) = (ask("billing"), ask("assistant"));
    let back = Agent::builder("billing").model(pong.clone()).handoff("assistant", HandoffMode::Return);
    back.spawn(&node.agents).await.unwrap();
    let agent = Agent::builder("assistant").model(ping.clone()).handoff("billing", HandoffMode::Return);
    let agent = agent.spawn(&node.agents).await.unwrap();
    let answer = agent.ask("go").await.unwrap().result;
    assert!(answer.contains("8 handoffs"), "{answer}");
    assert_eq!(ping.calls() + pong.calls(), 18, "nine turns of two questions, the last one refused");
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
