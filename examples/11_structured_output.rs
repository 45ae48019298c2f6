//! An answer of a type: shown while it comes, checked when it is whole, sent back when it is wrong.

use beluga::actors::agent::OutputItem;
use beluga::actors::model::structured::StructuredModel;
use beluga::core::ModelRequest;
use beluga::prelude::*;
use beluga::testkit::{Answer, ScriptedModel};
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
struct Trip {
    /// Where to.
    city: String,
    #[schemars(range(min = 1, max = 30))]
    days: u8,
}

#[tokio::main]
async fn main() -> Result<()> {
    // A model that errs once: 90 days are above what the type allows.
    let model = ScriptedModel::new([
        Answer::pieces(["{\"city\": \"Os", "lo\", \"days\"", ": 90}"]),
        Answer::pieces(["{\"city\": \"Oslo\"", ", \"days\": 3}"]),
        Answer::call("answer", serde_json::json!({"city": "Bergen", "days": 2})),
    ]);
    let agents = beluga::in_memory("travel").await?;
    let agent = Agent::builder("planner").model(model.clone()).spawn(&agents).await?;

    let mut items = agent.ask("A short trip to the north, please.").output::<Trip>().stream();
    while let Some(item) = items.next().await {
        match item? {
            OutputItem::Partial(known) => println!("so far {known}"),
            OutputItem::Done(trip) => println!("agent: {} for {} days", trip.city, trip.days),
        }
    }

    // The same from a bare model, without an agent. This one takes no schemas, so it is given a tool to answer with.
    let request = ModelRequest { messages: vec![ChatMessage::user("Another one.").into()], ..ModelRequest::default() };
    let answer = model.structured::<Trip>().generate(request, CallContext::new()).await?;
    println!("model: {} for {} days, after {} tries", answer.output.city, answer.output.days, answer.tries);
    agents.system().shutdown_gracefully().await
}
