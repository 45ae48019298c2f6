//! What tools keep: by session, agent and tenant, over calls, restarts and crashes.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::{AgentBuilder, AgentRef};
use beluga_actors::session::{Invoke, Settings, Stores};
use beluga_actors::testkit::{Answer, FunctionModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{CallContext, Code, Effect, Result, Role, SessionId, State, StateScope, TenantId, ToolContext};
use beluga_providers::sqlite::{Sqlite, SqliteOptions};
use beluga_runtime::System;
use beluga_runtime::testkit::kill;
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::kit::{Gate, Node, Word, session, stores};

/// What the tool keeps.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Basket {
    items: Vec<String>,
    last_key: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Put {
    scope: String,
    item: String,
}

fn scoped(cx: &ToolContext, scope: &str) -> State {
    match scope {
        "session" => cx.session_state(),
        "agent" => cx.agent_state(),
        _ => cx.global_state(),
    }
}

/// Puts an item into the basket of a scope and tells what is in it.
fn put() -> FunctionTool {
    FunctionTool::new("put", "Puts an item into a basket.", |Put { scope, item }: Put, cx: ToolContext| async move {
        let state = scoped(&cx, &scope);
        let mut basket: Basket = state.get("basket").await?.unwrap_or_default();
        if item == "none" {
            state.delete("basket").await?;
            return Ok(String::new());
        }
        basket.items.push(item);
        state.set("basket", &basket).await?;
        Result::Ok(basket.items.join(" "))
    })
}

/// Calls `put` with the two words of the question, and says what it was told.
fn model() -> FunctionModel {
    FunctionModel::new(|request| {
        let last = request.messages.last().unwrap();
        match (last.role, last.text().split_once(' ')) {
            (Role::User, Some((scope, item))) => Answer::call("put", json!({"scope": scope, "item": item})),
            _ => Answer::text(last.results().next().unwrap().text()),
        }
    })
}

async fn spawn(node: &Node, name: &str, build: impl FnOnce(AgentBuilder) -> AgentBuilder) -> AgentRef {
    build(beluga_actors::agent::Agent::builder(name).model(model())).spawn(&node.agents).await.unwrap()
}

async fn say(agent: &AgentRef, tenant: &str, session: SessionId, question: &str) -> String {
    let context = CallContext::new().with_tenant(TenantId::parse(tenant).unwrap());
    agent.invoke(Invoke::text(question).with_session(session).with_context(context)).await.unwrap().result
}

#[tokio::test(start_paused = true)]
async fn values_reach_as_far_as_their_scope_and_never_to_another_tenant() {
    let node = Node::start().await;
    let put = node.agents.tools().add(Arc::new(put()), Default::default()).await.unwrap();
    let one = spawn(&node, "one", |agent| agent.shared_tool(put.clone())).await;
    let two = spawn(&node, "two", |agent| agent.shared_tool(put.clone())).await;
    for scope in ["session", "agent", "global"] {
        assert_eq!(say(&one, "acme", session("a"), &format!("{scope} x")).await, "x", "{scope}");
        assert_eq!(say(&one, "acme", session("a"), &format!("{scope} y")).await, "x y", "{scope}");
        let other_session = say(&one, "acme", session("b"), &format!("{scope} z")).await;
        assert_eq!(other_session, if scope == "session" { "z" } else { "x y z" }, "{scope}");
        let other_agent = say(&two, "acme", session("c"), &format!("{scope} w")).await;
        assert_eq!(other_agent, if scope == "global" { "x y z w" } else { "w" }, "{scope}");
        assert_eq!(say(&one, "rival", session("a"), &format!("{scope} v")).await, "v", "{scope}: another tenant");
        assert_eq!(say(&one, "acme", session("a"), &format!("{scope} none")).await, "", "{scope}");
        assert_eq!(say(&one, "acme", session("a"), &format!("{scope} u")).await, "u", "{scope}: deleted");
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_application_sees_and_watches_what_a_tool_keeps() {
    let node = Node::start().await;
    let agent = spawn(&node, "one", |agent| agent.tool(put())).await;
    let scope = StateScope::Session("a".to_owned());
    let state = State::new(Arc::clone(&node.stores.state), TenantId::default(), scope);
    let mut changes = state.watch::<Basket>("basket");
    for question in ["session x", "session none"] {
        agent.ask(question).session(session("a")).await.unwrap();
    }
    assert_eq!(changes.next().await.unwrap().unwrap().unwrap().items, ["x"]);
    assert_eq!(changes.next().await.unwrap().unwrap(), None);
    state.set("basket", "no basket").await.unwrap();
    assert_eq!(changes.next().await.unwrap().unwrap_err().code(), Code::Decode);
    let error = state.get::<Basket>("basket").await.unwrap_err();
    assert_eq!(error.code(), Code::Decode);
    assert!(!error.to_string().contains("no basket"), "{error}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tools_values_never_meet_the_runtimes_own() {
    let node = Node::start().await;
    let memory = node.core_memory().await;
    let agent = spawn(&node, "one", |agent| agent.tool(put()).memory(memory)).await;
    let own = beluga_core::StateKey {
        tenant: TenantId::default(),
        scope: StateScope::Agent("one".to_owned()),
        name: "basket".to_owned(),
    };
    node.stores.state.set(own.clone(), json!("the runtime's")).await.unwrap();
    assert_eq!(agent.ask("agent x").await.unwrap().result, "x");
    assert_eq!(node.stores.state.get(own).await.unwrap(), Some(json!("the runtime's")));
    node.stop().await;
}

/// Real time: the store is a file with a thread of its own.
#[tokio::test]
async fn what_a_tool_keeps_is_there_after_a_restart() {
    let place = tempfile::tempdir().unwrap();
    for (scope, expected) in [("session", "x"), ("session", "x x"), ("agent", "x"), ("agent", "x x")] {
        let system = System::builder("test").seed(7).build().unwrap();
        let store = Sqlite::open(place.path().join("beluga.db"), SqliteOptions::new(), system.host()).unwrap();
        let stores = Stores { journal: store.journal(), messages: store.messages(), state: store.state() };
        let agents = beluga_actors::agent::Agents::start(&system, &stores, Settings::default()).await.unwrap();
        let node = Node { system, agents, stores };
        let agent = spawn(&node, "one", |agent| agent.tool(put())).await;
        let reply = agent.ask(format!("{scope} x")).session(session("a")).await.unwrap();
        assert_eq!(reply.result, expected, "{scope}");
        drop(agent);
        node.stop().await;
        store.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_runs_again_after_a_crash_finds_what_it_wrote() {
    let node = Node::with(stores(), Settings::default()).await;
    let gate = Gate::shut();
    // Counts its runs in one value, and by its key what it did in another.
    let door = gate.clone();
    let tool = FunctionTool::new("put", "Puts.", move |_: Put, cx: ToolContext| {
        let door = door.clone();
        async move {
            let state = cx.session_state();
            let runs = state.get::<u32>("runs").await?.unwrap_or_default() + 1;
            state.set("runs", &runs).await?;
            let mut basket: Basket = state.get("basket").await?.unwrap_or_default();
            if basket.last_key != *cx.idempotency_key {
                basket.items.push("x".to_owned());
                basket.last_key = cx.idempotency_key.to_string();
                state.set("basket", &basket).await?;
            }
            door.pass().await;
            Result::Ok(format!("{runs} runs, {} items", basket.items.len()))
        }
    });
    let agent = spawn(&node, "one", |agent| agent.tool(tool.with_effect(Effect::Idempotent))).await;
    let asked = tokio::spawn({
        let agent = agent.clone();
        async move { agent.ask("session x").session(session("a")).await.unwrap().result }
    });
    gate.arrived(1).await;
    assert!(kill(&node.system, "agents/one/default.a"));
    gate.arrived(2).await;
    gate.open();
    assert_eq!(asked.await.unwrap(), "2 runs, 1 items", "the key tells a repeated call from a new one");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_context_without_a_store_and_a_name_too_long_are_refused() {
    let cx = ToolContext::new(
        CallContext::new(),
        "k",
        session("s"),
        beluga_core::TurnId::parse("t").unwrap(),
        beluga_core::AgentName::parse("a").unwrap(),
    );
    let state = cx.global_state();
    assert_eq!(state.get::<Word>("x").await.map(drop).unwrap_err().code(), Code::Unsupported);
    assert_eq!(state.set("x", &1).await.unwrap_err().code(), Code::Unsupported);
    assert_eq!(state.delete("x").await.unwrap_err().code(), Code::Unsupported);
    let kept = State::new(stores().state, TenantId::default(), StateScope::Global);
    let long = "x".repeat(beluga_core::STATE_NAME_MAX_BYTES + 1);
    assert_eq!(kept.set(&long, &1).await.unwrap_err().code(), Code::InvalidInput);
    let first = tokio::time::timeout(Duration::from_secs(1), state.watch::<u8>("x").next()).await.unwrap();
    assert_eq!(first.unwrap().unwrap_err().code(), Code::Unsupported);
}
