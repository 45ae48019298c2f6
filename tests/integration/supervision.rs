//! Supervision: the tree while a turn runs, and what the death of each of its parts costs.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::{Agent, AgentRef};
use beluga_actors::model::{ModelPolicy, ModelRef};
use beluga_actors::session::{Reply, Settings, Stores};
use beluga_actors::testkit::{Answer, FunctionModel};
use beluga_core::{
    BoxFuture, BoxStream, Code, Effect, MemoryOwner, MemoryQuery, MessageStore, ModelRequest, Recollection, Result,
    Role, SessionId, StateKey, StateStore,
};
use beluga_runtime::testkit::{kill, pause, quiet_panics, resume};
use beluga_runtime::{Phase, time};
use serde_json::{Value, json};

use crate::kit::{Gate, Node, session, stores, wait};

/// The deadline of a turn whose parts are killed.
const DEADLINE: Duration = Duration::from_secs(60);

/// State whose writes wait before a gate.
#[derive(Debug)]
struct SlowState(Arc<dyn StateStore>, Gate);

impl StateStore for SlowState {
    fn get(&self, key: StateKey) -> BoxFuture<'static, Result<Option<Value>>> {
        self.0.get(key)
    }

    fn set(&self, key: StateKey, value: Value) -> BoxFuture<'static, Result<()>> {
        let (inner, gate) = (Arc::clone(&self.0), self.1.clone());
        Box::pin(async move {
            gate.pass().await;
            inner.set(key, value).await
        })
    }

    fn delete(&self, key: StateKey) -> BoxFuture<'static, Result<()>> {
        self.0.delete(key)
    }

    fn watch(&self, key: StateKey) -> BoxStream<'static, Result<Option<Value>>> {
        self.0.watch(key)
    }
}

/// Messages whose search waits before a gate.
#[derive(Debug)]
struct SlowMessages(Arc<dyn MessageStore>, Gate);

impl MessageStore for SlowMessages {
    fn append(&self, owner: MemoryOwner, entries: Vec<Recollection>) -> BoxFuture<'static, Result<()>> {
        self.0.append(owner, entries)
    }

    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        let (inner, gate) = (Arc::clone(&self.0), self.1.clone());
        Box::pin(async move {
            gate.pass().await;
            inner.search(query).await
        })
    }

    fn all(
        &self,
        owner: MemoryOwner,
        session: SessionId,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        self.0.all(owner, session, limit)
    }

    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        self.0.clear(owner)
    }
}

/// A node with everything: two supervised models, tools, both memories, two agents.
struct Rig {
    node: Node,
    /// Before the tool, the memories and the model's slow answers.
    gate: Gate,
    agent: AgentRef,
    other: AgentRef,
}

/// Does what the last question of the user says: `wait`, `remember`, `recall` call a tool, `think` thinks before the
/// gate, anything else is answered at once.
fn model(gate: &Gate) -> FunctionModel {
    let thinking = gate.clone();
    let answer = |request: &ModelRequest| {
        let last = request.messages.last().unwrap();
        if last.role == Role::Tool {
            return Answer::text(format!("told: {}", last.results().next().unwrap().text()));
        }
        match last.text().as_str() {
            "wait" => Answer::call("wait", json!({"word": "hey"})),
            "remember" => Answer::call("core_memory_append", json!({"block": "human", "content": "Her name is Ada."})),
            "recall" => Answer::call("recall_search", json!({"query": "Ada"})),
            other => Answer::text(format!("heard {other}")),
        }
    };
    let plain = FunctionModel::new(answer);
    FunctionModel::streaming(move |request, cx| {
        use beluga_core::ChatModel;
        use futures_util::StreamExt;
        let thinks = request.messages.last().is_some_and(|last| last.role == Role::User && last.text() == "think");
        let (gate, inner) = (thinking.clone(), plain.stream(request, cx));
        let wait = async move {
            if thinks {
                gate.pass().await;
            }
            inner
        };
        futures_util::stream::once(wait).flatten().boxed()
    })
}

