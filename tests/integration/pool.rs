//! Tools and models behind a pool of workers.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::model::{ModelPolicy, ModelRef};
use beluga_actors::testkit::{Answer, FunctionModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_actors::tool::{ToolRef, ToolSettings};
use beluga_core::{
    AgentName, CallContext, ChatMessage, ChatModel, Code, Effect, Error, ModelAnswer, ModelRequest, Result,
    ToolContext, ToolOutput, TurnId,
};
use beluga_runtime::testkit::{kill, quiet_panics};
use beluga_runtime::{BreakerConfig, BreakerState, PoolSettings, Routing, time};
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::kit::{Gate, Node, Word, session};

/// Lets everything that needs no time happen.
async fn settle() {
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
}

fn pool(workers: usize, queue: usize, routing: Routing) -> Option<PoolSettings> {
    Some(PoolSettings { workers, queue, routing, ..PoolSettings::default() })
}

fn context(name: &str) -> ToolContext {
    let call = CallContext::new();
    ToolContext::new(call, "key", session(name), TurnId::parse("t1").unwrap(), AgentName::parse("a").unwrap())
}

/// Calls a tool in a task of its own and returns once the call has got as far as it can.
async fn call(tool: &ToolRef, word: &str, who: &str) -> tokio::task::JoinHandle<Result<ToolOutput>> {
    let (tool, word, context) = (tool.clone(), word.to_owned(), context(who));
    let calling = tokio::spawn(async move { tool.call(json!({ "word": word }), context).await });
    settle().await;
    calling
}

/// Works for as many milliseconds as it is told, or as badly.
fn worker(gate: &Gate) -> FunctionTool {
    let gate = gate.clone();
    FunctionTool::new("tool", "Works.", move |Word { word }: Word, _cx: ToolContext| {
        let gate = gate.clone();
        async move {
            match word.as_str() {
                "wait" => gate.pass().await,
                "panic" => panic!("boom"),
                "fail" => return Err(Error::tool_failed("no")),
                "hang" => std::future::pending().await,
                _ => {}
            }
            Result::Ok(word)
        }
    })
    .with_effect(Effect::Pure)
    .with_timeout(Duration::from_secs(2))
}

fn code<T: std::fmt::Debug>(outcome: Result<T>) -> Code {
    outcome.unwrap_err().code()
}

async fn tool(node: &Node, gate: &Gate, settings: ToolSettings) -> ToolRef {
    node.agents.tools().add(Arc::new(worker(gate)), settings).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_tool_with_a_pool_runs_so_many_calls_at_a_time_and_refuses_what_its_queue_has_no_place_for() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let settings = ToolSettings { pool: pool(2, 1, Routing::Queuer), ..ToolSettings::default() };
    let tool = tool(&node, &gate, settings).await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(call(&tool, "wait", "s").await);
    }
    assert_eq!(gate.count(), 2);
    assert_eq!(code(call(&tool, "late", "s").await.await.unwrap()), Code::Overloaded);
    let tree = node.system.snapshot().unwrap();
    let seen = tree.find("tools/tool").unwrap();
    assert_eq!((seen.kind.as_str(), seen.lanes.normal, &seen.status["busy"]), ("pool", 1, &json!(2)));
    let workers: Vec<_> = seen.children.iter().map(|worker| (worker.name.as_str(), worker.kind.as_str())).collect();
    assert_eq!(workers, [("tools/tool/1", "tool"), ("tools/tool/2", "tool")]);
    gate.open();
    assert!(join_all(calls).await.into_iter().all(|called| called.unwrap().is_ok()));
    assert_eq!(node.agents.tools().totals()[0].succeeded, 3, "the totals are the tool's");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_pool_is_a_failed_result_and_no_crash_of_the_worker() {
    quiet_panics();
    let (node, gate) = (Node::start().await, Gate::shut());
    let guard = BreakerConfig { max_failures: 3, ..BreakerConfig::default() };
    let settings =
        ToolSettings { pool: pool(2, 8, Routing::RoundRobin), breaker: Some(guard), ..ToolSettings::default() };
    let tool = tool(&node, &gate, settings).await;
    for (word, expected) in
        [("panic", "tool_failed: panicked: boom"), ("hang", "timeout: the tool took longer than 2000 ms")]
    {
        let error = call(&tool, word, "s").await.await.unwrap().unwrap_err();
        assert_eq!(format!("{}: {}", error.code(), error.message()), expected);
    }
    let restarts: u32 =
        node.system.snapshot().unwrap().find("tools/tool").unwrap().children.iter().map(|worker| worker.restarts).sum();
    assert_eq!(restarts, 0);
    assert!(kill(&node.system, "tools/tool/1"), "the breaker is not the worker's");
    settle().await;
    assert_eq!(code(call(&tool, "fail", "s").await.await.unwrap()), Code::ToolFailed);
    assert_eq!(code(call(&tool, "fine", "s").await.await.unwrap()), Code::CircuitOpen);
    let breaker = node.system.snapshot().unwrap().find("tools/tool").unwrap().breaker.unwrap();
    assert_eq!(breaker.state, BreakerState::Open);
    time::sleep(Duration::from_secs(30)).await;
    assert!(call(&tool, "fine", "s").await.await.unwrap().is_ok());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_left_frees_its_worker_or_never_runs() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let settings = ToolSettings { pool: pool(1, 8, Routing::Queuer), ..ToolSettings::default() };
    let tool = tool(&node, &gate, settings).await;
    let running = call(&tool, "wait", "s").await;
    let queued = call(&tool, "wait", "s").await;
    let last = call(&tool, "fine", "s").await;
    running.abort();
    queued.abort();
    assert_eq!(last.await.unwrap().unwrap(), ToolOutput::text("fine"));
    assert_eq!(gate.count(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_worker_loses_its_call_and_the_others_go_on() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let settings = ToolSettings { pool: pool(2, 8, Routing::Queuer), ..ToolSettings::default() };
    let tool = tool(&node, &gate, settings).await;
    let calls = [call(&tool, "wait", "s").await, call(&tool, "wait", "s").await, call(&tool, "fine", "s").await];
    assert!(kill(&node.system, "tools/tool/1"));
    settle().await;
    gate.open();
    let outcomes: Vec<_> =
        join_all(calls).await.into_iter().map(|called| called.unwrap().map_err(|e| e.code())).collect();
    assert_eq!(outcomes[0], Err(Code::UnknownOutcome));
    assert!(outcomes[1].is_ok() && outcomes[2].is_ok());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_session_go_to_one_worker_by_key() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let settings = ToolSettings { pool: pool(4, 8, Routing::KeyPersistent), ..ToolSettings::default() };
    let tool = tool(&node, &gate, settings).await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        calls.push(call(&tool, "wait", "ann").await);
    }
    assert_eq!(gate.count(), 1, "they wait for their worker, though three are free");
    for n in 0..20 {
        calls.push(call(&tool, "wait", &format!("s{n}")).await);
    }
    assert_eq!(gate.count(), 4);
    gate.open();
    assert!(join_all(calls).await.into_iter().all(|called| called.unwrap().is_ok()));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_is_resized_while_it_works_if_it_has_a_pool() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let settings = ToolSettings { pool: pool(1, 8, Routing::Queuer), ..ToolSettings::default() };
    let tool = tool(&node, &gate, settings).await;
    let calls = [call(&tool, "wait", "s").await, call(&tool, "wait", "s").await, call(&tool, "wait", "s").await];
    assert_eq!(gate.count(), 1);
    tool.resize(3).await.unwrap();
    gate.arrived(3).await;
    tool.resize(1).await.unwrap();
    gate.open();
    assert!(join_all(calls).await.into_iter().all(|called| called.unwrap().is_ok()));
    let bare =
        node.agents.tools().add(Arc::new(crate::kit::wait("bare", Effect::Pure, &gate)), ToolSettings::default());
    assert_eq!(code(bare.await.unwrap().resize(2).await), Code::Unsupported);
    node.stop().await;
}

/// A model that arrives at the gate with each call and then repeats what was said last.
fn slow(gate: &Gate) -> FunctionModel {
    let gate = gate.clone();
    let parrot = FunctionModel::new(|request| {
        let said = request.messages.last().map(|message| message.text()).unwrap_or_default();
        assert_ne!(said, "panic");
        Answer::text(said)
    });
    FunctionModel::streaming(move |request, cx| {
        let (gate, parrot) = (gate.clone(), parrot.clone());
        let answer = async move {
            gate.pass().await;
            parrot.stream(request, cx)
        };
        Box::pin(stream::once(answer).flatten())
    })
}

async fn model(node: &Node, gate: &Gate, policy: ModelPolicy) -> ModelRef {
    node.models().await.spawn("main", Arc::new(slow(gate)), policy).await.unwrap()
}

async fn generate(model: &ModelRef, said: &[&str]) -> tokio::task::JoinHandle<Result<ModelAnswer>> {
    let messages = said.iter().map(|text| Arc::new(ChatMessage::user(*text))).collect();
    let request = ModelRequest { messages, ..ModelRequest::default() };
    let (model, context) = (model.clone(), CallContext::new());
    let asking = tokio::spawn(async move { model.generate(Arc::new(request), context).await });
    settle().await;
    asking
}

#[tokio::test(start_paused = true)]
async fn a_model_with_a_pool_makes_so_many_calls_at_a_time() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let policy = ModelPolicy { pool: pool(2, 1, Routing::Queuer), retry: None, ..ModelPolicy::default() };
    let model = model(&node, &gate, policy).await;
    let asked = [generate(&model, &["a"]).await, generate(&model, &["b"]).await, generate(&model, &["c"]).await];
    assert_eq!(gate.count(), 2);
    assert_eq!(code(generate(&model, &["d"]).await.await.unwrap()), Code::Overloaded);
    gate.open();
    let said: Vec<String> =
        join_all(asked).await.into_iter().map(|answer| answer.unwrap().unwrap().message.text()).collect();
    assert_eq!(said, ["a", "b", "c"]);
    let tree = node.system.snapshot().unwrap();
    let seen = tree.find("providers/main").unwrap();
    assert_eq!((seen.kind.as_str(), seen.children.len(), seen.children[0].kind.as_str()), ("pool", 2, "model"));
    assert!(seen.breaker.is_some() && seen.children[0].breaker.is_none());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn calls_of_one_conversation_follow_each_other_at_one_worker() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let policy = ModelPolicy { pool: pool(3, 8, Routing::Sticky), ..ModelPolicy::default() };
    let model = model(&node, &gate, policy).await;
    let asked = [
        generate(&model, &["hello"]).await,
        generate(&model, &["hello", "and then"]).await,
        generate(&model, &["something else"]).await,
    ];
    assert_eq!(gate.count(), 2, "the second call of the conversation waits for the first, though a worker is free");
    gate.open();
    assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_worker_of_a_model_is_asked_again_and_a_panic_kills_none() {
    quiet_panics();
    let (node, gate) = (Node::start().await, Gate::shut());
    let policy = ModelPolicy { pool: pool(2, 8, Routing::Queuer), ..ModelPolicy::default() };
    let model = model(&node, &gate, policy).await;
    let asking = generate(&model, &["a"]).await;
    assert!(kill(&node.system, "providers/main/1"));
    gate.arrived(2).await;
    gate.open();
    assert_eq!(asking.await.unwrap().unwrap().message.text(), "a");
    assert_eq!(code(generate(&model, &["panic"]).await.await.unwrap()), Code::UnknownOutcome);
    let restarts: Vec<u32> = node
        .system
        .snapshot()
        .unwrap()
        .find("providers/main")
        .unwrap()
        .children
        .iter()
        .map(|worker| worker.restarts)
        .collect();
    assert_eq!(restarts, [1, 0]);
    model.resize(1).await.unwrap();
    assert!(generate(&model, &["b"]).await.await.unwrap().is_ok());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_leaves_frees_the_worker_of_a_model() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let policy = ModelPolicy { pool: pool(1, 8, Routing::Queuer), ..ModelPolicy::default() };
    let model = model(&node, &gate, policy).await;
    let (first, second) = (generate(&model, &["a"]).await, generate(&model, &["b"]).await);
    first.abort();
    gate.arrived(2).await;
    gate.open();
    assert_eq!(second.await.unwrap().unwrap().message.text(), "b");
    node.stop().await;
}
