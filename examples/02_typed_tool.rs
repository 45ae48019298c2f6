//! A typed tool: the argument struct is the schema the model sees, the check of what it sends, and the defaults.

use beluga::prelude::*;
use beluga::testkit::{Answer, ScriptedModel};
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Deserialize, JsonSchema)]
struct Order {
    /// The article, such as `tea`.
    article: String,
    /// How many packets.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 12))]
    packets: u8,
}

fn one() -> u8 {
    1
}

#[derive(Serialize)]
struct Receipt {
    article: String,
    packets: u8,
    total_cents: u32,
    number: String,
}

/// Orders an article.
#[tool(effect = "idempotent", timeout_ms = 2000)]
async fn order(cx: &ToolContext, wanted: Order) -> Result<Receipt> {
    if wanted.article != "tea" {
        return Err(Error::not_found(format!("the shop has no {}", wanted.article)));
    }
    // The key is the same over every retry and resume of this call: what it names happens once.
    let number = cx.idempotency_key.to_string();
    Ok(Receipt {
        total_cents: 450 * u32::from(wanted.packets),
        article: wanted.article,
        packets: wanted.packets,
        number,
    })
}

#[tokio::main]
async fn main() -> Result<()> {
    println!("the model is shown {}", order.definition().input_schema);

    // A model that errs twice. What the schema refuses never reaches the tool; the model is told and may correct itself.
    let model = ScriptedModel::new([
        Answer::call("order", json!({"article": "tea", "packets": 99, "gift": true})),
        Answer::call("order", json!({"article": "coffee"})),
        Answer::call("order", json!({"article": "tea"})),
        Answer::text("One packet of tea is on its way; it costs 4.50."),
    ]);
    let agents = beluga::in_memory("shop").await?;
    let agent = Agent::builder("clerk").model(model).tool(order).spawn(&agents).await?;

    let mut events = agent.stream(Invoke::text("Tea, please.")).await?;
    while let Some(event) = events.next().await {
        match event?.event {
            Event::ToolCall { arguments, .. } => println!("call   {arguments}"),
            Event::ToolResult { content, outcome, .. } => println!("result {outcome:?}: {content}"),
            Event::Done { result, .. } => println!("answer {result}"),
            _ => {}
        }
    }
    agents.system().shutdown_gracefully().await
}