impl Rig {
    async fn start() -> Self {
        quiet_panics();
        let (gate, stores) = (Gate::shut(), stores());
        let stores = Stores {
            state: Arc::new(SlowState(Arc::clone(&stores.state), gate.clone())),
            messages: Arc::new(SlowMessages(Arc::clone(&stores.messages), gate.clone())),
            ..stores
        };
        // Whatever hangs may do so until the turn's deadline: that is what is looked at here.
        let node = Node::with(stores, Settings { time_shares: None, ..Settings::default() }).await;
        let models = node.models().await;
        let main = models.spawn("main", Arc::new(model(&gate)), ModelPolicy::default()).await.unwrap();
        let spare = models.spawn("spare", Arc::new(model(&gate)), ModelPolicy::default()).await.unwrap();
        let (core, recall) = (node.core_memory().await, node.recall_memory().await);
        let build = |name: &str, model: ModelRef| {
            let tools = core.tools().into_iter().chain([recall.tool()]);
            let agent = Agent::builder(name).model(model).memory(core.clone()).memory(recall.clone());
            tools.fold(agent.tool(wait("wait", Effect::Pure, &gate)), |agent, tool| agent.tool(tool))
        };
        let agent = build("assistant", main).spawn(&node.agents).await.unwrap();
        let other = build("other", spare).spawn(&node.agents).await.unwrap();
        Self { node, gate, agent, other }
    }

    /// Starts a turn in the background and waits until it is before the gate.
    async fn work(&self, question: &str) -> tokio::task::JoinHandle<Result<Reply>> {
        let before = self.gate.count();
        let asked = self.agent.ask(question).session(session("a")).within(DEADLINE).into_future();
        let turn = tokio::spawn(asked);
        self.gate.arrived(before + 1).await;
        turn
    }

    /// Kills a part of the tree in the middle of a turn. Returns how the turn ended, which it did in time, and asserts
    /// that everybody else answers and that the tree is whole again.
    async fn survive(self, question: &str, path: &str) -> Result<String> {
        self.say("ping", "b").await;
        let turn = self.work(question).await;
        let before = time::now();
        let path = self.resolve(path);
        assert!(kill(&self.node.system, &path), "{path} lives");
        settle().await;
        self.gate.open();
        let outcome = tokio::time::timeout(DEADLINE + Duration::from_secs(2), turn).await.expect("it hangs").unwrap();
        assert!(time::now() - before < DEADLINE, "{path}: {outcome:?}");
        for id in ["a", "b"] {
            self.say("ping", id).await;
        }
        let (session, sibling) = (session("c"), &self.other);
        let reply = sibling.ask("ping").session(session).within(DEADLINE).await.unwrap();
        assert_eq!(reply.result, "heard ping");
        self.check_tree(&path);
        assert!(self.gate.count() <= 2, "{path}: what was interrupted runs at most once again");
        self.node.stop().await;
        outcome.map(|reply| reply.result)
    }

    async fn say(&self, text: &str, id: &str) {
        let reply = self.agent.ask(text).session(session(id)).within(DEADLINE).await;
        assert_eq!(reply.expect(id).result, format!("heard {text}"), "session {id}");
    }

    /// Returns the path of the first node that ends like `path`, where a job's number is not known.
    fn resolve(&self, path: &str) -> String {
        let Some(prefix) = path.strip_suffix('*') else { return path.to_owned() };
        let tree = self.node.system.snapshot().unwrap();
        let mut found = None;
        tree.visit(&mut |node| {
            if node.name.starts_with(prefix) {
                found.get_or_insert_with(|| node.name.clone());
            }
        });
        found.unwrap_or_else(|| panic!("nothing below {prefix}: {tree:#?}"))
    }

    fn check_tree(&self, killed: &str) {
        let tree = self.node.system.snapshot().unwrap();
        for name in [
            "agents",
            "agents/assistant",
            "agents/other",
            "agents/assistant/default.a",
            "agents/assistant/default.b",
            "memory",
            "memory/core.default.assistant",
            "memory/recall.default.assistant",
            "providers",
            "providers/main",
            "providers/spare",
            "tools",
            "tools/assistant.wait",
            "tools/other.wait",
        ] {
            let node = tree.find(name).unwrap_or_else(|| panic!("{name} is missing after {killed} was killed"));
            assert_eq!(node.state, Phase::Running, "{name} after {killed} was killed");
            let below = name == killed || name.starts_with(&format!("{killed}/"));
            assert_eq!(node.restarts, u32::from(below), "{name} after {killed} was killed");
        }
    }
}

