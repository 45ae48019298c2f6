//! Hooks: what an application sees of models, tools, memory and handoffs, and what it may change.

use std::sync::Arc;

use beluga_actors::agent::{Agent, Handoff};
use beluga_actors::memory::{HookedMemory, MemoryHooks};
use beluga_actors::model::{HookedModel, ModelHooks};
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_actors::tool::{ToolHooks, ToolSettings};
use beluga_core::{
    AgentName, CallContext, ChatMessage, Code, Effect, Error, Exchange, HandoffMode, Memory, MemoryOwner, MemoryQuery,
    ModelAnswer, ModelChunk, ModelRequest, Part, Recollection, Result, TenantId, ToolCall, ToolContext, ToolOutput,
};
use serde_json::{Value, json};

use crate::kit::{Node, Notes, Witness, session, shout};

impl ModelHooks for Notes {
    fn before_generate(&self, request: &mut ModelRequest) -> Result<()> {
        self.add("before");
        if request.messages.iter().any(|message| message.text() == "forbidden") {
            return Err(Error::invalid_input("not this"));
        }
        request.messages.insert(0, Arc::new(ChatMessage::system("added")));
        Ok(())
    }

    fn after_generate(&self, answer: &ModelAnswer) {
        self.add(format!("after {}", answer.message.text()));
    }

    fn on_stream(&self, chunk: &ModelChunk) {
        if let ModelChunk::Text { text } = chunk {
            self.add(format!("text {text}"));
        }
    }

    fn on_tool_call(&self, call: &ToolCall) {
        self.add(format!("call {}", call.name));
    }

    fn on_reasoning(&self, text: &str) {
        self.add(format!("thinks {text}"));
    }

