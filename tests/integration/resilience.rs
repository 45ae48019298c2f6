//! Resilience through supervised models and tools with their default policies: waits, retries, breakers, fallbacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use beluga_actors::agent::AgentRef;
use beluga_actors::model::{FallbackModel, ModelPolicy, ModelRef};
use beluga_actors::session::Invoke;
use beluga_actors::testkit::{Answer, FunctionModel, ScriptedModel};
use beluga_actors::tool::ToolSettings;
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{
    CallContext, ChatModel, Code, Effect, Error, Event, FinishReason, ModelChunk, ModelRequest, Result, Retry, Role,
    TenantId, ToolContext,
};
use beluga_runtime::service::RateLimitConfig;
use beluga_runtime::testkit::{kill, quiet_panics};
use beluga_runtime::{BreakerConfig, BreakerNode, BreakerState, time};
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::kit::{Gate, Node, Word, collect, names, session};

fn down() -> Answer {
    Answer::error(Error::provider_unavailable("status 500"))
}

fn limited(seconds: u64) -> Answer {
    Answer::error(Error::new(Code::RateLimit, "status 429").with_retry(Retry::After(Duration::from_secs(seconds))))
}

async fn supervised(node: &Node, name: &str, model: impl ChatModel) -> ModelRef {
    node.models().await.spawn(name, Arc::new(model), ModelPolicy::default()).await.unwrap()
}

async fn agent(node: &Node, model: impl ChatModel) -> AgentRef {
    beluga_actors::agent::Agent::builder("assistant").model(model).spawn(&node.agents).await.unwrap()
}

fn breaker(node: &Node, path: &str) -> BreakerNode {
    node.system.snapshot().unwrap().find(path).unwrap().breaker.unwrap()
}

/// Asks once; returns the answer or the code, and how long it took.
async fn ask(agent: &AgentRef) -> (Result<String, Code>, Duration) {
    let before = time::now();
    let outcome = agent.ask("go").await.map(|reply| reply.result).map_err(|error| error.code());
    (outcome, time::now() - before)
}