async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

const TOLD: &str = "told: HEY";
const UNKNOWN: &str = "told: unknown_outcome";

#[tokio::test(start_paused = true)]
async fn a_killed_agent_brings_its_sessions_back_in_the_middle_of_their_turns() {
    let outcome = Rig::start().await.survive("wait", "agents/assistant").await;
    assert_eq!(outcome.unwrap(), TOLD);
    let outcome = Rig::start().await.survive("think", "agents/assistant").await;
    assert_eq!(outcome.unwrap(), "heard think");
}

#[tokio::test(start_paused = true)]
async fn a_killed_session_resumes_its_turn() {
    let outcome = Rig::start().await.survive("wait", "agents/assistant/default.a").await;
    assert_eq!(outcome.unwrap(), TOLD);
    let outcome = Rig::start().await.survive("think", "agents/assistant/default.a").await;
    assert_eq!(outcome.unwrap(), "heard think");
}

#[tokio::test(start_paused = true)]
async fn a_killed_turn_is_resumed_by_its_session() {
    let outcome = Rig::start().await.survive("wait", "agents/assistant/default.a/t1").await;
    assert_eq!(outcome.unwrap(), TOLD);
    let outcome = Rig::start().await.survive("think", "agents/assistant/default.a/t1").await;
    assert_eq!(outcome.unwrap(), "heard think");
}

