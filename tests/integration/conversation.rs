//! Reading a conversation back: every turn with what was asked and what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::{Agent, ModelPort, Plan, Planner, PlannerState, ReAct};
use beluga_actors::session::{Invoke, METADATA_MAX, PAGE_MAX_TURNS, Page, Settings, TurnStatus};
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_core::{AgentName, BoxFuture, CallContext, Code, Effect, Error, HandoffMode, Result, TenantId, Usage};
use beluga_runtime::testkit::kill;
use parking_lot::Mutex;
use serde_json::json;

use crate::kit::{Gate, Node, Witness, collect, session, shout, stores, wait};

#[tokio::test(start_paused = true)]
async fn every_turn_is_read_back_with_its_outcome() {
    let usage = Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() };
    let script = [
        Answer::call("shout", json!({"word": "x"})).with_usage(usage),
        Answer::text("It is X.").with_usage(usage),
        Answer::text("half").then_error(Error::new(Code::ContentFiltered, "withheld")),
    ];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(shout("shout", Effect::Pure, &Witness::default()))).await;
    let labelled = Invoke::text("Shout x.").with_session(session("s")).with_metadata("ticket", "T-17");
    agent.invoke(labelled).await.unwrap();
    agent.ask("And y?").session(session("s")).await.unwrap_err();
    let read = agent.session(session("s")).conversation().await.unwrap();
    assert_eq!((read.session.as_str(), read.turns.len(), read.next), ("s", 2, None));
    let (first, second) = (&read.turns[0], &read.turns[1]);
    assert_eq!((first.turn.as_str(), first.agent.as_str(), first.status), ("t1", "assistant", TurnStatus::Done));
    assert_eq!((first.input.as_str(), first.output.as_deref()), ("Shout x.", Some("It is X.")));
    assert_eq!((first.steps, first.tool_calls, first.attempts, first.usage.input_tokens), (2, 1, 1, 6));
    assert_eq!(first.metadata.get("ticket").map(String::as_str), Some("T-17"));
    assert!(first.started_at_ms > 0 && first.ended_at_ms.unwrap() >= first.started_at_ms);
    assert_eq!((second.status, second.output.as_ref(), second.metadata.len()), (TurnStatus::Failed, None, 0));
    assert_eq!(second.error.as_ref().unwrap().code, Code::ContentFiltered);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_left_memory_is_read_without_waking_it() {
    let settings = Settings { idle_after: Duration::from_secs(1), ..Settings::default() };
    let (node, model) = (Node::with(stores(), settings).await, ScriptedModel::new([Answer::text("one")]));
    let agent = node.agent(&model, |agent| agent).await;
    agent.ask("a").session(session("s")).await.unwrap();
    let sessions = node.agents.sessions();
    while sessions.active() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let read = agent.session(session("s")).conversation().await.unwrap();
    assert_eq!(read.turns[0].output.as_deref(), Some("one"));
    // Not even the agent has to be there any more.
    node.agents.remove(&AgentName::parse("assistant").unwrap()).unwrap();
    assert_eq!(sessions.of(session("s")).conversation().await.unwrap(), read);
    assert_eq!(sessions.active(), 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_running_and_a_cancelled_turn_say_so() {
    let gate = Gate::shut();
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::call("slow", json!({}))]));
    let agent = node.agent(&model, |agent| agent.tool(wait("slow", Effect::Idempotent, &gate))).await;
    let stream = agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap();
    gate.arrived(1).await;
    let (handle, first) =
        (agent.session(session("s")), |read: beluga_actors::session::Conversation| read.turns[0].clone());
    let running = first(handle.conversation().await.unwrap());
    assert_eq!((running.status, running.ended_at_ms, running.tool_calls), (TurnStatus::Running, None, 1));
    assert!(kill(&node.system, "agents/assistant/default.s"));
    gate.arrived(2).await;
    handle.cancel().await.unwrap().unwrap();
    collect(stream).await;
    let cancelled = first(handle.conversation().await.unwrap());
    assert_eq!((cancelled.status, cancelled.attempts), (TurnStatus::Cancelled, 2));
    assert_eq!(cancelled.error.unwrap().code, Code::Cancelled);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn pages_hold_every_turn_once() {
    let script: Vec<Answer> = (1..=7).map(|n| Answer::text(format!("answer {n}"))).collect();
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    for n in 1..=7 {
        agent.ask(format!("question {n}")).session(session("s")).await.unwrap();
    }
    let (handle, mut from, mut seen) = (agent.session(session("s")), None, Vec::new());
    for size in [3, 3, 1] {
        let page = handle.page(Page { from, limit: 3 }).await.unwrap();
        assert_eq!((page.turns.len(), page.next.is_some()), (size, size == 3));
        from = page.next;
        seen.extend(page.turns.into_iter().map(|turn| turn.output.unwrap()));
    }
    assert_eq!(seen, (1..=7).map(|n| format!("answer {n}")).collect::<Vec<_>>());
    assert!(handle.page(Page { from: Some(10_000), limit: 3 }).await.unwrap().turns.is_empty());
    for limit in [0, PAGE_MAX_TURNS + 1] {
        assert_eq!(handle.page(Page { from: None, limit }).await.unwrap_err().code(), Code::InvalidInput);
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_page_of_long_turns_is_cut_by_its_bytes() {
    let long = "x".repeat(700 * 1024);
    let script = (0..3).map(|_| Answer::text(long.as_str()));
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    for _ in 0..3 {
        agent.ask("again").session(session("s")).await.unwrap();
    }
    let read = agent.session(session("s")).conversation().await.unwrap();
    assert_eq!((read.turns.len(), read.next.is_some()), (2, true));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_another_tenants_conversation() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::text("one")]));
    let agent = node.agent(&model, |agent| agent).await;
    let acme = TenantId::parse("acme").unwrap();
    let context = CallContext::new().with_tenant(acme.clone());
    agent.invoke(Invoke::text("a").with_session(session("s")).with_context(context)).await.unwrap();
    let handle = agent.session(session("s"));
    for missing in [handle.clone(), agent.session(session("other")).of_tenant(acme.clone())] {
        let first = missing.conversation().await.unwrap_err();
        let later = missing.page(Page { from: Some(3), limit: 1 }).await.unwrap_err();
        assert_eq!((first.code(), later.code()), (Code::NotFound, Code::NotFound));
    }
    assert_eq!(handle.of_tenant(acme).conversation().await.unwrap().turns.len(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_transferred_turn_names_the_agent_that_answered() {
    let node = Node::start().await;
    let billing = ScriptedModel::new([Answer::text("paid")]);
    Agent::builder("billing").model(billing).spawn(&node.agents).await.unwrap();
    let model = ScriptedModel::new([Answer::call("transfer_to_billing", json!({}))]);
    let agent = node.agent(&model, |agent| agent.handoff("billing", HandoffMode::Transfer)).await;
    agent.ask("pay").session(session("s")).await.unwrap();
    let turn = agent.session(session("s")).conversation().await.unwrap().turns.remove(0);
    assert_eq!((turn.agent.as_str(), turn.output.as_deref()), ("billing", Some("paid")));
    node.stop().await;
}

/// Plans as ReAct does, and notes the labels it is shown.
#[derive(Debug, Clone, Default)]
struct Noting(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

impl Planner for Noting {
    fn name(&self) -> &'static str {
        "noting"
    }

    fn plan<'a>(&'a self, state: &'a PlannerState, model: &'a dyn ModelPort) -> BoxFuture<'a, Result<Plan>> {
        self.0.lock().push(state.metadata.clone());
        ReAct.plan(state, model)
    }
}

