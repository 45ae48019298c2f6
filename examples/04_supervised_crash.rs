//! Crashes: an actor that panics is built anew behind the same reference, and a tool that panics fails one call.

use beluga::prelude::*;
use beluga::testkit::{Answer, ScriptedModel};
use futures_util::TryStreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Message)]
#[message(name = "ledger.book", reply = u32, keep)] // `keep`: a dead letter shows the message.
struct Book(&'static str);

protocol!(LedgerProtocol: Book);

#[derive(Default)]
struct Ledger {
    booked: u32,
}

impl Actor for Ledger {
    type Protocol = LedgerProtocol;
    const KIND: &'static str = "ledger";
}

impl Handler<Book> for Ledger {
    async fn handle(&mut self, Book(amount): Book, cx: &mut Cx<Self>) -> Result<u32> {
        assert!(amount != "garbage", "no number: {amount}");
        self.booked += 1;
        println!("incarnation {} booked {amount}, its entry {}", cx.incarnation(), self.booked);
        Ok(self.booked)
    }
}

#[derive(Deserialize, JsonSchema)]
struct Number {
    value: u32,
}

/// Halves a number.
#[tool(effect = "pure")]
async fn halve(number: Number) -> Result<u32> {
    assert!(number.value.is_multiple_of(2), "{} is odd", number.value); // A bug: nobody thought of it.
    Ok(number.value / 2)
}

#[tokio::main]
async fn main() -> Result<()> {
    beluga::runtime::testkit::quiet_panics(); // Panics in actors are caught and named below; no backtrace is needed.
    let agents = beluga::in_memory("crash").await?;
    let system = agents.system();

    println!("-- four messages in the queue, the second is poison");
    let ledger = system.spawn("ledger", Ledger::default).await?;
    for amount in ["10.00", "garbage", "20.00"] {
        ledger.tell(Book(amount)).await?;
    }
    let entries = ledger.ask(Book("30.00")).await?; // The same reference, and nothing of the queue is lost.
    println!("the last incarnation has {entries} entries: what must survive belongs into a journal");
    for letter in system.dead_letters().recent() {
        let (payload, panic) = (letter.payload.unwrap_or_default(), letter.panic.unwrap_or_default());
        println!("dead letter of {}: {} {payload}, {:?}: {panic}", letter.actor, letter.message, letter.reason);
    }

    println!("-- a tool that panics in the middle of a turn");
    let script = [Answer::call("halve", json!({"value": 7})), Answer::text("7 cannot be halved.")];
    let agent = Agent::builder("assistant").model(ScriptedModel::new(script)).tool(halve).spawn(&agents).await?;
    let events: Vec<Numbered> = agent.stream(Invoke::text("Halve 7.")).await?.try_collect().await?;
    for Numbered { event, .. } in &events {
        match event {
            Event::ToolResult { content, outcome, .. } => println!("the model is told ({outcome:?}): {content}"),
            Event::Done { result, .. } => println!("the turn ends well: {result}"),
            _ => {}
        }
    }
    let tool = system.snapshot()?.find("tools/assistant.halve").map(|node| (node.job_panics, node.restarts));
    println!("the tool in the tree (panics of calls, restarts): {tool:?}");
    system.shutdown_gracefully().await
}
