//! The loop: what is sent, what runs, how it ends.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::{Agent, Persona};
use beluga_actors::model::ModelPolicy;
use beluga_actors::session::{Invoke, Settings, Stores};
use beluga_actors::testkit::{Answer, Faults, FaultyJournal, FixedMemory, ScriptedModel, StoreCall};
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{
    CacheHints, ChatModel, Code, Effect, Error, Event, HandoffMode, Part, Result, Role, ToolContext, ToolOutcome, Usage,
};
use futures_util::StreamExt;
use serde_json::json;
use tokio::sync::Barrier;

use crate::kit::{Gate, Node, Witness, Word, collect, hang, names, session, shout, stores, text, wait};

#[tokio::test(start_paused = true)]
async fn seven_tool_rounds_send_the_history_exactly_once() {
    let mut script: Vec<Answer> = (0..7).map(|n| Answer::call("shout", json!({"word": n.to_string()}))).collect();
    script.push(Answer::text("done"));
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(shout("shout", Effect::Pure, &Witness::default()))).await;
    assert_eq!(agent.ask("go").await.unwrap().result, "done");
    let sizes: Vec<usize> = model.requests().iter().map(|request| request.messages.len()).collect();
    assert_eq!(sizes, [1, 3, 5, 7, 9, 11, 13, 15]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_system_prompt_is_sent_in_front_of_the_history() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::text("hi")]));
    let agent = node.agent(&model, |agent| agent.instructions("Be brief.")).await;
    agent.ask("hello").await.unwrap();
    let request = &model.requests()[0];
    assert_eq!((request.messages[0].role, request.messages[0].text()), (Role::System, "Be brief.".into()));
    assert_eq!(request.messages.len(), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_on_where_it_was() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::text("one"), Answer::text("two")]));
    let agent = node.agent(&model, |agent| agent).await;
    let first = agent.ask("a").await.unwrap();
    let second = agent.ask("b").session(first.session.clone()).await.unwrap();
    assert_eq!((second.session.clone(), second.result.as_str()), (first.session, "two"));
    assert_ne!(first.turn, second.turn);
    let said: Vec<String> = model.requests()[1].messages.iter().map(|message| message.text()).collect();
    assert_eq!(said, ["a", "one", "b"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_shows_every_event_once_and_in_order() {
    let usage = Usage { input_tokens: 10, output_tokens: 4, ..Usage::default() };
    let script = [
        Answer::call("shout", json!({"word": "hey"})).with_usage(usage),
        Answer::pieces(["He", "llo"]).with_usage(usage),
    ];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(shout("shout", Effect::Once, &Witness::default()))).await;
    let events = collect(agent.stream(Invoke::text("go")).await.unwrap()).await;
    assert_eq!(names(&events), ["usage", "tool_call", "tool_result", "text", "text", "usage", "done"]);
    assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number));
    assert_eq!(text(&events), "Hello");
    assert!(
        matches!(&events[2].event, Event::ToolResult { content, outcome: ToolOutcome::Ok, .. } if content == "HEY")
    );
    assert!(
        matches!(&events[6].event, Event::Done { result, usage } if result == "Hello" && usage.total_tokens() == 28)
    );
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tools_of_one_answer_run_in_parallel_and_their_results_keep_the_order() {
    let barrier = Arc::new(Barrier::new(2));
    let meet = |name: &str| {
        let barrier = Arc::clone(&barrier);
        FunctionTool::new(name, "Waits for the other.", move |Word { word }: Word, _cx: ToolContext| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Result::Ok(word)
            }
        })
    };
    let script =
        [Answer::call("left", json!({"word": "l"})).and_call("right", json!({"word": "r"})), Answer::text("met")];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(meet("left")).tool(meet("right"))).await;
    assert_eq!(agent.ask("go").within(Duration::from_secs(5)).await.unwrap().result, "met");
    let results: Vec<String> = model.requests()[1].messages[2].results().map(|result| result.text()).collect();
    assert_eq!(results, ["l", "r"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn more_tools_than_the_bound_wait_their_turn() {
    let running = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let peak = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let tool = {
        let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
        FunctionTool::new("wait", "Waits.", move |_: Word, _cx: ToolContext| {
            let (running, peak) = (Arc::clone(&running), Arc::clone(&peak));
            async move {
                use std::sync::atomic::Ordering::SeqCst;
                peak.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                beluga_runtime::time::sleep(Duration::from_secs(1)).await;
                running.fetch_sub(1, SeqCst);
                Result::Ok("waited")
            }
        })
    };
    let many = (1..10).fold(Answer::call("wait", json!({})), |answer, _| answer.and_call("wait", json!({})));
    let (node, model) = (Node::start().await, ScriptedModel::new([many, Answer::text("ok")]));
    let agent = node.agent(&model, |agent| agent.tool(tool).parallel_tools(3)).await;
    agent.ask("go").await.unwrap();
    assert_eq!(peak.load(std::sync::atomic::Ordering::SeqCst), 3);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_panics_is_a_failed_result_and_the_session_goes_on() {
    let bomb = FunctionTool::new("bomb", "Explodes.", |_: Word, _cx: ToolContext| async move {
        if true {
            panic!("boom");
        }
        Result::Ok("never")
    });
    let script = [Answer::call("bomb", json!({})), Answer::text("survived"), Answer::text("again")];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(bomb)).await;
    let reply = agent.ask("go").await.unwrap();
    assert_eq!(reply.result, "survived");
    let told = model.requests()[1].messages[2].results().next().unwrap().text();
    assert!(told.contains("tool_failed") && told.contains("boom"), "{told}");
    assert_eq!(agent.ask("more").session(reply.session).await.unwrap().result, "again");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_hangs_is_cut_off_at_its_time_limit() {
    let tool = hang("hang", Effect::Pure, &Witness::default()).with_timeout(Duration::from_secs(3));
    let (node, model) =
        (Node::start().await, ScriptedModel::new([Answer::call("hang", json!({})), Answer::text("went on")]));
    let agent = node.agent(&model, |agent| agent.tool(tool)).await;
    assert_eq!(agent.ask("go").await.unwrap().result, "went on");
    let told = model.requests()[1].messages[2].results().next().unwrap().text();
    assert!(told.contains("timeout") && told.contains("3000 ms"), "{told}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bad_calls_are_told_to_the_model() {
    let script = [
        Answer::call("no_such_tool", json!({})),
        Answer::call("shout", json!({"word": 7})),
        Answer::call("shout", json!({"wrd": "x"})),
        Answer::text("sorry"),
    ];
    let witness = Witness::default();
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(shout("shout", Effect::Once, &witness))).await;
    assert_eq!(agent.ask("go").await.unwrap().result, "sorry");
    let requests = model.requests();
    let told = |round: usize| requests[round].messages.last().unwrap().results().next().unwrap().text();
    assert!(told(1).contains("not_found") && told(1).contains("shout"), "{}", told(1));
    assert!(told(2).contains("word") && told(2).contains("string"), "{}", told(2));
    assert!(told(3).contains("wrd"), "{}", told(3));
    assert_eq!(witness.count(), 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_ends_the_turn_with_its_error_and_the_session_goes_on() {
    let script = [Answer::error(Error::provider_unavailable("down")), Answer::text("up")];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    let error = agent.invoke(Invoke::text("go").with_session(session("s"))).await.unwrap_err();
    assert_eq!(error.code(), Code::ProviderUnavailable);
    assert_eq!(agent.ask("again").session(session("s")).await.unwrap().result, "up");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn half_a_stream_is_an_error_and_what_was_shown_is_partial() {
    let script = [Answer::pieces(["half "]).then_error(Error::provider_unavailable("the stream broke"))];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    let events = collect(agent.stream(Invoke::text("go")).await.unwrap()).await;
    assert_eq!(names(&events), ["text", "error"]);
    assert!(matches!(&events[1].event, Event::Error { error } if error.partial.as_deref() == Some("half ")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_never_ends_is_ended_by_its_iterations() {
    let script: Vec<Answer> = (0..4).map(|_| Answer::call("shout", json!({"word": "more"}))).collect();
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node
        .agent(&model, |agent| agent.max_iterations(3).tool(shout("shout", Effect::Pure, &Witness::default())))
        .await;
    let error = agent.ask("go").await.unwrap_err();
    assert_eq!(error.code(), Code::BudgetExhausted);
    assert_eq!(model.remaining(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_turn_ends_as_cancelled_and_its_once_tool_as_unknown() {
    let witness = Witness::default();
    let script = [Answer::call("hang", json!({})), Answer::text("later")];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(hang("hang", Effect::Once, &witness))).await;
    let mut stream = agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap();
    while stream.next().await.unwrap().unwrap().event.name() != "tool_call" {}
    while witness.count() == 0 {
        tokio::task::yield_now().await;
    }
    let tenant = beluga_core::TenantId::default();
    let cancelled = node.agents.sessions().cancel(&tenant, &session("s")).await.unwrap();
    assert_eq!(cancelled.as_ref(), stream.turn());
    let rest = collect(stream).await;
    assert_eq!(names(&rest), ["tool_result", "error"]);
    assert!(matches!(rest[0].event, Event::ToolResult { outcome: ToolOutcome::Unknown, .. }));
    assert!(matches!(&rest[1].event, Event::Error { error } if error.code == Code::Cancelled));
    assert_eq!(agent.ask("on").session(session("s")).await.unwrap().result, "later");
    assert_eq!(node.agents.sessions().cancel(&tenant, &session("s")).await.unwrap(), None);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn dropping_an_invoke_cancels_its_turn_and_dropping_a_stream_does_not() {
    let script = [Answer::hang(), Answer::text("streamed").after(Duration::from_secs(5))];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    let limited =
        tokio::time::timeout(Duration::from_secs(1), agent.invoke(Invoke::text("go").with_session(session("a"))));
    assert!(limited.await.is_err());
    let tenant = beluga_core::TenantId::default();
    let events = node.agents.sessions().events(&tenant, &session("a"), None, true).await.unwrap();
    let events: Vec<_> = events.take(1).map(|event| event.unwrap()).collect().await;
    assert!(matches!(&events[0].event, Event::Error { error } if error.code == Code::Cancelled));

    drop(agent.stream(Invoke::text("go").with_session(session("b"))).await.unwrap());
    let events = node.agents.sessions().events(&tenant, &session("b"), None, true).await.unwrap();
    let events: Vec<_> = events.take(3).map(|event| event.unwrap()).collect().await;
    assert!(matches!(&events[2].event, Event::Done { result, .. } if result == "streamed"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_past_its_deadline_is_a_timeout() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::hang()]));
    let agent = node.agent(&model, |agent| agent).await;
    let error = agent.ask("go").within(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn turns_of_a_session_run_one_after_another_and_too_many_are_refused() {
    let script = (0..17).map(|n| Answer::text(n.to_string()).after(Duration::from_secs(1)));
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    let turns: Vec<_> = (0..18).map(|_| agent.invoke(Invoke::text("go").with_session(session("s")))).collect();
    let outcomes = futures_util::future::join_all(turns).await;
    let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].code(), refused[0].http_status()), (Code::Overloaded, 429));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 17);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_key_has_one_effect_and_another_body_is_refused() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::text("once").after(Duration::from_secs(1))]));
    let agent = node.agent(&model, |agent| agent).await;
    let invoke = || Invoke::text("pay").with_idempotency_key("order-17");
    let (first, second) = futures_util::join!(agent.invoke(invoke()), agent.invoke(invoke()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first, second);
    assert_eq!(agent.invoke(invoke()).await.unwrap(), first, "an ended turn answers its first outcome");
    let error = agent.invoke(Invoke::text("pay more").with_idempotency_key("order-17")).await.unwrap_err();
    assert_eq!((error.code(), error.http_status()), (Code::InvalidInput, 422));
    assert_eq!(model.requests().len(), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_its_agent_and_its_tenant() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::text("mine"), Answer::text("yours")]));
    let agent = node.agent(&model, |agent| agent).await;
    let other = beluga_actors::agent::Agent::builder("other").model(model.clone()).spawn(&node.agents).await.unwrap();
    agent.ask("a").session(session("s")).await.unwrap();
    assert_eq!(other.ask("b").session(session("s")).await.unwrap_err().code(), Code::Conflict);
    let acme = beluga_core::CallContext::new().with_tenant(beluga_core::TenantId::parse("acme").unwrap());
    let reply = other.invoke(Invoke::text("c").with_session(session("s")).with_context(acme)).await.unwrap();
    assert_eq!(reply.result, "yours");
    assert_eq!(model.requests()[1].messages.len(), 1, "the other tenant's session is empty");
    let nobody = node.agents.sessions().events(&beluga_core::TenantId::default(), &session("zz"), None, true).await;
    assert_eq!(nobody.unwrap_err().code(), Code::NotFound);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_long_ends_the_turn_and_harms_nothing() {
    let large = "\u{1}".repeat(400_000);
    let script =
        [Answer::pieces(vec![large.clone(); 8]), Answer::pieces(vec![large.clone(), large]), Answer::text("short")];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    let error = agent.ask("go").session(session("s")).await.unwrap_err();
    assert_eq!(error.code(), Code::BudgetExhausted, "{error}");
    let error = agent.ask("go").session(session("s")).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidInput, "what the journal refuses ends the turn: {error}");
    assert_eq!(agent.ask("go").session(session("s")).await.unwrap().result, "short");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tool_answer_that_is_too_long_is_cut() {
    let tool =
        FunctionTool::new(
            "flood",
            "Floods.",
            |_: Word, _cx: ToolContext| async move { Result::Ok("é".repeat(2_000_000)) },
        );
    let (node, model) =
        (Node::start().await, ScriptedModel::new([Answer::call("flood", json!({})), Answer::text("dry")]));
    let agent = node.agent(&model, |agent| agent.tool(tool)).await;
    assert_eq!(agent.ask("go").await.unwrap().result, "dry");
    let told = model.requests()[1].messages[2].results().next().unwrap().text();
    assert!(told.len() < 2_100_000 && told.ends_with("too long]"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_invoke_hears_the_end_of_a_fast_model() {
    let pieces: Vec<String> = (0..5_000).map(|n| format!("{n} ")).collect();
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::pieces(pieces.clone())]));
    let agent = node.agent(&model, |agent| agent).await;
    assert_eq!(agent.ask("go").await.unwrap().result, pieces.concat());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agents_card_says_what_it_is_and_can_do() {
    let node = Node::start().await;
    let model = ScriptedModel::new([]);
    let persona = Persona { role: "a librarian".into(), goal: "find books".into(), ..Persona::default() };
    let agent = node
        .agent(&model, |agent| {
            agent
                .description("Knows the library.")
                .persona(persona)
                .instructions("Never tell this.")
                .tool(shout("shout", Effect::Pure, &Witness::default()))
                .handoff("billing", HandoffMode::Return)
        })
        .await;
    let card = agent.card().unwrap();
    assert_eq!((card.id.as_str(), card.description.as_str()), ("assistant", "Knows the library."));
    assert_eq!((card.role.as_str(), card.model.clone()), ("a librarian", model.info()));
    assert_eq!((card.tools.len(), card.tools[0].name.as_str()), (1, "shout"));
    assert_eq!(card.tools[0].description, "Shouts a word.");
    assert_eq!(card.tools[0].input_schema["properties"]["word"]["type"], "string");
    assert_eq!((card.handoffs[0].to.as_str(), card.handoffs[0].mode), ("billing", HandoffMode::Return));
    let json = serde_json::to_string(&card).unwrap();
    assert!(!json.contains("Never tell this."), "{json}");
    assert_eq!(serde_json::from_str::<beluga_actors::agent::Card>(&json).unwrap(), card);
    let plain = Agent::builder("assistant").model(model).build(&node.agents).await.unwrap();
    node.agents.replace(plain).unwrap();
    assert!(agent.card().unwrap().tools.is_empty(), "the definition in force");
    node.agents.remove(agent.name()).unwrap();
    assert_eq!(agent.card().unwrap_err().code(), Code::NotFound);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_says_which_prefixes_of_its_requests_come_again() {
    let node = Node::start().await;
    let model = ScriptedModel::new([Answer::text("one"), Answer::text("two"), Answer::text("three")]);
    let agent =
        node.agent(&model, |agent| agent.instructions("Be kind.").memory(FixedMemory::new("Her name is Ada."))).await;
    agent.ask("go").await.unwrap();
    let plain =
        Agent::builder("assistant").model(model.clone()).tool(shout("shout", Effect::Pure, &Witness::default()));
    node.agents.replace(plain.build(&node.agents).await.unwrap()).unwrap();
    agent.ask("go").await.unwrap();
    let requests = model.requests();
    let parts: Vec<&str> = requests[0].messages[0].parts.iter().filter_map(Part::as_text).collect();
    assert_eq!(parts, ["Be kind.", "\n\nHer name is Ada."], "what memory brings is a part of its own");
    assert_eq!(requests[0].cache, CacheHints { tools: false, system_parts: 1, conversation: true });
    assert_eq!(requests[1].cache, CacheHints { tools: true, system_parts: 0, conversation: true });
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn turns_models_and_tools_are_counted_by_outcome() {
    let usage = Usage { input_tokens: 10, output_tokens: 4, ..Usage::default() };
    let script = [
        Answer::call("shout", json!({"word": "x"})).and_call("shout", json!({"word": 7})).with_usage(usage),
        Answer::text("done").with_usage(usage),
        Answer::error(Error::new(Code::ContentFiltered, "withheld")),
        Answer::hang(),
        Answer::hang(),
    ];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let models = node.models().await;
    let supervised = models.spawn("main", Arc::new(model), ModelPolicy::default()).await.unwrap();
    let agent = Agent::builder("assistant").model(supervised);
    let agent = agent.tool(shout("shout", Effect::Pure, &Witness::default())).spawn(&node.agents).await.unwrap();
    agent.ask("go").await.unwrap();
    agent.ask("go").await.unwrap_err();
    agent.ask("go").within(Duration::from_secs(5)).await.unwrap_err();
    let stream = agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap();
    agent.session(session("s")).cancel().await.unwrap();
    collect(stream).await;
    let turns = node.agents.sessions().turns();
    assert_eq!((turns.done, turns.failed, turns.cancelled, turns.resumed), (1, 2, 1, 0));
    let tool = &node.agents.tools().totals()[0];
    assert_eq!((tool.name.as_str(), tool.succeeded, tool.failed), ("assistant.shout", 1, 1));
    let model = &models.totals()[0];
    assert_eq!((model.name.as_str(), model.provider.as_str()), ("main", "beluga.test"));
    assert_eq!((model.answered, model.input_tokens, model.output_tokens), (2, 20, 8));
    assert!(model.failed >= 1, "{model:?}");
    node.stop().await;
}

/// A node whose appends are counted, and an agent that calls a tool once.
async fn counted(tool: FunctionTool) -> (Node, Faults, beluga_actors::agent::AgentRef) {
    let (faults, stores) = (Faults::new(), stores());
    let journal = Arc::new(FaultyJournal::new(stores.journal, &faults));
    let node = Node::with(Stores { journal, ..stores }, Settings::default()).await;
    let model = ScriptedModel::new([Answer::call("shout", json!({"word": "hey"})), Answer::text("done")]);
    let agent = Agent::builder("assistant").model(model).tool(tool).spawn(&node.agents).await.unwrap();
    (node, faults, agent)
}

#[tokio::test(start_paused = true)]
async fn a_pure_tool_that_ends_at_once_is_recorded_with_the_answer_that_called_it() {
    // Start, answer and result, end; what has an effect is recorded before it runs.
    for (effect, appends) in [(Effect::Pure, 3), (Effect::Idempotent, 4), (Effect::Once, 4)] {
        let (node, faults, agent) = counted(shout("shout", effect, &Witness::default())).await;
        let events = collect(agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap()).await;
        assert_eq!(names(&events), ["usage", "tool_call", "tool_result", "text", "usage", "done"], "{effect:?}");
        assert_eq!(faults.calls(StoreCall::Append), appends, "{effect:?}");
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_pure_tool_that_takes_its_time_is_recorded_while_it_runs() {
    let gate = Gate::shut();
    let (node, faults, agent) = counted(wait("shout", Effect::Pure, &gate)).await;
    let mut events = agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap();
    gate.arrived(1).await;
    assert_eq!(faults.calls(StoreCall::Append), 1, "it runs before anything but the start is recorded");
    let seen = [events.next().await.unwrap().unwrap(), events.next().await.unwrap().unwrap()];
    assert_eq!(names(&seen), ["usage", "tool_call"], "readers see the call while it runs");
    assert_eq!(faults.calls(StoreCall::Append), 2);
    gate.open();
    assert_eq!(names(&collect(events).await), ["tool_result", "text", "usage", "done"]);
    assert_eq!(faults.calls(StoreCall::Append), 4);
    node.stop().await;
}
