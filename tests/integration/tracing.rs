//! Tracing: which spans a turn leaves, whose children they are, and what never stands in them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::tracing::field::{Field, Visit};
use ::tracing::span::{Attributes, Id, Record};
use ::tracing::{Event, Subscriber};
use beluga_actors::agent::{Agent, AgentRef};
use beluga_actors::model::ModelPolicy;
use beluga_actors::session::{Invoke, Reply};
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{
    CallContext, ChatModel, Code, Effect, Error, HandoffMode, RequestId, Result, Retry, TenantId, ToolContext,
    TraceContext, Usage,
};
use beluga_runtime::telemetry::{HOP_TARGET, SpanHex, TraceHex};
use beluga_runtime::testkit::quiet_panics;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Barrier;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::kit::{Gate, Node, Witness, Word, collect, session, shout, wait};

/// What was recorded: spans in the order of their opening, and every line of the log.
#[derive(Debug, Clone, Default)]
struct Recorded(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    spans: Vec<Span>,
    places: BTreeMap<u64, usize>,
    log: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Span {
    fields: BTreeMap<String, String>,
    closed: bool,
}

impl Span {
    fn get(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    fn name(&self) -> &str {
        self.get("otel.name")
    }
}

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorded {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let mut book = self.0.lock();
        let mut span = Span::default();
        attributes.record(&mut Fields(&mut span.fields));
        if attributes.metadata().target() != HOP_TARGET {
            book.log.push(format!("{span:?}"));
            return;
        }
        assert!(attributes.is_root(), "a hop has no ambient parent");
        let place = book.spans.len();
        book.places.insert(id.into_u64(), place);
        book.spans.push(span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut book = self.0.lock();
        if let Some(place) = book.places.get(&id.into_u64()).copied() {
            values.record(&mut Fields(&mut book.spans[place].fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        self.0.lock().log.push(format!("{fields:?}"));
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut book = self.0.lock();
        if let Some(place) = book.places.remove(&id.into_u64()) {
            book.spans[place].closed = true;
        }
    }
}

impl Recorded {
    fn start() -> (Self, ::tracing::subscriber::DefaultGuard) {
        let recorded = Self::default();
        let guard = ::tracing::subscriber::set_default(tracing_subscriber::registry().with(recorded.clone()));
        (recorded, guard)
    }

    /// Returns all spans, once all are closed.
    async fn spans(&self) -> Vec<Span> {
        for _ in 0..1_000 {
            if self.0.lock().places.is_empty() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let spans = self.0.lock().spans.clone();
        assert!(spans.iter().all(|span| span.closed), "a span stays open: {spans:#?}");
        spans
    }
}

const CALLER: TraceContext = TraceContext { trace_id: 0xabc, span_id: 0xdef, flags: 1 };

async fn ask(agent: &AgentRef, text: &str) -> Result<Reply> {
    let context = CallContext::new().with_trace(CALLER).with_tenant(TenantId::parse("acme").unwrap());
    let context = context.with_request_id(RequestId::parse("req-17").unwrap()).with_tier("gold");
    agent.invoke(Invoke::text(text).with_session(session("s")).with_context(context)).await
}

async fn supervised(node: &Node, model: &ScriptedModel) -> impl ChatModel + use<> {
    node.models().await.spawn("main", Arc::new(model.clone()), ModelPolicy::default()).await.unwrap()
}

/// Returns `name < parent's name` of every span, in the order of opening.
fn family(spans: &[Span]) -> Vec<String> {
    let parent = |span: &Span| {
        let id = span.get("parent_span_id");
        let own = spans.iter().find(|other| other.get("span_id") == id);
        let caller = (id == SpanHex(CALLER.span_id).to_string()).then(|| "caller".to_owned());
        own.map(|other| other.name().to_owned()).or(caller).unwrap_or_else(|| format!("unknown {id}"))
    };
    spans.iter().map(|span| format!("{} < {}", span.name(), parent(span))).collect()
}

#[tokio::test(start_paused = true)]
async fn model_and_parallel_tools_are_children_of_the_turn() {
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let barrier = Arc::new(Barrier::new(2));
    let meet = |name: &str| {
        let barrier = Arc::clone(&barrier);
        FunctionTool::new(name, "Waits for the other.", move |_: Word, _cx: ToolContext| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Result::Ok("met")
            }
        })
    };
    let usage = Usage { input_tokens: 10, output_tokens: 4, cached_tokens: 2, ..Usage::default() };
    let model = ScriptedModel::new([
        Answer::pieces(["let ", "me"]).and_call("left", json!({})).and_call("right", json!({})).with_usage(usage),
        Answer::text("done").with_usage(usage),
    ]);
    let agent = Agent::builder("assistant").model(supervised(&node, &model).await).tool(meet("left"));
    let agent = agent.tool(meet("right")).spawn(&node.agents).await.unwrap();
    ask(&agent, "go").await.unwrap();
    let spans = recorded.spans().await;
    let expected = [
        "invoke_agent assistant < caller",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
        "execute_tool left < invoke_agent assistant",
        "execute_tool right < invoke_agent assistant",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
    ];
    assert_eq!(family(&spans), expected);
    for span in &spans {
        assert_eq!(span.get("trace_id"), TraceHex(CALLER.trace_id).to_string());
        let who = (span.get("tenant.id"), span.get("tenant.tier"), span.get("request.id"));
        assert_eq!(who, ("acme", "gold", "req-17"));
        assert_eq!(span.get("error.type"), "", "{span:?}");
        let has_usage = span.fields.keys().any(|key| key.starts_with("gen_ai.usage"));
        let spends = span.name().starts_with("invoke_agent") || span.name().starts_with("chat");
        assert_eq!(has_usage, spends, "{span:?}");
    }
    let (turn, plan, chat, tool) = (&spans[0], &spans[1], &spans[2], &spans[3]);
    assert_eq!((plan.get("gen_ai.operation.name"), plan.get("agent.planner")), ("plan", "react"));
    for (name, expected) in [
        ("gen_ai.operation.name", "invoke_agent"),
        ("gen_ai.agent.name", "assistant"),
        ("agent.id", "assistant"),
        ("agent.planner", "react"),
        ("gen_ai.conversation.id", "s"),
        ("turn.id", "t1"),
        ("gen_ai.usage.input_tokens", "20"),
        ("gen_ai.usage.output_tokens", "8"),
        ("otel.kind", "internal"),
    ] {
        assert_eq!(turn.get(name), expected, "{name}");
    }
    for (name, expected) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "beluga.test"),
        ("gen_ai.request.model", "scripted"),
        ("gen_ai.response.finish_reasons", "tool_calls"),
        ("gen_ai.usage.input_tokens", "10"),
        ("gen_ai.usage.cache_read.input_tokens", "2"),
        ("otel.kind", "client"),
    ] {
        assert_eq!(chat.get(name), expected, "{name}");
    }
    for (name, expected) in [("gen_ai.tool.name", "left"), ("gen_ai.tool.type", "function"), ("turn.id", "")] {
        assert_eq!(tool.get(name), expected, "{name}");
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_try_of_a_model_is_a_span_of_its_own() {
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let limited = Error::new(Code::RateLimit, "slow down").with_retry(Retry::After(Duration::from_secs(3)));
    let model = ScriptedModel::new([Answer::error(limited), Answer::text("done")]);
    let agent = Agent::builder("assistant").model(supervised(&node, &model).await).spawn(&node.agents).await.unwrap();
    ask(&agent, "go").await.unwrap();
    let spans = recorded.spans().await;
    let expected = [
        "invoke_agent assistant < caller",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
        "chat scripted < plan react",
    ];
    assert_eq!(family(&spans), expected);
    let failed: Vec<&str> = spans.iter().map(|span| span.get("error.type")).collect();
    assert_eq!(failed, ["", "", "rate_limit", ""]);
    assert_eq!(spans[2].get("otel.status_code"), "ERROR");
    assert!(!spans[2].fields.contains_key("gen_ai.usage.input_tokens"), "nothing was spent on the first try");
    let retries =
        recorded.0.lock().log.iter().filter(|line| line.contains("trying again")).cloned().collect::<Vec<_>>();
    assert_eq!(retries.len(), 1);
    assert!(retries[0].contains(&TraceHex(CALLER.trace_id).to_string()), "log lines carry the trace: {retries:?}");
    assert!(retries[0].contains("req-17"), "and the request: {retries:?}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sub_agents_turn_is_a_child_of_the_turn_that_asked() {
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let front = ScriptedModel::new([
        Answer::call("transfer_to_billing", json!({})),
        Answer::call("transfer_to_sales", json!({})),
    ]);
    let back = ScriptedModel::new([Answer::call("shout", json!({"word": "x"})), Answer::text("paid")]);
    let sales = ScriptedModel::new([Answer::text("sold")]);
    let models = node.models().await;
    let supervise = async |name: &str, model: ScriptedModel| {
        models.spawn(name, Arc::new(model), ModelPolicy::default()).await.unwrap()
    };
    let billing = Agent::builder("billing").model(supervise("back", back).await);
    billing.tool(shout("shout", Effect::Pure, &Witness::default())).spawn(&node.agents).await.unwrap();
    Agent::builder("sales").model(supervise("sales", sales).await).spawn(&node.agents).await.unwrap();
    let agent = Agent::builder("assistant").model(supervise("front", front).await);
    let agent = agent.handoff("billing", HandoffMode::Return).handoff("sales", HandoffMode::Transfer);
    let agent = agent.spawn(&node.agents).await.unwrap();
    assert_eq!(ask(&agent, "go").await.unwrap().result, "sold");
    let spans = recorded.spans().await;
    let expected = [
        "invoke_agent assistant < caller",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
        "invoke_agent billing < invoke_agent assistant",
        "plan react < invoke_agent billing",
        "chat scripted < plan react",
        "execute_tool shout < invoke_agent billing",
        "plan react < invoke_agent billing",
        "chat scripted < plan react",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
    ];
    assert_eq!(family(&spans), expected);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failed_hung_and_panicked_work_closes_its_span_with_the_reason() {
    quiet_panics();
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let bomb = FunctionTool::new("bomb", "Explodes.", |Word { word }: Word, _cx: ToolContext| async move {
        if word.is_empty() {
            panic!("boom");
        }
        Result::Ok(word)
    });
    let slow = wait("slow", Effect::Pure, &Gate::shut()).with_timeout(Duration::from_secs(1));
    let script = [
        Answer::call("bomb", json!({})).and_call("slow", json!({})).and_call("slow", json!({"word": 7})),
        Answer::text("half").then_error(Error::provider_unavailable("reset")),
    ];
    let model = ScriptedModel::new(script);
    let agent = Agent::builder("assistant").model(supervised(&node, &model).await).tool(bomb).tool(slow);
    let agent = agent.spawn(&node.agents).await.unwrap();
    ask(&agent, "go").await.unwrap_err();
    let spans = recorded.spans().await;
    let ends: Vec<(&str, &str)> = spans.iter().map(|span| (span.name(), span.get("error.type"))).collect();
    let expected = [
        ("invoke_agent assistant", "provider_unavailable"),
        ("plan react", ""),
        ("chat scripted", ""),
        ("execute_tool bomb", "tool_failed"),
        ("execute_tool slow", "timeout"),
        ("execute_tool slow", "invalid_input"),
        ("plan react", "provider_unavailable"),
        ("chat scripted", "provider_unavailable"),
    ];
    assert_eq!(ends, expected);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_resumed_turn_stays_in_its_trace() {
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let gate = Gate::shut();
    let model = ScriptedModel::new([Answer::call("slow", json!({})), Answer::text("done")]);
    let agent = Agent::builder("assistant").model(supervised(&node, &model).await);
    let agent = agent.tool(wait("slow", Effect::Idempotent, &gate)).spawn(&node.agents).await.unwrap();
    let asked = tokio::spawn(async move { ask(&agent, "go").await });
    gate.arrived(1).await;
    assert!(beluga_runtime::testkit::kill(&node.system, "agents/assistant/acme.s"));
    gate.arrived(2).await;
    gate.open();
    asked.await.unwrap().unwrap();
    let spans = recorded.spans().await;
    let expected = [
        "invoke_agent assistant < caller",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
        "execute_tool slow < invoke_agent assistant",
        "invoke_agent assistant < caller",
        "execute_tool slow < invoke_agent assistant",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
    ];
    assert_eq!(family(&spans), expected);
    assert_eq!(spans[0].get("error.type"), "unknown_outcome", "it was killed with its session");
    assert_eq!(spans[3].get("error.type"), "cancelled", "it ended with its session");
    assert_eq!(spans[3].get("parent_span_id"), spans[0].get("span_id"));
    assert_eq!(spans[5].get("parent_span_id"), spans[4].get("span_id"));
    assert!(spans[4..].iter().all(|span| span.get("error.type").is_empty()), "{spans:#?}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_turn_and_a_dropped_stream_leave_closes_with_an_error() {
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let model = ScriptedModel::new([Answer::text("half").then_hang(), Answer::text("half").then_hang()]);
    let agent = Agent::builder("assistant").model(supervised(&node, &model).await).spawn(&node.agents).await.unwrap();
    let open = async |session_id: &str| {
        let context = CallContext::new().with_trace(CALLER);
        let invoke = Invoke::text("go").with_session(session(session_id)).with_context(context);
        let mut stream = agent.stream(invoke.cancel_on_drop(true)).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().event.name(), "text");
        stream
    };
    drop(open("left").await);
    assert_eq!(ends(&recorded).await, [["cancelled"; 3]].concat(), "the caller left");
    let killed = open("killed").await;
    // Nobody resumes it: its agent goes with it.
    node.agents.remove(agent.name()).unwrap();
    let ends = ends(&recorded).await;
    assert!(ends[3..].iter().all(|end| matches!(end.as_str(), "cancelled" | "unknown_outcome")), "{ends:?}");
    assert_eq!(ends.len(), 6);
    drop(killed);
    node.stop().await;
}

/// Returns how every span ended, once all are closed.
async fn ends(recorded: &Recorded) -> Vec<String> {
    recorded.spans().await.iter().map(|span| span.get("error.type").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn memory_is_seen_at_work() {
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let (core, recall) = (node.core_memory().await, node.recall_memory().await);
    let script = [
        Answer::call("core_memory_append", json!({"block": "human", "content": "Ada"}))
            .and_call("core_memory_replace", json!({"block": "human", "old": "nobody", "new": "x"}))
            .and_call("recall_search", json!({"query": "Ada"})),
        Answer::text("done"),
    ];
    let model = ScriptedModel::new(script);
    let agent = Agent::builder("assistant").model(supervised(&node, &model).await).parallel_tools(1);
    let agent = core.tools().into_iter().fold(agent, |agent, tool| agent.tool(tool)).tool(recall.tool());
    let agent = agent.memory(core).memory(recall).spawn(&node.agents).await.unwrap();
    ask(&agent, "go").await.unwrap();
    let mut spans = recorded.spans().await;
    while !spans.iter().any(|span| span.name() == "upsert_memory recall") {
        tokio::task::yield_now().await;
        spans = recorded.spans().await;
    }
    let expected = [
        "invoke_agent assistant < caller",
        "load_memory core < invoke_agent assistant",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
        "execute_tool core_memory_append < invoke_agent assistant",
        "upsert_memory core < execute_tool core_memory_append",
        "execute_tool core_memory_replace < invoke_agent assistant",
        "upsert_memory core < execute_tool core_memory_replace",
        "execute_tool recall_search < invoke_agent assistant",
        "search_memory recall < execute_tool recall_search",
        "plan react < invoke_agent assistant",
        "chat scripted < plan react",
        "upsert_memory recall < caller",
    ];
    assert_eq!(family(&spans), expected);
    for span in spans.iter().filter(|span| span.name().contains("_memory ")) {
        let tier = span.name().split(' ').nth(1).unwrap();
        assert_eq!((span.get("memory.tier"), span.get("tenant.id")), (tier, "acme"), "{span:?}");
        assert_eq!((span.get("gen_ai.agent.name"), span.get("request.id")), ("assistant", "req-17"), "{span:?}");
    }
    assert_eq!((spans[5].get("error.type"), spans[7].get("error.type")), ("", "invalid_input"));
    node.stop().await;
}

/// Stands in every place where content or a secret may stand.
const SECRET: &str = "swordfish";

#[tokio::test(start_paused = true)]
async fn no_content_and_no_secret_is_recorded() {
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let (core, recall) = (node.core_memory().await, node.recall_memory().await);
    let script = [
        Answer::text(SECRET)
            .and_call("shout", json!({"word": SECRET}))
            .and_call("shout", json!({"word": [SECRET]}))
            .and_call("shout", json!({"word": "x", "more": SECRET}))
            .and_call("core_memory_append", json!({"block": "human", "content": SECRET}))
            .and_call("recall_search", json!({"query": SECRET})),
        Answer::error(Error::provider_unavailable("reset")),
        Answer::pieces([SECRET, SECRET]),
        Answer::text(SECRET).then_error(Error::timeout("late")),
    ];
    let model = ScriptedModel::new(script);
    let agent = Agent::builder("assistant").model(supervised(&node, &model).await).instructions(SECRET);
    let agent = core.tools().into_iter().fold(agent, |agent, tool| agent.tool(tool)).tool(recall.tool());
    let agent = agent.tool(shout("shout", Effect::Once, &Witness::default())).memory(core).memory(recall);
    let agent = agent.spawn(&node.agents).await.unwrap();
    assert!(ask(&agent, SECRET).await.unwrap().result.contains(SECRET));
    ask(&agent, SECRET).await.unwrap_err();
    let spans = recorded.spans().await;
    assert!(spans.len() >= 10, "{}", spans.len());
    for span in &spans {
        assert!(span.fields.values().all(|value| !value.to_lowercase().contains(SECRET)), "{span:?}");
    }
    for line in &recorded.0.lock().log {
        assert!(!line.to_lowercase().contains(SECRET), "{line}");
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unsampled_turn_leaves_no_span() {
    let (recorded, _guard) = Recorded::start();
    let node = Node::start().await;
    let model = ScriptedModel::new([Answer::call("shout", json!({})), Answer::text("a"), Answer::text("b")]);
    let agent = Agent::builder("assistant").model(supervised(&node, &model).await);
    let agent = agent.tool(shout("shout", Effect::Pure, &Witness::default())).spawn(&node.agents).await.unwrap();
    let silent = CallContext::new().with_trace(TraceContext { flags: 0, ..CALLER });
    collect(agent.stream(Invoke::text("go").with_context(silent)).await.unwrap()).await;
    agent.ask("go").await.unwrap();
    assert!(recorded.spans().await.is_empty());
    node.stop().await;
}
