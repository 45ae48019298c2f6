//! Handoffs: one agent asks a colleague and goes on with the answer, or gives the whole conversation away.

use beluga::prelude::*;
use beluga::testkit::{Answer, ScriptedModel};
use futures_util::StreamExt;
use serde_json::json;

async fn talk(agent: &AgentRef, session: &SessionId, text: &str) -> Result<()> {
    println!("you: {text}");
    let mut events = agent.stream(Invoke::text(text).with_session(session.clone())).await?;
    while let Some(event) = events.next().await {
        let Numbered { agent, event, .. } = event?;
        match event {
            Event::Handoff { from, to, mode } => println!("     ({from} hands over to {to}: {mode:?})"),
            Event::ToolCall { name, arguments, .. } => println!("     ({agent} calls {name} {arguments})"),
            Event::Done { result, .. } => println!("{agent}: {result}"),
            Event::Error { error } => println!("{agent}: {} {}", error.code.as_str(), error.detail),
            _ => {}
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let agents = beluga::in_memory("office").await?;
    let host = agents.system().host();
    let offline = OfflineModel::new(host.clone());

    Agent::builder("accountant").model(offline.clone()).tool(calculator).spawn(&agents).await?;
    let calendar = Agent::builder("calendar").model(offline).tool(clock(host)).spawn(&agents).await?;
    // A handoff is offered to the model as the tool `transfer_to_<agent>`; this model follows a script.
    let script = [
        Answer::call("transfer_to_accountant", json!({"reason": "It is about numbers."})),
        Answer::text("The accountant says it is 90."),
        Answer::call("transfer_to_calendar", json!({"reason": "It is about dates."})),
    ];
    let desk = Agent::builder("desk")
        .model(ScriptedModel::new(script))
        .handoff("accountant", HandoffMode::Return)
        .handoff("calendar", HandoffMode::Transfer)
        .spawn(&agents)
        .await?;

    let session = SessionId::parse("visit-1")?;
    // Return: the accountant answers as a tool would, and the desk keeps the conversation.
    talk(&desk, &session, "What is 12 * 7.5?").await?;
    // Transfer: the session belongs to the calendar from now on.
    talk(&desk, &session, "Which weekday is 2027-01-01?").await?;
    talk(&calendar, &session, "And which weekday is 2028-01-01?").await?;

    let refused = desk.ask("Are you still there?").session(session).await;
    println!("the desk no longer has it: {}", refused.map_or_else(|error| error.to_string(), |reply| reply.result));
    agents.system().shutdown_gracefully().await
}