#[tokio::test(start_paused = true)]
async fn planners_see_the_labels_also_after_a_crash_and_models_do_not() {
    let (gate, planner) = (Gate::shut(), Noting::default());
    let script = [Answer::call("slow", json!({})), Answer::text("done")];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let build = Agent::builder("assistant").model(model.clone()).planner(planner.clone());
    let agent = build.tool(wait("slow", Effect::Pure, &gate)).spawn(&node.agents).await.unwrap();
    let invoke = Invoke::text("go").with_session(session("s")).with_metadata("ticket", "T-17");
    let asked = tokio::spawn(async move { agent.invoke(invoke).await });
    gate.arrived(1).await;
    assert!(kill(&node.system, "agents/assistant/default.s"));
    gate.open();
    asked.await.unwrap().unwrap();
    let seen = planner.0.lock().clone();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|labels| labels.get("ticket").is_some_and(|value| value == "T-17")), "{seen:?}");
    assert!(model.requests().iter().all(|request| !format!("{request:?}").contains("T-17")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn labels_are_bounded_and_belong_to_the_request() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::text("one")]));
    let agent = node.agent(&model, |agent| agent).await;
    let ask = || Invoke::text("a").with_session(session("s"));
    let many = (0..=METADATA_MAX).fold(ask(), |invoke, n| invoke.with_metadata(format!("k{n}"), "v"));
    for wrong in [many, ask().with_metadata("", "v"), ask().with_metadata("k", "v".repeat(513))] {
        assert_eq!(agent.invoke(wrong).await.unwrap_err().code(), Code::InvalidInput);
    }
    let keyed = |value: &str| ask().with_idempotency_key("k").with_metadata("ticket", value);
    agent.invoke(keyed("1")).await.unwrap();
    agent.invoke(keyed("1")).await.unwrap();
    assert_eq!(agent.invoke(keyed("2")).await.unwrap_err().http_status(), 422);
    node.stop().await;
}
