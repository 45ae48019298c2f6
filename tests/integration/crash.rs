//! Crashes: a journal that stops answering is a process that died; another node goes on from what was written.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use beluga_actors::agent::{Agent, AgentRef};
use beluga_actors::session::{EventStream, Invoke, Settings, Stores};
use beluga_actors::testkit::{Answer, FunctionModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{
    Append, BoxFuture, CallContext, ChatMessage, Code, Effect, Event, Group, Journal, Numbered, RequestId, Result,
    Role, StreamKey, TenantId, ToolContext, ToolOutcome, TraceContext,
};
use futures_util::StreamExt;
use serde_json::json;

use crate::kit::{Node, Witness, Word, session, shout, stores};

/// A journal that dies at one append, before or after it is written: from then on nothing answers.
#[derive(Debug)]
struct DyingJournal {
    inner: Arc<dyn Journal>,
    /// Appends until death; the half says whether the last one is written.
    left: AtomicI64,
    written: bool,
}

impl Journal for DyingJournal {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64>> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        let (inner, written) = (Arc::clone(&self.inner), self.written);
        Box::pin(async move {
            if left > 1 {
                return inner.append(append).await;
            }
            if left == 1 && written {
                inner.append(append).await?;
            }
            std::future::pending().await
        })
    }

    fn read(&self, stream: StreamKey, from: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Group>>> {
        self.inner.read(stream, from, limit)
    }

    fn open(&self, kind: &'static str, limit: usize) -> BoxFuture<'static, Result<Vec<StreamKey>>> {
        self.inner.open(kind, limit)
    }
}

#[derive(Debug, Clone, Default)]
struct Witnesses {
    pure: Witness,
    idempotent: Witness,
    once: Witness,
}

/// Answers by how many rounds of tools the history holds: two tools, then one, then text.
fn model() -> FunctionModel {
    FunctionModel::new(|request| match request.messages.iter().filter(|message| message.role == Role::Tool).count() {
        0 => Answer::call("pure", json!({"word": "p"})).and_call("idempotent", json!({"word": "i"})),
        1 => Answer::call("once", json!({"word": "o"})),
        _ => Answer::pieces(["all ", "three"]),
    })
}

async fn agent(node: &Node, witnesses: &Witnesses) -> AgentRef {
    Agent::builder("assistant")
        .model(model())
        .tool(shout("pure", Effect::Pure, &witnesses.pure))
        .tool(shout("idempotent", Effect::Idempotent, &witnesses.idempotent))
        .tool(shout("once", Effect::Once, &witnesses.once))
        .spawn(&node.agents)
        .await
        .unwrap()
}

/// The messages a follow-up turn sends: the history as the model sees it.
async fn history(node: &Node, agent: &AgentRef) -> Vec<ChatMessage> {
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let spy = {
        let seen = Arc::clone(&seen);
        FunctionModel::new(move |request| {
            *seen.lock() = request.messages.iter().map(|message| (**message).clone()).collect();
            Answer::text("seen")
        })
    };
    let spec = Agent::builder("assistant").model(spy).build(&node.agents).await.unwrap();
    node.agents.replace(spec).unwrap();
    agent.ask("look back").session(session("s")).await.unwrap();
    let mut messages = seen.lock().clone();
    messages.pop();
    for message in &mut messages {
        for part in &mut message.parts {
            // The double makes call ids up; they differ between runs and mean nothing.
            match part {
                beluga_core::Part::ToolCall(call) => call.id.clear(),
                beluga_core::Part::ToolResult(result) => result.call_id.clear(),
                _ => {}
            }
        }
    }
    messages
}

/// Reads until nothing comes any more: the process is dead.
async fn read_until_death(stream: &mut EventStream, seen: &mut Vec<Numbered>) {
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(30), stream.next()).await {
        seen.push(event.unwrap());
    }
}

async fn reference() -> (Vec<ChatMessage>, i64) {
    let stores = stores();
    let dying = Arc::new(DyingJournal { inner: stores.journal, left: AtomicI64::new(1_000), written: true });
    let node =
        Node::with(Stores { journal: Arc::clone(&dying) as Arc<dyn Journal>, ..stores }, Settings::default()).await;
    let agent = agent(&node, &Witnesses::default()).await;
    let reply = agent.invoke(Invoke::text("go").with_session(session("s"))).await.unwrap();
    assert_eq!(reply.result, "all three");
    let appends = 1_000 - dying.left.load(Ordering::SeqCst);
    let history = history(&node, &agent).await;
    node.stop().await;
    (history, appends)
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_append_repeats_no_finished_tool_and_loses_nothing() {
    let (expected, appends) = reference().await;
    assert!(appends >= 6, "start, two rounds of intents and results, end");
    for point in 1..=appends {
        for written in [false, true] {
            crash_at(point, written, &expected).await;
        }
    }
}

async fn crash_at(point: i64, written: bool, expected: &[ChatMessage]) {
    let place = format!("append {point}, written: {written}");
    let stores = stores();
    let witnesses = Witnesses::default();
    let dying = Arc::new(DyingJournal { inner: Arc::clone(&stores.journal), left: AtomicI64::new(point), written });
    let first = Node::with(Stores { journal: dying, ..stores.clone() }, Settings::default()).await;
    let dead = agent(&first, &witnesses).await;
    let mut seen = Vec::new();
    let invoke = Invoke::text("go").with_session(session("s")).with_idempotency_key("key");
    let started = tokio::time::timeout(Duration::from_secs(20), dead.stream(invoke.clone())).await;
    if let Ok(Ok(mut stream)) = started {
        read_until_death(&mut stream, &mut seen).await;
    }

    let second = Node::with(stores, Settings::default()).await;
    let living = agent(&second, &witnesses).await;
    let resumed = second.agents.sessions().resume().await.unwrap();
    // What was never acknowledged is sent again by its caller, under the same key.
    let reply = living.invoke(invoke).await.unwrap();
    assert_eq!(reply.result, "all three", "{place}");
    if point > 1 && !seen.iter().any(|event| event.event.is_terminal()) {
        assert!(resumed == 1 || written, "{place}: an open turn resumes by itself");
    }
    let tenant = TenantId::default();
    let cursor = seen.last().map(|event| event.number);
    let rest = second.agents.sessions().events(&tenant, &session("s"), cursor, false).await.unwrap();
    seen.extend(crate::kit::collect(rest).await);
    check_events(&seen, &place);

    let unknown =
        seen.iter().any(|event| matches!(event.event, Event::ToolResult { outcome: ToolOutcome::Unknown, .. }));
    let once = witnesses.once.count();
    assert!(once == 1 || unknown && once == 0, "{place}: a once tool never runs twice, and {once} times is unheard of");
    assert!(witnesses.idempotent.count() <= 2 && witnesses.pure.count() <= 2, "{place}");
    let finished_before = seen_before_crash(&seen, "pure");
    if finished_before {
        assert_eq!((witnesses.pure.count(), witnesses.idempotent.count()), (1, 1), "{place}: finished tools rest");
    }
    if !unknown {
        assert_eq!(history(&second, &living).await, expected, "{place}");
    }
    second.stop().await;
    drop(first);
}

/// Whether the tool's result stands before the first retry.
fn seen_before_crash(events: &[Numbered], tool: &str) -> bool {
    events
        .iter()
        .take_while(|event| event.event.name() != "retry")
        .any(|event| matches!(&event.event, Event::ToolResult { name, .. } if name == tool))
}

/// Numbers rise, no number comes twice, and after discards the text is the answer.
fn check_events(events: &[Numbered], place: &str) {
    assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number), "{place}: {events:#?}");
    let mut kept: Vec<&Numbered> = Vec::new();
    for event in events {
        if let Event::Retry { discard_from: Some(from), .. } = &event.event {
            kept.retain(|kept| kept.number < *from);
        }
        kept.push(event);
    }
    let text: String = kept
        .iter()
        .filter_map(|event| match &event.event {
            Event::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(text, "all three", "{place}: {events:#?}");
    assert_eq!(kept.iter().filter(|event| event.event.name() == "done").count(), 1, "{place}");
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_crashes_again_and_again_is_poisoned() {
    let stores = stores();
    // The first append starts the turn, each later node writes its resume and dies at the next append.
    for _ in 0..4 {
        let dying = DyingJournal { inner: Arc::clone(&stores.journal), left: AtomicI64::new(2), written: false };
        let node_stores = Stores { journal: Arc::new(dying), ..stores.clone() };
        let node = Node::with(node_stores, Settings::default()).await;
        let agent = agent(&node, &Witnesses::default()).await;
        if node.agents.sessions().resume().await.unwrap() == 0 {
            drop(agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap());
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        std::mem::forget(node);
    }
    let node = Node::with(stores, Settings::default()).await;
    let _agent = agent(&node, &Witnesses::default()).await;
    assert_eq!(node.agents.sessions().resume().await.unwrap(), 1);
    let tenant = TenantId::default();
    let events = node.agents.sessions().events(&tenant, &session("s"), None, true).await.unwrap();
    let last = events.map(|event| event.unwrap()).filter(|event| {
        let terminal = event.event.is_terminal();
        async move { terminal }
    });
    let last = Box::pin(last).next().await.unwrap();
    assert!(matches!(&last.event, Event::Error { error } if error.code == Code::TurnPoisoned), "{last:?}");
    assert_eq!(node.agents.sessions().resume().await.unwrap(), 0, "it is over");
    node.stop().await;
}

/// A tool that tells the request and the trace of its call.
fn whoami() -> FunctionTool {
    FunctionTool::new("whoami", "Tells who asks.", |_: Word, cx: ToolContext| async move {
        let request = cx.call.request_id().map_or("nobody", RequestId::as_str).to_owned();
        Result::Ok(format!("{request} {:x} {}", cx.call.trace().trace_id, cx.call.tier().unwrap_or("none")))
    })
    .with_effect(Effect::Pure)
}

#[tokio::test(start_paused = true)]
async fn another_node_goes_on_under_the_same_request_and_trace() {
    let stores = stores();
    let spawn = async |node: &Node| {
        let model = FunctionModel::new(|request| match request.messages.last().unwrap().results().next() {
            None => Answer::call("whoami", json!({})),
            Some(result) => Answer::text(result.text()),
        });
        Agent::builder("assistant").model(model).tool(whoami()).spawn(&node.agents).await.unwrap()
    };
    // The first append starts the turn; the second, the answer that calls the tool, is never written.
    let dying = DyingJournal { inner: Arc::clone(&stores.journal), left: AtomicI64::new(2), written: false };
    let first = Node::with(Stores { journal: Arc::new(dying), ..stores.clone() }, Settings::default()).await;
    let trace = TraceContext { trace_id: 0xabc, span_id: 0xdef, flags: 0 };
    let context = CallContext::new().with_request_id(RequestId::parse("req/17").unwrap()).with_trace(trace);
    let invoke = Invoke::text("go").with_session(session("s")).with_context(context.with_tier("gold"));
    let mut stream = spawn(&first).await.stream(invoke).await.unwrap();
    read_until_death(&mut stream, &mut Vec::new()).await;

    let second = Node::with(stores, Settings::default()).await;
    let living = spawn(&second).await;
    assert_eq!(second.agents.sessions().resume().await.unwrap(), 1);
    let events = living.session(session("s")).events(None, true).await.unwrap();
    let done = events.map(Result::unwrap).filter_map(|event| async move {
        match event.event {
            Event::Done { result, .. } => Some(result),
            _ => None,
        }
    });
    assert_eq!(Box::pin(done).next().await.unwrap(), "req/17 abc gold");
    let turn = living.session(session("s")).conversation().await.unwrap().turns.remove(0);
    assert_eq!(turn.request_id.unwrap().as_str(), "req/17");
    assert_eq!(turn.trace_id.as_deref(), Some("00000000000000000000000000000abc"));
    second.stop().await;
    drop(first);
}
