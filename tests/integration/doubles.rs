//! The test doubles themselves: stores that fail, hang, lose, damage and delay, and what an agent makes of it.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::Action;
use beluga_actors::session::{Invoke, Settings, Stores};
use beluga_actors::testkit::{
    Answer, Faults, FaultyJournal, FaultyMessages, FaultyState, FixedMemory, FunctionPlanner, Items, ScriptedModel,
    StoreCall,
};
use beluga_core::{Code, Effect, Error, Role, State, StateScope, TenantId, ToolCall};
use beluga_runtime::time;
use futures_util::StreamExt;
use serde_json::json;

use crate::kit::{Node, Witness, session, shout, stores};

/// A node whose stores follow a plan.
async fn node(faults: &Faults) -> Node {
    let stores = stores();
    let stores = Stores {
        journal: Arc::new(FaultyJournal::new(stores.journal, faults)),
        messages: Arc::new(FaultyMessages::new(stores.messages, faults)),
        state: Arc::new(FaultyState::new(stores.state, faults)),
    };
    Node::with(stores, Settings::default()).await
}

fn broken() -> Error {
    Error::internal("the disk broke")
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_nth_append_fails_goes_on_in_the_next_incarnation() {
    for nth in 2..=4 {
        let (faults, witness) = (Faults::new(), Witness::default());
        let node = node(&faults).await;
        let answers = [Answer::call("shout", json!({"word": "x"})), Answer::text("done"), Answer::text("done")];
        let model = ScriptedModel::new(answers);
        let agent = node.agent(&model, |agent| agent.tool(shout("shout", Effect::Once, &witness))).await;
        faults.fail(StoreCall::Append, nth, broken());
        let reply = agent.ask("go").session(session("s")).await;
        // The model is asked again where its answer was not recorded: then the script calls no tool any more.
        assert_eq!(reply.unwrap().result, "done", "append {nth}");
        assert_eq!(witness.count(), usize::from(nth > 2), "append {nth}: a once tool runs at most once");
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_that_was_written_and_not_acknowledged_is_not_done_twice() {
    let (faults, witness) = (Faults::new(), Witness::default());
    let node = node(&faults).await;
    let answers = [Answer::call("shout", json!({"word": "x"})), Answer::text("done")];
    let agent =
        node.agent(&ScriptedModel::new(answers), |agent| agent.tool(shout("shout", Effect::Once, &witness))).await;
    // The results of the tool are in the journal; the turn does not know it.
    faults.lose(StoreCall::Append, 3, Error::unavailable("the connection broke"));
    assert_eq!(agent.ask("go").session(session("s")).await.unwrap().result, "done");
    assert_eq!(witness.count(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_hangs_ends_a_call_at_its_deadline() {
    let faults = Faults::new();
    let node = node(&faults).await;
    let agent = node.agent(&ScriptedModel::new([Answer::text("never")]), |agent| agent).await;
    faults.hang(StoreCall::Append, 1);
    let before = time::now();
    let error = agent.ask("go").within(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!((error.code(), (time::now() - before).as_secs()), (Code::Timeout, 5));
    drop(node.agents);
    let killed = node.system.shutdown(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(killed.code(), Code::Timeout, "what waits for the journal has to be killed");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_journal_is_said_to_be_damaged() {
    let faults = Faults::new();
    let node = node(&faults).await;
    let model = ScriptedModel::new([Answer::text("one"), Answer::text("two")]);
    let agent = node.agent(&model, |agent| agent).await;
    agent.ask("go").session(session("s")).await.unwrap();
    let events = async |after: Option<u64>| {
        let events = node.agents.sessions().events(&TenantId::default(), &session("s"), after, false).await.unwrap();
        events.collect::<Vec<_>>().await
    };
    faults.corrupt(StoreCall::Read, faults.calls(StoreCall::Read) + 1);
    let damaged = events(None).await;
    assert_eq!(damaged[0].as_ref().unwrap_err().code(), Code::Decode, "{damaged:?}");
    assert!(events(None).await.iter().all(Result::is_ok), "only that read was damaged");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn delays_pass_on_the_runtimes_clock() {
    let faults = Faults::new();
    let node = node(&faults).await;
    let agent = node.agent(&ScriptedModel::new([Answer::text("slow")]), |agent| agent).await;
    faults.delay(StoreCall::Append, Duration::from_secs(3));
    let before = time::now();
    agent.ask("go").await.unwrap();
    assert_eq!((time::now() - before).as_secs(), 3 * faults.calls(StoreCall::Append));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn state_and_messages_fail_call_by_call() {
    let faults = Faults::new();
    let node = node(&faults).await;
    let state = State::new(Arc::clone(&node.stores.state), TenantId::default(), StateScope::Global);
    faults.fail(StoreCall::Set, 1, broken());
    faults.corrupt(StoreCall::Get, 2);
    faults.fail_from(StoreCall::Watch, 1, broken());
    assert_eq!(state.set("n", &1).await.unwrap_err().code(), Code::Internal);
    state.set("n", &2).await.unwrap();
    assert_eq!(state.get::<u8>("n").await.unwrap(), Some(2));
    assert_eq!(state.get::<u8>("n").await.unwrap_err().code(), Code::Internal);
    assert!(state.watch::<u8>("n").next().await.unwrap().is_err());
    faults.heal();
    faults.fill_disk();
    assert_eq!(state.delete("n").await.unwrap_err().code(), Code::Overloaded);
    assert_eq!(state.get::<u8>("n").await.unwrap(), Some(2), "reads go on");
    let owner =
        beluga_core::MemoryOwner { tenant: TenantId::default(), agent: beluga_core::AgentName::parse("a").unwrap() };
    assert_eq!(node.stores.messages.append(owner.clone(), vec![]).await.unwrap_err().code(), Code::Overloaded);
    node.stores.messages.clear(owner).await.unwrap();
    assert_eq!((faults.calls(StoreCall::Set), faults.calls(StoreCall::Get)), (2, 3));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_without_its_memory_is_answered_and_saved_when_it_is_back() {
    let (node, faults) = (Node::start().await, Faults::new());
    let memory = FixedMemory::new("Her name is Ada.").with_faults(&faults);
    let model = ScriptedModel::new([Answer::text("one"), Answer::text("two")]);
    let agent = node.agent(&model, |agent| agent.memory(memory.clone())).await;
    faults.fail(StoreCall::Load, 1, broken());
    faults.fail(StoreCall::Save, 1, broken());
    agent.ask("first").await.unwrap();
    agent.ask("second").await.unwrap();
    let requests = model.requests();
    assert_eq!(requests[0].messages[0].role, Role::User, "no memory, no system prompt");
    assert_eq!(requests[1].messages[0].text(), "Her name is Ada.");
    time::sleep(Duration::from_secs(1)).await;
    let saved: Vec<String> = memory.saved().iter().map(|exchange| exchange.input.text()).collect();
    assert_eq!(saved, ["second"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_planner_made_of_a_closure_runs_tools_without_a_model() {
    let (node, witness) = (Node::start().await, Witness::default());
    let planner = FunctionPlanner::new(|state| {
        Ok(vec![match state.observations.first() {
            None => Action::Tool(ToolCall::new("1", "shout", r#"{"word": "x"}"#)),
            Some(observation) => Action::Finish(observation.result.text()),
        }])
    });
    let model = ScriptedModel::new([]);
    let agent = node.agent(&model, |agent| agent.planner(planner).tool(shout("shout", Effect::Pure, &witness))).await;
    assert_eq!(agent.invoke(Invoke::text("go")).await.unwrap().result, "X");
    assert!(model.requests().is_empty());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_made_by_hand_pauses_and_hangs() {
    let before = time::now();
    let mut items = Items::new(["a", "b"]).every(Duration::from_secs(2)).then_hang().stream();
    assert_eq!((items.next().await.unwrap().unwrap(), items.next().await.unwrap().unwrap()), ("a", "b"));
    assert_eq!((time::now() - before).as_secs(), 4);
    assert!(time::timeout(Duration::from_secs(60), items.next()).await.is_err());
}
