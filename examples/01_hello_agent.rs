//! An agent with two tools answers a question. The offline model needs no key: put your own in its place.
use beluga::prelude::*;

#[tokio::main]
async fn main() -> Result<()> {
    let agents = beluga::in_memory("hello").await?;
    let host = agents.system().host();
    let agent = Agent::builder("assistant").model(OfflineModel::new(host.clone())).tool(calculator).tool(clock(host));
    let agent: AgentRef = agent.spawn(&agents).await?;
    let reply: Reply = agent.ask("What is 17% of 2340, and which weekday is 90 days after 2026-11-20?").await?;
    println!("{}", reply.result);
    agents.system().shutdown_gracefully().await
}