#[tokio::test(start_paused = true)]
async fn a_killed_tool_call_is_a_failed_call() {
    let outcome = Rig::start().await.survive("wait", "agents/assistant/default.a/t1/wait").await.unwrap();
    assert!(outcome.starts_with(UNKNOWN), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn an_execution_ends_with_whoever_asked_for_it() {
    let turn = "agents/assistant/default.a/t1";
    for path in ["agents", "agents/assistant", "agents/assistant/default.a", turn, &format!("{turn}/wait")] {
        let rig = Rig::start().await;
        let turn = rig.work("wait").await;
        assert!(kill(&rig.node.system, path));
        settle().await;
        let mut executions = 0;
        rig.node.system.snapshot().unwrap().visit(&mut |node| executions += usize::from(node.kind == "execution"));
        assert_eq!(executions, rig.gate.count() - 1, "{path}: only what was started anew still runs");
        rig.gate.open();
        turn.await.unwrap().unwrap();
        rig.node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_tool_or_execution_is_a_failed_call() {
    for path in ["tools/assistant.wait", "tools/assistant.wait/*"] {
        let outcome = Rig::start().await.survive("wait", path).await.unwrap();
        assert!(outcome.starts_with(UNKNOWN), "{path}: {outcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_model_or_generation_that_said_nothing_yet_is_asked_again() {
    for path in ["providers/main", "providers/main/*"] {
        let outcome = Rig::start().await.survive("think", path).await;
        assert_eq!(outcome.unwrap(), "heard think", "{path}");
    }
    let outcome = Rig::start().await.survive("wait", "providers/main").await;
    assert_eq!(outcome.unwrap(), TOLD, "a model nobody asks at the moment is not missed");
}

#[tokio::test(start_paused = true)]
async fn killed_core_memory_is_a_failed_edit() {
    let outcome = Rig::start().await.survive("remember", "memory/core.default.assistant").await.unwrap();
    assert!(outcome.starts_with(UNKNOWN), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn killed_recall_memory_is_a_failed_search() {
    let outcome = Rig::start().await.survive("recall", "memory/recall.default.assistant").await.unwrap();
    assert!(outcome.starts_with(UNKNOWN), "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn a_killed_supervisor_brings_its_children_back_on_the_same_refs() {
    assert_eq!(Rig::start().await.survive("wait", "agents").await.unwrap(), TOLD);
    assert_eq!(Rig::start().await.survive("wait", "providers").await.unwrap(), TOLD);
    let outcome = Rig::start().await.survive("think", "providers").await;
    assert_eq!(outcome.unwrap(), "heard think", "asked again, on the same ref");
    for (question, path) in [("wait", "tools"), ("recall", "memory")] {
        let outcome = Rig::start().await.survive(question, path).await.unwrap();
        assert!(outcome.starts_with(UNKNOWN), "{path}: {outcome}");
    }
    let outcome = Rig::start().await.survive("remember", "memory").await;
    assert_eq!(outcome.unwrap(), "told: Remembered.", "its children end in order, with the message in hand");
}

#[tokio::test(start_paused = true)]
async fn a_resumed_turn_keeps_its_deadline_and_its_caller() {
    for path in ["agents/assistant", "agents/assistant/default.a", "agents/assistant/default.a/t1"] {
        let rig = Rig::start().await;
        let (before, turn) = (time::now(), rig.work("wait").await);
        assert!(kill(&rig.node.system, path));
        let error = turn.await.unwrap().unwrap_err();
        assert_eq!((error.code(), time::now() - before), (Code::Timeout, DEADLINE), "{path}");

        let turn = rig.work("wait").await;
        let turn_path = if path.ends_with("t1") { "agents/assistant/default.a/t2" } else { path };
        assert!(kill(&rig.node.system, turn_path));
        rig.gate.arrived(rig.gate.count() + 1).await;
        turn.abort();
        settle().await;
        assert!(!has_jobs(&rig, "turn"), "{path}: a caller that left ends its resumed turn");
        rig.node.stop().await;
    }
}

fn has_jobs(rig: &Rig, kind: &str) -> bool {
    let mut found = false;
    rig.node.system.snapshot().unwrap().visit(&mut |node| found |= node.kind == kind);
    found
}

#[tokio::test(start_paused = true)]
async fn parts_that_hang_do_not_hold_a_turn_beyond_its_deadline() {
    for path in [
        "agents/assistant/default.b",
        "memory/core.default.assistant",
        "memory/recall.default.assistant",
        "providers/main",
        "tools/assistant.wait",
    ] {
        let rig = Rig::start().await;
        rig.gate.open();
        for question in ["ping", "recall"] {
            rig.agent.ask(question).session(session("b")).await.unwrap();
        }
        let before = time::now();
        assert!(pause(&rig.node.system, path));
        let question = if path.contains("recall") { "recall" } else { "wait" };
        let outcome = rig.agent.ask(question).session(session("b")).within(Duration::from_secs(10)).await;
        let took = time::now() - before;
        assert_eq!(outcome.unwrap_err().code(), Code::Timeout, "{path}");
        assert_eq!(took, Duration::from_secs(10), "{path}");
        assert!(resume(&rig.node.system, path));
        rig.say("ping", "b").await;
        rig.node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_turn_reaches_the_sub_agent_it_waits_for() {
    let rig = Rig::start().await;
    let front = FunctionModel::new(|request| match request.messages.last().unwrap().role {
        Role::User => Answer::call("transfer_to_assistant", json!({})),
        _ => Answer::text("back"),
    });
    let front = Agent::builder("front").model(front).handoff("assistant", beluga_core::HandoffMode::Return);
    let front = front.spawn(&rig.node.agents).await.unwrap();
    let asked = tokio::spawn(front.ask("think").session(session("f")).into_future());
    rig.gate.arrived(1).await;
    assert!(has_jobs(&rig, "generation"));
    rig.node.agents.sessions().cancel(&beluga_core::TenantId::default(), &session("f")).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::Cancelled);
    settle().await;
    assert!(!has_jobs(&rig, "generation") && !has_jobs(&rig, "turn"), "the sub-agent stopped too");
    rig.node.stop().await;
}

/// One line per node: what it is, its path, who supervises it.
fn outline(node: &Value, lines: &mut Vec<String>) {
    let text = |field: &str| node[field].as_str().unwrap_or("-").to_owned();
    lines.push(format!("{} {} < {}", text("kind"), text("name"), text("supervisor")));
    for child in node["children"].as_array().into_iter().flatten() {
        outline(child, lines);
    }
}

fn find<'a>(node: &'a Value, name: &str) -> &'a Value {
    let found = [node].into_iter().find(|node| node["name"] == name);
    let below = || node["children"].as_array().into_iter().flatten().map(|child| find(child, name));
    found.or_else(|| below().find(|found| !found.is_null())).unwrap_or(&Value::Null)
}

#[tokio::test(start_paused = true)]
async fn the_tree_shows_a_running_turn_by_kind_and_supervisor() {
    let rig = Rig::start().await;
    let waiting = rig.work("wait").await;
    let thinking = tokio::spawn(rig.agent.ask("think").session(session("b")).into_future());
    let searching = tokio::spawn(rig.agent.ask("recall").session(session("c")).into_future());
    rig.gate.arrived(3).await;
    time::sleep(Duration::from_secs(3)).await;
    let tree = serde_json::to_value(rig.node.system.snapshot().unwrap()).unwrap();
    let mut lines = Vec::new();
    outline(&tree, &mut lines);
    let generation = rig.resolve("providers/main/*");
    let expected = [
        "system test < -",
        "agents agents < test",
        "agent agents/assistant < agents",
        "session agents/assistant/default.a < agents/assistant",
        "turn agents/assistant/default.a/t1 < agents/assistant/default.a",
        "tool_call agents/assistant/default.a/t1/wait < agents/assistant/default.a/t1",
        "session agents/assistant/default.b < agents/assistant",
        "turn agents/assistant/default.b/t1 < agents/assistant/default.b",
        "session agents/assistant/default.c < agents/assistant",
        "turn agents/assistant/default.c/t1 < agents/assistant/default.c",
        "tool_call agents/assistant/default.c/t1/recall_search < agents/assistant/default.c/t1",
        "agent agents/other < agents",
        "tools tools < test",
        "tool tools/assistant.wait < tools",
        "execution tools/assistant.wait/a/t1/0.0 < tools/assistant.wait",
        "tool tools/assistant.core_memory_append < tools",
        "tool tools/assistant.core_memory_replace < tools",
        "tool tools/assistant.recall_search < tools",
        "execution tools/assistant.recall_search/c/t1/0.0 < tools/assistant.recall_search",
        "tool tools/other.wait < tools",
        "tool tools/other.core_memory_append < tools",
        "tool tools/other.core_memory_replace < tools",
        "tool tools/other.recall_search < tools",
        "providers providers < test",
        "model providers/main < providers",
        &format!("generation {generation} < providers/main"),
        "model providers/spare < providers",
        "memory memory < test",
        "core_memory memory/core.default.assistant < memory",
        "recall_memory memory/recall.default.assistant < memory",
        "search memory/recall.default.assistant/recall < memory/recall.default.assistant",
    ];
    assert_eq!(lines, expected);

    let model = find(&tree, "providers/main");
    assert_eq!(model["breaker"], json!({"state": "closed", "failures": 0, "opened": 0}));
    assert_eq!(model["state"], "running");
    assert_eq!((&model["status"]["calls"], &model["status"]["in_flight"]), (&json!(3), &json!(1)));
    let session = find(&tree, "agents/assistant/default.a");
    assert_eq!((&session["status"]["running"], &session["status"]["agent"]), (&json!("t1"), &json!("assistant")));
    let turn = find(&tree, "agents/assistant/default.a/t1");
    assert_eq!((&turn["state"], &turn["handler_age_ms"]), (&json!("running"), &json!(3_000)));
    let tool = find(&tree, "tools/assistant.wait");
    assert_eq!((&tool["status"]["in_flight"], &tool["status"]["effect"]), (&json!(1), &json!("pure")));
    assert_eq!(tool["lanes"], json!({"control": 0, "interrupt": 0, "normal": 0, "bulk": 0}));
    assert_eq!(find(&tree, "agents/assistant")["status"]["tools"][0], "wait");

    rig.gate.open();
    for turn in [waiting, thinking, searching] {
        turn.await.unwrap().unwrap();
    }
    rig.node.stop().await;
}