    fn on_error(&self, error: Error) -> Result<ModelAnswer> {
        self.add(format!("error {}", error.code()));
        Err(Error::unsupported("replaced"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_models_hooks_see_and_alter_its_calls() {
    let (node, notes) = (Node::start().await, Notes::default());
    let thinking = ModelChunk::ThinkingDelta { text: "hm".into() };
    let script = [
        Answer::call("shout", json!({"word": "x"})),
        Answer::chunks([thinking, ModelChunk::Text { text: "done".into() }])
            .with_finish(beluga_core::FinishReason::Stop),
        Answer::error(Error::provider_unavailable("down")),
    ];
    let model = ScriptedModel::new(script);
    let agent = Agent::builder("assistant").model(HookedModel::new(model.clone(), notes.clone()));
    let agent = agent.tool(shout("shout", Effect::Pure, &Witness::default())).spawn(&node.agents).await.unwrap();
    assert_eq!(agent.ask("go").await.unwrap().result, "done");
    let expected = ["before", "call shout", "after ", "before", "thinks hm", "text done", "after done"];
    assert_eq!(notes.take(), expected);
    assert!(model.requests().iter().all(|request| request.messages[0].text() == "added"));
    assert_eq!(agent.ask("go").await.unwrap_err().code(), Code::Unsupported);
    assert_eq!(notes.take(), ["before", "error provider_unavailable"]);
    assert_eq!(agent.ask("forbidden").await.unwrap_err().code(), Code::Unsupported, "its refusal passes its own hook");
    assert_eq!(model.requests().len(), 3, "a refused call is not sent");
    node.stop().await;
}

impl ToolHooks for Notes {
    fn before_execute(&self, tool: &str, arguments: &mut Value, _context: &ToolContext) -> Result<()> {
        self.add(format!("before {tool}"));
        match arguments["word"].as_str() {
            Some("forbidden") => return Err(Error::new(Code::PermissionDenied, "not this")),
            Some("plain") => arguments["word"] = json!("changed"),
            _ => {}
        }
        Ok(())
    }

    fn after_execute(&self, tool: &str, output: &mut ToolOutput, _context: &ToolContext) -> Result<()> {
        self.add(format!("after {tool}"));
        output.parts.push(Part::text("!"));
        Ok(())
    }

    fn on_error(&self, tool: &str, error: Error, _context: &ToolContext) -> Result<ToolOutput> {
        self.add(format!("error {tool} {}", error.code()));
        if error.code() == Code::InvalidInput {
            return Ok(ToolOutput::text("swallowed"));
        }
        Err(error)
    }
}

#[tokio::test(start_paused = true)]
async fn a_tools_hooks_change_refuse_and_swallow() {
    let (node, notes) = (Node::start().await, Notes::default());
    let settings = ToolSettings { hooks: vec![Arc::new(notes.clone())], ..ToolSettings::default() };
    let witness = Witness::default();
    let tools = node.agents.tools();
    let tool = tools.add(Arc::new(shout("shout", Effect::Pure, &witness)), settings.clone()).await.unwrap();
    let again = tools.add(Arc::new(shout("shout", Effect::Pure, &witness)), settings).await.unwrap_err();
    assert_eq!(again.code(), Code::Conflict, "a second tool of a name");
    let call = |word: Value| Answer::call("shout", json!({"word": word}));
    let script = [call(json!("plain")), call(json!("forbidden")), call(json!(7)), Answer::text("done")];
    let model = ScriptedModel::new(script);
    let agent = node.agent(&model, |agent| agent.shared_tool(tool)).await;
    agent.ask("go").await.unwrap();
    let requests = model.requests();
    let told = |round: usize| requests[round].messages.last().unwrap().results().next().unwrap().text();
    assert_eq!(told(1), "CHANGED!");
    assert!(told(2).starts_with("permission_denied: not this"), "{}", told(2));
    assert_eq!(told(3), "swallowed");
    let expected =
        ["before shout", "after shout", "before shout", "error shout permission_denied", "error shout invalid_input"];
    assert_eq!((notes.take(), witness.count()), (expected.map(str::to_owned).to_vec(), 1));
    assert_eq!(tools.list().len(), 1);
    tools.remove("shout").unwrap();
    assert_eq!(tools.get("shout").unwrap_err().code(), Code::NotFound);
    node.stop().await;
}

impl MemoryHooks for Notes {
    fn before_save(&self, exchange: &mut Exchange) -> Result<()> {
        self.add("before save");
        exchange.input = Arc::new(ChatMessage::user("rewritten question"));
        Ok(())
    }
    fn after_save(&self, _exchange: &Exchange) {
        self.add("after save");
    }
    fn before_load(&self, _query: &mut MemoryQuery) -> Result<()> {
        self.add("before load");
        Ok(())
    }
    fn after_load(&self, _query: &MemoryQuery, text: &mut String) {
        self.add("after load");
        text.push_str("It is raining.");
    }
    fn before_search(&self, query: &mut MemoryQuery) -> Result<()> {
        self.add("before search");
        query.text = "rewritten".into();
        Ok(())
    }
    fn after_search(&self, _query: &MemoryQuery, found: &mut Vec<Recollection>) {
        self.add(format!("after search {}", found.len()));
    }
    fn before_clear(&self, owner: &MemoryOwner) -> Result<()> {
        self.add("before clear");
        if owner.agent.as_str() == "locked" { Err(Error::invalid_input("locked")) } else { Ok(()) }
    }
    fn after_clear(&self, _owner: &MemoryOwner) {
        self.add("after clear");
    }
    fn on_error(&self, error: Error) -> Error {
        self.add("error");
        error
    }
}

#[tokio::test(start_paused = true)]
async fn a_memorys_hooks_see_and_alter_what_is_kept_and_found() {
    let (node, notes) = (Node::start().await, Notes::default());
    let memory = HookedMemory::new(node.recall_memory().await, notes.clone());
    let model = ScriptedModel::new([Answer::text("noted")]);
    let agent = node.agent(&model, |agent| agent.memory(memory.clone())).await;
    agent.ask("question").await.unwrap();
    assert_eq!(model.requests()[0].messages[0].text(), "It is raining.");
    let mut seen = notes.take();
    while !seen.contains(&"after save".to_owned()) {
        tokio::task::yield_now().await;
        seen.extend(notes.take());
    }
    assert_eq!(seen, ["before load", "after load", "before save", "after save"]);
    let owner = |agent: &str| MemoryOwner { tenant: TenantId::default(), agent: AgentName::parse(agent).unwrap() };
    let query = || MemoryQuery {
        owner: owner("assistant"),
        text: "nothing".into(),
        limit: 5,
        session: None,
        context: CallContext::new(),
    };
    let mut found = Vec::new();
    for _ in 0..1_000 {
        notes.take();
        found = memory.search(query()).await.unwrap();
        if !found.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(
        (found[0].text.as_str(), notes.take()),
        ("rewritten question", vec!["before search".into(), "after search 1".into()])
    );
    memory.clear(owner("assistant")).await.unwrap();
    memory.clear(owner("locked")).await.unwrap_err();
    assert_eq!(notes.take(), ["before clear", "after clear", "before clear", "error"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handoff_filters_the_transcript_and_tells_its_hook_in_both_modes() {
    for mode in [HandoffMode::Return, HandoffMode::Transfer] {
        let (node, notes) = (Node::start().await, Notes::default());
        let front = ScriptedModel::new([
            Answer::text("hello"),
            Answer::call("transfer_to_billing", json!({})),
            Answer::text("they paid"),
        ]);
        let back = ScriptedModel::new([Answer::text("paid")]);
        Agent::builder("billing").model(back.clone()).spawn(&node.agents).await.unwrap();
        let told = notes.clone();
        let handoff = Handoff::new(AgentName::parse("billing").unwrap(), mode)
            .describe("Ask whoever knows about money.")
            .on_handoff(move |notice| told.add(format!("{} to {}, {}", notice.from, notice.to, notice.hops)))
            .filter(|_| Vec::new());
        let agent = node.agent(&front, |agent| agent.handoff_with(handoff)).await;
        agent.ask("hi").session(session("s")).await.unwrap();
        agent.ask("is it paid?").session(session("s")).await.unwrap();
        assert_eq!(notes.take(), ["assistant to billing, 1"], "{mode:?}");
        assert_eq!(front.requests()[1].tools[0].description, "Ask whoever knows about money.");
        let said: Vec<String> = back.requests()[0].messages.iter().map(|message| message.text()).collect();
        assert!(!said.contains(&"hello".to_owned()), "{mode:?}: what the filter took away is not shown: {said:?}");
        assert_eq!(said[0], "is it paid?", "{mode:?}: {said:?}");
        node.stop().await;
    }
}
