//! Budgets of requests, tokens, money and time: what turns may spend, alone, together, and of one another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_actors::agent::Agent;
use beluga_actors::budget::{BudgetSettings, BudgetSource, BudgetStatus, Budgets, Level, UsageQuery, WindowLimits};
use beluga_actors::model::{ModelPolicy, ModelRef, Models};
use beluga_actors::session::{Invoke, Settings, Stores};
use beluga_actors::testkit::{Answer, FunctionModel, ScriptedModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{
    BoxFuture, CallContext, ChatMessage, ChatModel, Code, Effect, Error, FinishReason, GenerateOptions, HandoffMode,
    ModelChunk, ModelInfo, ModelRequest, PARTIAL, Price, PriceRow, PriceTable, Result, Spend, SpendLimits, TenantId,
    ToolContext, Usage,
};
use beluga_runtime::service::RetryConfig;
use beluga_runtime::{System, time};
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde_json::json;

use crate::kit::{Word, session, stores};

/// $1 a million tokens to read, $10 to write: a token is 1 or 10 millionths.
const PRICE: Price = Price { input: 1_000_000, cached_input: 100_000, cache_write: 1_000_000, output: 10_000_000 };

fn prices() -> Arc<PriceTable> {
    let row =
        PriceRow { provider: Some("beluga.test".into()), family: "priced".into(), price: PRICE, read: "today".into() };
    Arc::new(PriceTable::new([row]))
}

fn info() -> ModelInfo {
    ModelInfo { model: "priced".into(), ..FunctionModel::new(|_| Answer::hang()).info() }
}

fn tokens(limit: u64) -> SpendLimits {
    SpendLimits { tokens: Some(limit), ..SpendLimits::NONE }
}

/// A node whose models and agents have budgets.
struct Node {
    system: System,
    agents: beluga_actors::agent::Agents,
    models: Models,
    budgets: Budgets,
}

impl Node {
    async fn start(settings: BudgetSettings) -> Self {
        Self::with(stores(), settings).await
    }

    async fn with(stores: Stores, settings: BudgetSettings) -> Self {
        let system = System::builder("test").seed(7).build().unwrap();
        let settings = BudgetSettings { prices: prices(), ..settings };
        let budgets = Budgets::start(&system, settings).await.unwrap();
        let settings = Settings { budgets: Some(budgets.clone()), ..Settings::default() };
        let agents = beluga_actors::agent::Agents::start(&system, &stores, settings).await.unwrap();
        let models = Models::start(&system).await.unwrap();
        Self { system, agents, models, budgets }
    }

    async fn model(&self, model: impl ChatModel) -> ModelRef {
        let policy = ModelPolicy { budgets: Some(self.budgets.clone()), ..ModelPolicy::default() };
        self.models.spawn("main", Arc::new(model), policy).await.unwrap()
    }

    fn status(&self, level: Level) -> BudgetStatus {
        let report = self.budgets.usage(&UsageQuery::default());
        report.budgets.into_iter().find(|budget| budget.level == level).unwrap()
    }

    async fn stop(self) {
        drop(self.agents);
        self.system.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

/// An answer with this usage.
fn costs(text: &str, input_tokens: u64, output_tokens: u64) -> Answer {
    Answer::text(text).with_usage(Usage { input_tokens, output_tokens, ..Usage::default() })
}

#[tokio::test(start_paused = true)]
async fn a_try_reserves_the_most_it_may_cost_and_settles_what_it_did() {
    let limits = SpendLimits { tokens: Some(10_000), cost_micro_usd: Some(100_000), ..SpendLimits::NONE };
    let tenant = WindowLimits { limits, every: None };
    let node = Node::start(BudgetSettings { tenant, ..BudgetSettings::default() }).await;
    let model = ScriptedModel::new([costs("well", 8, 3).after(Duration::from_secs(1))]).with_info(info());
    let model = node.model(model).await;
    let request = ModelRequest {
        messages: vec![ChatMessage::user("one two three four").into()],
        options: GenerateOptions { max_tokens: Some(100), ..GenerateOptions::default() },
        ..ModelRequest::default()
    };
    let call = tokio::spawn(model.generate(Arc::new(request), CallContext::new()));
    time::sleep(Duration::from_millis(500)).await;
    let status = node.status(Level::Tenant);
    // Four words and the message round them, and the answer that may come.
    assert_eq!((status.reserved.tokens, status.reserved.cost_micro_usd), (8 + 100, 8 + 1_000));
    let report = node.budgets.usage(&UsageQuery::default());
    assert_eq!((report.usage[0].reserved_tokens, report.total.reserved_cost_micro_usd), (108, 1_008));
    call.await.unwrap().unwrap();
    for level in [Level::Tenant, Level::Node] {
        let status = node.status(level);
        let spent = Spend { requests: 1, tokens: 11, cost_micro_usd: 38, time_ms: 1_000 };
        assert_eq!((status.spent, status.reserved, status.over), (spent, Spend::ZERO, Spend::ZERO));
    }
    let row = node.budgets.usage(&UsageQuery::default()).usage.remove(0);
    let names = (row.tenant.as_str(), row.agent.as_str(), row.provider.as_str(), row.model.as_str());
    assert_eq!(names, ("default", "-", "beluga.test", "priced"));
    assert_eq!((row.input_tokens, row.output_tokens, row.cost_micro_usd, row.reserved_tokens), (8, 3, 38, 0));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_try_is_reserved_and_a_failed_one_costs_no_tokens() {
    let limits = SpendLimits { requests: Some(2), ..SpendLimits::NONE };
    let settings = BudgetSettings { node: WindowLimits { limits, every: None }, ..BudgetSettings::default() };
    let node = Node::start(settings).await;
    let down = || Answer::error(Error::provider_unavailable("down"));
    let script = ScriptedModel::new([down(), down(), Answer::text("never")]);
    let model = node.model(script.clone()).await;
    let error = model.generate(Arc::default(), CallContext::new()).await.unwrap_err();
    assert_eq!((error.code(), error.get("budget"), script.remaining()), (Code::BudgetExhausted, Some("node"), 1));
    let status = node.status(Level::Node);
    assert_eq!((status.spent.requests, status.spent.tokens), (2, 0));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_or_broken_call_costs_its_prompt_and_what_was_seen() {
    let node = Node::start(BudgetSettings { session: tokens(10_000), ..BudgetSettings::default() }).await;
    let text = |text: &str| ModelChunk::Text { text: text.into() };
    let script = ScriptedModel::new([
        Answer::chunks([text("one"), text(" two")]).then_hang(),
        Answer::chunks([text("one")]).then_error(Error::provider_unavailable("cut")),
        Answer::hang(),
    ]);
    let model = node.model(script.with_info(info())).await;
    let request =
        Arc::new(ModelRequest { messages: vec![ChatMessage::user("Hello").into()], ..ModelRequest::default() });
    let call = |seconds| CallContext::new().with_timeout(time::now(), Duration::from_secs(seconds));
    let cut = |seconds| time::timeout(Duration::from_secs(seconds), model.generate(Arc::clone(&request), call(60)));
    let row = || node.budgets.usage(&UsageQuery::default()).usage.remove(0);
    assert!(cut(1).await.is_err(), "it hangs, and is dropped");
    time::sleep(Duration::from_secs(1)).await;
    assert_eq!((row().requests, row().input_tokens, row().output_tokens, row().estimated_requests), (1, 5, 2, 1));
    assert_eq!(cut(5).await.unwrap().unwrap_err().code(), Code::ProviderUnavailable);
    assert_eq!((row().requests, row().input_tokens, row().output_tokens, row().estimated_requests), (2, 10, 3, 2));
    assert!(cut(1).await.is_err());
    time::sleep(Duration::from_secs(1)).await;
    assert_eq!((row().input_tokens, row().output_tokens, row().cost_micro_usd), (15, 3, 15 + 30));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_price_is_an_unknown_cost_and_no_cost_limit_lets_it_pass() {
    let node = Node::start(BudgetSettings::default()).await;
    let model = node.model(FunctionModel::new(|_| costs("well", 10, 1))).await;
    model.generate(Arc::default(), CallContext::new()).await.unwrap();
    let total = node.budgets.usage(&UsageQuery::default()).total;
    assert_eq!((total.requests, total.unpriced_requests, total.cost_micro_usd, total.input_tokens), (1, 1, 0, 10));
    let limits = SpendLimits { cost_micro_usd: Some(1_000_000), ..SpendLimits::NONE };
    let settings = BudgetSettings { node: WindowLimits { limits, every: None }, ..BudgetSettings::default() };
    node.budgets.configure(settings).await.unwrap();
    let error = model.generate(Arc::default(), CallContext::new()).await.unwrap_err();
    assert_eq!((error.code(), error.get("model")), (Code::BudgetExhausted, Some("function")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_ends_with_what_it_said_when_its_budget_is_used_up() {
    let node = Node::start(BudgetSettings { run: tokens(4_200), ..BudgetSettings::default() }).await;
    let say = |text: &str| Answer::text(text).and_call("shout", json!({"word": "x"}));
    let usage = Usage { input_tokens: 60, output_tokens: 40, ..Usage::default() };
    let script = ScriptedModel::new([say("First I look.").with_usage(usage), Answer::text("never")]);
    let model = node.model(script.clone()).await;
    let shout =
        FunctionTool::new("shout", "Shouts.", |Word { word }: Word, _: ToolContext| async move { Result::Ok(word) });
    let agent = Agent::builder("assistant").model(model).tool(shout.with_effect(Effect::Pure));
    let agent = agent.spawn(&node.agents).await.unwrap();
    let error = agent.ask("go").await.unwrap_err();
    assert_eq!((error.code(), error.get(PARTIAL)), (Code::BudgetExhausted, Some("First I look.")), "{error}");
    assert!(error.message().contains("the run has no room"), "{error}");
    assert_eq!(script.remaining(), 1, "nothing was sent that nobody may pay");
    let row = node.budgets.usage(&UsageQuery::default()).usage.remove(0);
    assert_eq!((row.agent.as_str(), row.requests, row.input_tokens + row.output_tokens), ("assistant", 1, 100));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_asked_spends_from_the_turn_that_asked() {
    let requests = |requests| SpendLimits { requests: Some(requests), ..SpendLimits::NONE };
    for (run, expected) in [(3, Ok("done")), (2, Err(Code::BudgetExhausted))] {
        let node = Node::start(BudgetSettings { session: requests(9), ..BudgetSettings::default() }).await;
        let answer = |request: &ModelRequest| match &*request.messages.last().unwrap().text() {
            "go" => Answer::call("transfer_to_clerk", json!({})),
            _ => Answer::text("done"),
        };
        // The clerk is asked with the same input, and has no one to hand over to.
        let clerk = node.models.spawn(
            "clerk",
            Arc::new(FunctionModel::new(|_| Answer::text("here"))),
            ModelPolicy { budgets: Some(node.budgets.clone()), ..ModelPolicy::default() },
        );
        Agent::builder("clerk").model(clerk.await.unwrap()).spawn(&node.agents).await.unwrap();
        let agent =
            Agent::builder("assistant").model(node.model(FunctionModel::new(answer)).await).budget(requests(run));
        let agent = agent.handoff("clerk", HandoffMode::Return).spawn(&node.agents).await.unwrap();
        let reply = agent.ask("go").await;
        assert_eq!(reply.as_ref().map(|reply| reply.result.as_str()).map_err(Error::code), expected);
        let rows = node.budgets.usage(&UsageQuery::default()).usage;
        let by_agent: Vec<_> = rows.iter().map(|row| (row.agent.as_str(), row.requests)).collect();
        assert_eq!(by_agent, [("assistant", run - 1), ("clerk", 1)]);
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_knows_after_a_restart_what_it_has_spent() {
    let stores = stores();
    let settings = || BudgetSettings { session: tokens(5_000), output_tokens: 100, ..BudgetSettings::default() };
    let ask = |node: &Node, model: ModelRef| {
        let agents = node.agents.clone();
        async move {
            let agent = Agent::builder("assistant").model(model).spawn(&agents).await.unwrap();
            let invoke = |id: &str| Invoke::text("go").with_session(session(id));
            (agent.invoke(invoke("s")).await.map(|reply| reply.result), agent.invoke(invoke("other")).await.is_ok())
        }
    };
    let node = Node::with(stores.clone(), settings()).await;
    let model = node.model(FunctionModel::new(|_| costs("well", 4_900, 60))).await;
    assert_eq!(ask(&node, model).await.0.unwrap(), "well");
    node.stop().await;
    let node = Node::with(stores, settings()).await;
    let model = node.model(FunctionModel::new(|_| costs("well", 10, 10))).await;
    let (same, other) = ask(&node, model).await;
    let error = same.unwrap_err();
    assert_eq!(error.code(), Code::BudgetExhausted);
    assert!(error.message().contains("budget: session, limited: tokens, limit: 5000, spent: 4960"), "{error}");
    assert!(!other, "the other session had its first turn before the restart and has as little left");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn limited_time_ends_a_call_and_its_window_begins_anew() {
    let limits = SpendLimits { time_ms: Some(10_000), ..SpendLimits::NONE };
    let tenant = WindowLimits { limits, every: Some(Duration::from_secs(3_600)) };
    let node = Node::start(BudgetSettings { tenant, ..BudgetSettings::default() }).await;
    let seconds = |count| Answer::text("well").after(Duration::from_secs(count));
    let model = node.model(ScriptedModel::new([seconds(4), seconds(30), seconds(1)])).await;
    let ask = || model.generate(Arc::default(), CallContext::new());
    ask().await.unwrap();
    let began = time::now();
    let error = ask().await.unwrap_err();
    assert_eq!((error.code(), error.get("limited")), (Code::BudgetExhausted, Some("time_ms")));
    assert_eq!(time::now() - began, Duration::from_secs(6));
    assert_eq!(ask().await.unwrap_err().get("limited"), Some("time_ms"));
    time::sleep(Duration::from_secs(3_600)).await;
    ask().await.unwrap();
    node.stop().await;
}

/// A model that is never still: answers of all lengths, errors, hangs, and usages beyond what was reserved.
fn restless(over: &Arc<AtomicU64>) -> FunctionModel {
    let (calls, over) = (AtomicU64::new(0), Arc::clone(over));
    FunctionModel::new(move |request| {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        let wait = Duration::from_millis(call * 7 % 90);
        let reserved = request.messages.iter().map(|message| message.parts.len() as u64 * 5).sum::<u64>() + 20;
        match call % 10 {
            0 => Answer::error(Error::provider_unavailable("down")),
            1 => Answer::text("half").then_hang(),
            2 => {
                over.fetch_add(7, Ordering::Relaxed);
                costs("long", 5, reserved - 5 + 7).after(wait)
            }
            _ => costs("well", 5, call % 20).after(wait),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_thousand_turns_at_once_never_pass_a_limit_by_more_than_they_used_beyond_their_reservations() {
    const LIMIT: u64 = 9_000;
    let limits = tokens(LIMIT);
    let node = Node::start(BudgetSettings {
        run: tokens(200),
        session: tokens(200),
        tenant: WindowLimits { limits: tokens(LIMIT / 2), every: None },
        node: WindowLimits { limits, every: None },
        output_tokens: 20,
        ..BudgetSettings::default()
    })
    .await;
    let over = Arc::new(AtomicU64::new(0));
    let policy = ModelPolicy {
        budgets: Some(node.budgets.clone()),
        breaker: None,
        retry: Some(RetryConfig { attempts: 2, ..RetryConfig::default() }),
        ..ModelPolicy::default()
    };
    let model = node.models.spawn("main", Arc::new(restless(&over)), policy).await.unwrap();
    let agent = Agent::builder("assistant").model(model).spawn(&node.agents).await.unwrap();
    let looks = Arc::new(AtomicU64::new(0));
    let look = {
        let (budgets, looks) = (node.budgets.clone(), Arc::clone(&looks));
        move || {
            for budget in budgets.usage(&UsageQuery::default()).budgets {
                let taken = budget.spent.plus(budget.reserved).tokens;
                assert!(taken <= budget.limits.tokens.unwrap() + budget.over.tokens, "{budget:?}");
                looks.fetch_add(u64::from(budget.reserved.tokens > 0), Ordering::Relaxed);
            }
        }
    };
    let turns = (0..1_000).map(|number| {
        let (agent, look) = (agent.clone(), look.clone());
        async move {
            let tenant = TenantId::parse(if number % 2 == 0 { "ann" } else { "ben" }).unwrap();
            let mut ends = Vec::new();
            for _ in 0..3 {
                let context = CallContext::new().with_tenant(tenant.clone());
                let context = context.with_timeout(time::now(), Duration::from_secs(2));
                let turn = agent.invoke(Invoke::text("go").with_context(context));
                look();
                ends.push(turn.await.map_or_else(|error| Some(error.code()), |_| None));
                look();
                time::sleep(Duration::from_millis(number % 100)).await;
            }
            ends
        }
    });
    let ends = join_all(turns).await.concat();
    let count = |end: Option<Code>| ends.iter().filter(|other| **other == end).count();
    assert!(
        count(None) > 200 && count(Some(Code::BudgetExhausted)) > 100,
        "{} {}",
        count(None),
        count(Some(Code::BudgetExhausted))
    );
    time::sleep(Duration::from_secs(5)).await;
    let status = node.status(Level::Node);
    assert_eq!(status.reserved, Spend::ZERO, "every reservation is settled");
    assert_eq!(status.over.tokens, over.load(Ordering::Relaxed), "the sum of used minus reserved");
    assert!(status.spent.tokens <= LIMIT + status.over.tokens && status.spent.tokens > LIMIT - 200, "{status:?}");
    assert!(looks.load(Ordering::Relaxed) > 1_000, "there was something to look at");
    let report = node.budgets.usage(&UsageQuery::default());
    let rows: u64 = report.usage.iter().map(|row| row.input_tokens + row.output_tokens).sum();
    assert_eq!(rows, status.spent.tokens, "usage and budget tell the same");
    node.stop().await;
}

/// A budget of a cluster in memory: what several nodes share.
#[derive(Debug)]
struct Cluster {
    left: Mutex<u64>,
    grants: AtomicU64,
}

impl BudgetSource for Cluster {
    fn grant(&self, want: Spend) -> BoxFuture<'static, Result<Spend>> {
        let mut left = self.left.lock();
        let granted = want.tokens.min(*left);
        *left -= granted;
        self.grants.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            time::sleep(Duration::from_millis(20)).await;
            Ok(Spend { tokens: granted, ..Spend::ZERO })
        })
    }

    fn give_back(&self, unused: Spend) -> BoxFuture<'static, Result<()>> {
        *self.left.lock() += unused.tokens;
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test(start_paused = true)]
async fn two_nodes_spend_one_budget_and_give_back_what_is_left() {
    let cluster = Arc::new(Cluster { left: Mutex::new(3_000), grants: AtomicU64::default() });
    let settings = || BudgetSettings {
        node: WindowLimits { limits: tokens(0), every: None },
        source: Some(Arc::clone(&cluster) as _),
        grant: Spend { tokens: 500, ..Spend::ZERO },
        output_tokens: 45,
        ..BudgetSettings::default()
    };
    let nodes = [Node::start(settings()).await, Node::start(settings()).await];
    let mut spent = 0;
    for node in &nodes {
        let model = node.model(FunctionModel::new(|_| costs("well", 5, 15))).await;
        let calls = (0..40).map(|_| model.generate(Arc::default(), CallContext::new()));
        assert!(join_all(calls).await.iter().all(Result::is_ok));
        spent += node.status(Level::Node).spent.tokens;
    }
    assert_eq!(spent, 2 * 40 * 20);
    assert!(cluster.grants.load(Ordering::Relaxed) < 20, "not every call asks");
    for node in nodes {
        node.stop().await;
    }
    assert_eq!(*cluster.left.lock(), 3_000 - spent);
    let node = Node::start(settings()).await;
    let model = node.model(FunctionModel::new(|_| costs("well", 5, 45))).await;
    let mut answered = 0;
    let refused = loop {
        match model.generate(Arc::default(), CallContext::new()).await {
            Ok(answer) => {
                assert_eq!(answer.finish, FinishReason::Stop);
                answered += 1;
            }
            Err(error) => break error,
        }
    };
    assert_eq!((refused.code(), answered), (Code::BudgetExhausted, (3_000 - spent) / 50));
    node.stop().await;
}
