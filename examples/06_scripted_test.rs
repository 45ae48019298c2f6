//! Testing one's own agent: a scripted model says what a model might say, and the test looks at what comes of it.
//!
//! In a project these stand in `tests/` under `#[tokio::test(start_paused = true)]`: no network, no key, no waiting.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // As tests do.

use std::time::Duration;

use beluga::prelude::*;
use beluga::testkit::{Answer, CountingTool, ScriptedModel};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, JsonSchema)]
struct RefundArguments {
    order: u32,
}

/// Pays an order back.
#[tool(effect = "idempotent")]
async fn refund(arguments: RefundArguments) -> Result<String> {
    Ok(format!("order {} is refunded", arguments.order))
}

/// The agent under test, as the application builds it: only the model and the tool are passed in.
async fn support(agents: &Agents, model: &ScriptedModel, tool: impl Tool) -> Result<AgentRef> {
    let agent = Agent::builder("support").instructions("Refund what is broken. Be kind.").max_iterations(3);
    agent.model(model.clone()).tool(tool).spawn(agents).await
}

async fn a_broken_mug_is_refunded_once() -> Result<()> {
    let (agents, refunds) = (beluga::in_memory("test").await?, CountingTool::new(refund));
    let model = ScriptedModel::new([
        Answer::call("refund", json!({"order": 17})),
        Answer::text("I am sorry. The money is on its way.").after(Duration::from_millis(20)),
    ]);
    let agent = support(&agents, &model, refunds.clone()).await?;

    let reply = agent.ask("My mug is broken, order 17.").await?;

    assert_eq!(reply.result, "I am sorry. The money is on its way.");
    assert_eq!(refunds.calls()[0].arguments["order"], 17);
    let requests = model.requests();
    assert_eq!(requests[0].messages[0].text(), "Refund what is broken. Be kind.");
    assert_eq!(requests[1].messages.last().map(|told| told.results().count()), Some(1), "the model saw the result");
    model.assert_exhausted();
    agents.system().shutdown_gracefully().await
}

async fn a_model_that_never_stops_asking_is_stopped() -> Result<()> {
    let (agents, refunds) = (beluga::in_memory("test").await?, CountingTool::new(refund));
    let model = ScriptedModel::new((0..9).map(|order| Answer::call("refund", json!({"order": order}))));
    let agent = support(&agents, &model, refunds.clone()).await?;

    let error = agent.ask("Refund everything.").await.map(|reply| reply.result).unwrap_err();

    assert_eq!(error.code(), Code::BudgetExhausted);
    assert_eq!((refunds.count(), model.remaining()), (3, 6));
    agents.system().shutdown_gracefully().await
}

#[tokio::main]
async fn main() -> Result<()> {
    a_broken_mug_is_refunded_once().await?;
    println!("a_broken_mug_is_refunded_once ... ok");
    a_model_that_never_stops_asking_is_stopped().await?;
    println!("a_model_that_never_stops_asking_is_stopped ... ok");
    Ok(())
}