#[tokio::test(start_paused = true)]
async fn a_limit_with_retry_after_is_waited_for() {
    let node = Node::start().await;
    let model = ScriptedModel::new([limited(7), Answer::text("at last"), limited(120)]);
    let agent = agent(&node, supervised(&node, "main", model.clone()).await).await;
    assert_eq!(ask(&agent).await, (Ok("at last".into()), Duration::from_secs(7)));
    assert_eq!(ask(&agent).await, (Err(Code::RateLimit), Duration::ZERO), "nobody waits for two minutes");
    model.assert_exhausted();
    let seen = breaker(&node, "providers/main");
    assert_eq!((seen.state, seen.failures), (BreakerState::Closed, 0), "a limit is no failure");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn failures_open_the_breaker_and_a_probe_closes_it() {
    let node = Node::start().await;
    let healthy = Arc::new(AtomicBool::new(false));
    let model = {
        let healthy = Arc::clone(&healthy);
        FunctionModel::new(move |_| if healthy.load(Ordering::SeqCst) { Answer::text("well") } else { down() })
    };
    let agent = agent(&node, supervised(&node, "main", model.clone()).await).await;
    let (outcome, took) = ask(&agent).await;
    assert_eq!((outcome, model.calls()), (Err(Code::ProviderUnavailable), 3));
    assert!((750..=1_502).contains(&took.as_millis()), "two waits, half of 500 ms and 1 s left to chance: {took:?}");
    assert_eq!(breaker(&node, "providers/main").failures, 3);

    assert_eq!(ask(&agent).await.0, Err(Code::CircuitOpen), "the fifth failure opened it");
    assert_eq!(model.calls(), 5);
    let seen = breaker(&node, "providers/main");
    assert_eq!((seen.state, seen.opened), (BreakerState::Open, 1));
    let error = agent.ask("go").await.unwrap_err();
    assert!(matches!(error.retry(), Retry::After(wait) if wait <= Duration::from_secs(30)), "{error:?}");
    assert_eq!((ask(&agent).await, model.calls()), ((Err(Code::CircuitOpen), Duration::ZERO), 5), "at once, unasked");
    assert!(kill(&node.system, "providers/main"));
    assert_eq!(ask(&agent).await.0, Err(Code::CircuitOpen), "the breaker outlives the actor");

    time::sleep(Duration::from_secs(30)).await;
    assert_eq!(breaker(&node, "providers/main").state, BreakerState::HalfOpen);
    assert_eq!(ask(&agent).await.0, Err(Code::CircuitOpen), "the probe failed");
    assert_eq!((model.calls(), breaker(&node, "providers/main").opened), (6, 2));

    healthy.store(true, Ordering::SeqCst);
    time::sleep(Duration::from_secs(30)).await;
    assert_eq!(ask(&agent).await, (Ok("well".into()), Duration::ZERO));
    assert_eq!(breaker(&node, "providers/main").state, BreakerState::Closed);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_one_of_many_turns_through() {
    let node = Node::start().await;
    let script: Vec<Answer> =
        (0..5).map(|_| down()).chain([Answer::text("probe").after(Duration::from_millis(10))]).collect();
    let model = ScriptedModel::new(script);
    let agent = agent(&node, supervised(&node, "main", model.clone()).await).await;
    for _ in 0..2 {
        ask(&agent).await.0.unwrap_err();
    }
    time::sleep(Duration::from_secs(30)).await;
    let outcomes = futures_util::future::join_all((0..20).map(|_| ask(&agent))).await;
    let answers: Vec<_> = outcomes.iter().filter_map(|(outcome, _)| outcome.as_ref().ok()).collect();
    assert_eq!(answers, ["probe"]);
    assert!(outcomes.iter().all(|(outcome, _)| matches!(outcome, Ok(_) | Err(Code::CircuitOpen))), "{outcomes:?}");
    model.assert_exhausted();
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_model_answers_for_one_that_is_down() {
    let node = Node::start().await;
    let models = node.models().await;
    let broken = FunctionModel::new(|_| down());
    let main = models.spawn("main", Arc::new(broken.clone()), ModelPolicy::default()).await.unwrap();
    let spare = FunctionModel::new(|_| Answer::text("spare"));
    let spare = models.spawn("spare", Arc::new(spare), ModelPolicy::default()).await.unwrap();
    let second: (String, Arc<dyn ChatModel>) = ("spare".to_owned(), Arc::new(spare));
    let both = FallbackModel::new(("main".into(), Arc::new(main)), vec![second], None, node.system.random());
    let agent = agent(&node, both).await;
    for calls in [3, 5] {
        let (outcome, took) = ask(&agent).await;
        assert_eq!((outcome, broken.calls()), (Ok("spare".into()), calls));
        assert!(took <= Duration::from_millis(1_502), "{took:?}");
    }
    assert_eq!(breaker(&node, "providers/main").state, BreakerState::Open);
    assert_eq!(ask(&agent).await, (Ok("spare".into()), Duration::ZERO), "an open breaker is not waited for");
    assert_eq!((broken.calls(), breaker(&node, "providers/spare").failures), (5, 0));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_other_model_is_asked_after_a_bad_request_or_half_an_answer() {
    let node = Node::start().await;
    let models = node.models().await;
    let script = [
        Answer::error(Error::invalid_input("the request is too odd")),
        Answer::text("half").then_error(Error::provider_unavailable("reset")),
    ];
    let main = models.spawn("main", Arc::new(ScriptedModel::new(script)), ModelPolicy::default()).await.unwrap();
    let untouched = FunctionModel::new(|_| Answer::text("spare"));
    let second: (String, Arc<dyn ChatModel>) = ("spare".to_owned(), Arc::new(untouched.clone()));
    let both = FallbackModel::new(("main".into(), Arc::new(main)), vec![second], None, node.system.random());
    let agent = agent(&node, both).await;
    assert_eq!(ask(&agent).await.0, Err(Code::InvalidInput));
    let events = collect(agent.stream(Invoke::text("go")).await.unwrap()).await;
    assert_eq!(names(&events), ["text", "error"]);
    assert!(matches!(&events[1].event, Event::Error { error } if error.partial.as_deref() == Some("half")));
    assert_eq!(untouched.calls(), 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_hangs_is_cut_off_and_asked_again() {
    let node = Node::start().await;
    let script = [Answer::hang(), Answer::text("awake"), Answer::text("half ").then_hang()];
    let agent = agent(&node, supervised(&node, "main", ScriptedModel::new(script)).await).await;
    let (outcome, took) = ask(&agent).await;
    assert_eq!(outcome, Ok("awake".into()));
    assert!((60_000..=60_502).contains(&took.as_millis()), "a minute to the first chunk, then a short wait: {took:?}");
    let before = time::now();
    let events = collect(agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap()).await;
    assert_eq!((names(&events), (time::now() - before).as_secs()), (vec!["text", "error"], 60));
    assert!(matches!(&events[1].event, Event::Error { error } if error.code == Code::Timeout));
    node.stop().await;
}

/// A model that calls `tool` whenever it is asked, and says what it was told.
fn caller() -> FunctionModel {
    FunctionModel::new(|request| {
        let last = request.messages.last().unwrap();
        match last.role {
            Role::Tool => Answer::text(last.results().next().unwrap().text()),
            _ => Answer::call("tool", json!({"word": last.text()})),
        }
    })
}

/// A tool that does what its word says.
fn moody() -> FunctionTool {
    FunctionTool::new("tool", "Has moods.", |Word { word }: Word, _cx: ToolContext| async move {
        match word.as_str() {
            "panic" => panic!("boom"),
            "hang" => std::future::pending().await,
            "fail" => Err(Error::tool_failed("no")),
            _ => Result::Ok(word),
        }
    })
    .with_effect(Effect::Pure)
    .with_timeout(Duration::from_secs(2))
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_keeps_failing_is_left_alone_for_a_while() {
    quiet_panics();
    let node = Node::start().await;
    let guard = BreakerConfig { max_failures: 3, ..BreakerConfig::default() };
    let settings = ToolSettings { breaker: Some(guard), ..ToolSettings::default() };
    let tool = node.agents.tools().add(Arc::new(moody()), settings).await.unwrap();
    let agent = beluga_actors::agent::Agent::builder("assistant").model(caller()).shared_tool(tool);
    let agent = agent.spawn(&node.agents).await.unwrap();
    let told = async |word: &str| agent.ask(word).await.unwrap().result;

    for (word, expected, failures) in [
        ("panic", "tool_failed: panicked: boom", 1),
        ("hang", "timeout: the tool took longer than 2000 ms", 2),
        ("fine", "fine", 0),
        ("panic", "tool_failed: panicked: boom", 1),
        ("fail", "tool_failed: no", 2),
    ] {
        assert_eq!(told(word).await, expected);
        assert_eq!(breaker(&node, "tools/tool").failures, failures, "{word}");
    }
    told("panic").await;
    let tree = node.system.snapshot().unwrap();
    let seen = tree.find("tools/tool").unwrap();
    assert_eq!((seen.breaker.unwrap().state, seen.job_panics, seen.restarts), (BreakerState::Open, 3, 0));
    assert_eq!(seen.status["failures"], 5);
    assert_eq!(seen.status["in_flight"], 0);
    let before = time::now();
    assert!(told("fine").await.starts_with("circuit_open"));
    assert_eq!(time::now(), before);

    time::sleep(Duration::from_secs(30)).await;
    assert_eq!(breaker(&node, "tools/tool").state, BreakerState::HalfOpen);
    assert_eq!(told("fine").await, "fine");
    assert_eq!(breaker(&node, "tools/tool").state, BreakerState::Closed);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_tenant_that_uses_up_its_rate_does_not_starve_another() {
    let node = Node::start().await;
    let rate = RateLimitConfig { requests_per_minute: Some(1), wait_max: Duration::ZERO, ..RateLimitConfig::default() };
    let policy = ModelPolicy { tenant_rate: Some(rate), retry: None, ..ModelPolicy::default() };
    let scripted = ScriptedModel::new([Answer::text("a"), Answer::text("b")]);
    let model = node.models().await.spawn("shared", Arc::new(scripted), policy).await.unwrap();
    let ask = |tenant: &str| {
        let context = CallContext::new().with_tenant(TenantId::parse(tenant).unwrap());
        model.generate(Arc::new(ModelRequest::default()), context)
    };
    ask("acme").await.unwrap();
    assert_eq!(ask("acme").await.unwrap_err().code(), Code::RateLimit);
    ask("other").await.unwrap();
    node.stop().await;
}

/// A model that says `said`, waits before a gate, and then says more; supervised under `policy`.
async fn interrupted(node: &Node, said: &'static str, gate: &Gate, policy: ModelPolicy) -> (ModelRef, FunctionModel) {
    let gate = gate.clone();
    let model = FunctionModel::streaming(move |_, _| {
        let text = |text: &str| Ok(ModelChunk::Text { text: text.to_owned() });
        let started = ModelChunk::Started { id: None, model: None };
        let opening = [Some(Ok(started)), (!said.is_empty()).then(|| text(said))].into_iter().flatten();
        let gate = gate.clone();
        let pass = async move {
            gate.pass().await;
            text("well")
        };
        let finished = ModelChunk::Finished { reason: FinishReason::Stop, raw_usage: None };
        stream::iter(opening).chain(stream::once(pass)).chain(stream::iter([Ok(finished)])).boxed()
    });
    (node.models().await.spawn("main", Arc::new(model.clone()), policy).await.unwrap(), model)
}

#[tokio::test(start_paused = true)]
async fn a_generation_killed_before_its_first_content_is_asked_again_and_no_more_often_than_allowed() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let (model, asked) = interrupted(&node, "", &gate, ModelPolicy::default()).await;
    let agent = agent(&node, model).await;
    let stream = agent.stream(Invoke::text("go")).await.unwrap();
    let reading = tokio::spawn(collect(stream));
    for arrived in 1..=2 {
        gate.arrived(arrived).await;
        assert!(kill(&node.system, "providers/main"));
    }
    gate.arrived(3).await;
    gate.open();
    let events = reading.await.unwrap();
    assert_eq!(
        (names(&events), asked.calls()),
        (vec!["text", "usage", "done"], 3),
        "one answer, and no retry is shown"
    );
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_generation_that_is_killed_again_and_again_is_given_up() {
    let (node, gate) = (Node::start().await, Gate::shut());
    let (model, asked) = interrupted(&node, "", &gate, ModelPolicy::default()).await;
    let agent = agent(&node, model).await;
    let outcome = tokio::spawn(async move { ask(&agent).await.0 });
    for arrived in 1..=3 {
        gate.arrived(arrived).await;
        assert!(kill(&node.system, "providers/main"));
    }
    assert_eq!((outcome.await.unwrap(), asked.calls()), (Err(Code::UnknownOutcome), 3));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_generation_is_not_asked_again_after_content_or_without_tries() {
    for (said, policy) in
        [("half", ModelPolicy::default()), ("", ModelPolicy { retry: None, ..ModelPolicy::default() })]
    {
        let (node, gate) = (Node::start().await, Gate::shut());
        let (model, asked) = interrupted(&node, said, &gate, policy).await;
        let agent = agent(&node, model).await;
        let outcome = tokio::spawn(async move { ask(&agent).await.0 });
        gate.arrived(1).await;
        assert!(kill(&node.system, "providers/main"));
        assert_eq!((outcome.await.unwrap(), asked.calls()), (Err(Code::UnknownOutcome), 1), "{said:?}");
        node.stop().await;
    }
}
