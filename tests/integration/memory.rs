//! Memory: core blocks in the prompt, recall across sessions.

use beluga_actors::memory::core::Block;
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_core::{AgentName, CallContext, Code, Memory, MemoryOwner, MemoryQuery, TenantId};
use serde_json::json;

use crate::kit::{Node, session};

fn owner() -> MemoryOwner {
    MemoryOwner { tenant: TenantId::default(), agent: AgentName::parse("assistant").unwrap() }
}

#[tokio::test(start_paused = true)]
async fn an_agent_edits_its_own_core_memory_and_finds_it_in_the_prompt() {
    let node = Node::start().await;
    let core = node.core_memory().await;
    let script = [
        Answer::call("core_memory_append", json!({"block": "human", "content": "Her name is Ada."})),
        Answer::text("noted"),
        Answer::text("Ada"),
    ];
    let model = ScriptedModel::new(script);
    let tools = core.tools();
    let agent = node
        .agent(&model, |mut agent| {
            for tool in tools {
                agent = agent.tool(tool);
            }
            agent.memory(core.clone())
        })
        .await;
    agent.ask("My name is Ada.").session(session("a")).await.unwrap();
    agent.ask("Who am I?").session(session("b")).await.unwrap();
    let prompt = model.requests()[2].messages[0].text();
    assert!(prompt.contains("Her name is Ada."), "{prompt}");
    let long = "x".repeat(2_001);
    let error = core.append(&owner(), Block::Human, long, None).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidInput);
    core.append(&owner(), Block::Persona, "once".into(), Some("k".into())).await.unwrap();
    core.append(&owner(), Block::Persona, "once".into(), Some("k".into())).await.unwrap();
    assert_eq!(core.block(&owner(), Block::Persona).await.unwrap(), "once");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn recall_finds_what_was_said_in_another_session_and_nothing_of_another_tenant() {
    let node = Node::start().await;
    let recall = node.recall_memory().await;
    let model = ScriptedModel::new([Answer::text("The capital is Oslo.")]);
    let agent = node.agent(&model, |agent| agent.memory(recall.clone())).await;
    agent.ask("What is the capital of Norway?").session(session("a")).await.unwrap();
    let query = |tenant: TenantId| MemoryQuery {
        owner: MemoryOwner { tenant, ..owner() },
        text: "norway capital".into(),
        limit: 5,
        session: None,
        context: CallContext::new(),
    };
    let mut found = Vec::new();
    for _ in 0..1_000 {
        found = recall.search(query(TenantId::default())).await.unwrap();
        if !found.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(found[0].session, session("a"));
    assert!(found[0].text.contains("Norway"));
    assert!(recall.search(query(TenantId::parse("acme").unwrap())).await.unwrap().is_empty());
    recall.clear(owner()).await.unwrap();
    assert!(recall.search(query(TenantId::default())).await.unwrap().is_empty());
    node.stop().await;
}
