//! An application's own middleware and hooks: who sees a call first, and who may answer for a failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beluga_actors::agent::{Agent, AgentHooks, TurnNotice};
use beluga_actors::model::{HookedModel, LayeredModel, ModelHooks, ModelLayer, ModelPolicy};
use beluga_actors::session::{Invoke, Settings};
use beluga_actors::testkit::{Answer, CountingTool, FunctionModel, ScriptedModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_actors::tool::{ToolHooks, ToolLayer, ToolSettings};
use beluga_core::{
    BoxFuture, ChatModel, Code, Effect, Error, Event, ModelAnswer, ModelChunk, ModelRequest, Result, TenantId, Tool,
    ToolContext, ToolDefinition, ToolOutput,
};
use beluga_runtime::service::service_fn;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::kit::{Node, Notes, Witness, Word, collect, hang, names, session, shout, stores, text};

impl Notes {
    /// A layer that notes when a call enters it and when its stream ends.
    fn model_layer(&self, name: &'static str) -> ModelLayer {
        let notes = self.clone();
        ModelLayer::new(move |inner| {
            let notes = notes.clone();
            service_fn(move |request: Arc<ModelRequest>, cx| {
                notes.add(format!("> {name}"));
                let notes = notes.clone();
                inner
                    .call(request, cx)
                    .inspect(move |item| {
                        if matches!(item, Ok(ModelChunk::Finished { .. }) | Err(_)) {
                            notes.add(format!("< {name}"));
                        }
                    })
                    .boxed()
            })
        })
    }

    fn tool_layer(&self, name: &'static str) -> ToolLayer {
        let notes = self.clone();
        ToolLayer::new(move |inner| Arc::new(NotedTool { inner, name, notes: notes.clone() }))
    }
}

/// Hooks that note their calls, and what they do about an error.
#[derive(Debug, Clone)]
struct Hooks {
    name: &'static str,
    notes: Notes,
    instead: fn(Error) -> Result<&'static str>,
}

impl Hooks {
    fn new(name: &'static str, notes: &Notes, instead: fn(Error) -> Result<&'static str>) -> Self {
        Self { name, notes: notes.clone(), instead }
    }

    fn judge(&self, error: Error) -> Result<&'static str> {
        self.notes.add(format!("error {} {}", self.name, error.code()));
        (self.instead)(error)
    }
}

impl ModelHooks for Hooks {
    fn before_generate(&self, _request: &mut ModelRequest) -> Result<()> {
        self.notes.add(format!("before {}", self.name));
        Ok(())
    }

    fn after_generate(&self, answer: &ModelAnswer) {
        self.notes.add(format!("after {} {}", self.name, answer.message.text()));
    }

    fn on_error(&self, error: Error) -> Result<ModelAnswer> {
        self.judge(error).map(ModelAnswer::text)
    }
}

impl ToolHooks for Hooks {
    fn before_execute(&self, _tool: &str, _arguments: &mut Value, _context: &ToolContext) -> Result<()> {
        self.notes.add(format!("before {}", self.name));
        Ok(())
    }

    fn on_error(&self, _tool: &str, error: Error, _context: &ToolContext) -> Result<ToolOutput> {
        self.judge(error).map(ToolOutput::text)
    }
}

impl AgentHooks for Hooks {
    fn on_start(&self, turn: &TurnNotice, input: &str) -> Result<()> {
        self.notes.add(format!("start {} {}/{}", self.name, turn.session, turn.turn));
        if input == "forbidden" { Err(Error::new(Code::PermissionDenied, "not this")) } else { Ok(()) }
    }

    fn on_end(&self, _turn: &TurnNotice, answer: &str) {
        self.notes.add(format!("end {} {answer}", self.name));
    }

    fn on_error(&self, _turn: &TurnNotice, error: Error) -> Result<String> {
        self.judge(error).map(str::to_owned)
    }
}

#[derive(Debug)]
struct NotedTool {
    inner: Arc<dyn Tool>,
    name: &'static str,
    notes: Notes,
}

impl Tool for NotedTool {
    fn definition(&self) -> &ToolDefinition {
        self.inner.definition()
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        self.notes.add(format!("> {}", self.name));
        let (answer, notes, name) = (self.inner.call(arguments, cx), self.notes.clone(), self.name);
        Box::pin(async move {
            let answer = answer.await;
            notes.add(format!("< {name}"));
            answer
        })
    }
}

fn down() -> Answer {
    Answer::error(Error::provider_unavailable("down"))
}

#[tokio::test(start_paused = true)]
async fn a_models_layers_go_outermost_first_round_its_hooks_and_its_tries() {
    let (node, notes) = (Node::start().await, Notes::default());
    let model = ScriptedModel::new([down(), Answer::text("well")]);
    let policy = ModelPolicy::default()
        .with_layer(notes.model_layer("outer"))
        .with_layer(notes.model_layer("inner"))
        .with_hooks(Hooks::new("one", &notes, Err))
        .with_hooks(Hooks::new("two", &notes, Err));
    let supervised = node.models().await.spawn("main", Arc::new(model.clone()), policy).await.unwrap();
    let answer = supervised.generate(Arc::new(ModelRequest::default()), Default::default()).await.unwrap();
    assert_eq!(answer.message.text(), "well");
    let expected =
        ["> outer", "> inner", "before one", "before two", "after one well", "after two well", "< inner", "< outer"];
    assert_eq!((notes.take(), model.requests().len()), (expected.map(str::to_owned).to_vec(), 2), "once for two tries");
    assert!(beluga_runtime::testkit::kill(&node.system, "providers/main"));
    model.push(Answer::text("again"));
    supervised.generate(Arc::new(ModelRequest::default()), Default::default()).await.unwrap();
    assert_eq!(notes.take()[..2], ["> outer", "> inner"], "the next incarnation has them too");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_layer_may_answer_without_the_model_and_goes_round_any_model() {
    let (node, notes) = (Node::start().await, Notes::default());
    let model = FunctionModel::new(|_| Answer::text("asked"));
    let cache = ModelLayer::new(|_inner| {
        service_fn(|_request: Arc<ModelRequest>, _cx| {
            futures_util::stream::iter(ModelAnswer::text("from the cache").into_chunks().map(Ok)).boxed()
        })
    });
    let layers = [notes.model_layer("outer"), cache, notes.model_layer("never")];
    let agent = Agent::builder("assistant").model(LayeredModel::new(model.clone(), &layers));
    let agent = agent.spawn(&node.agents).await.unwrap();
    assert_eq!(agent.ask("go").await.unwrap().result, "from the cache");
    assert_eq!((notes.take(), model.calls()), (vec!["> outer".to_owned(), "< outer".to_owned()], 0));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_models_error_hook_replaces_an_error_for_the_next_one_which_swallows_it() {
    let (node, notes) = (Node::start().await, Notes::default());
    let hooks: Vec<Arc<dyn ModelHooks>> = vec![
        Arc::new(Hooks::new("one", &notes, |_| Err(Error::unsupported("replaced")))),
        Arc::new(Hooks::new("two", &notes, |_| Ok("ask again later"))),
        Arc::new(Hooks::new("three", &notes, Err)),
    ];
    let model = ScriptedModel::new([down(), Answer::text("half, ").then_error(Error::provider_unavailable("reset"))]);
    let agent = Agent::builder("assistant").model(HookedModel::new(model, hooks)).spawn(&node.agents).await.unwrap();
    assert_eq!(agent.ask("go").await.unwrap().result, "ask again later");
    let ends = ["after one ask again later", "after two ask again later", "after three ask again later"];
    let expected = [
        &["before one", "before two", "before three"],
        &["error one provider_unavailable", "error two unsupported"][..],
        &ends,
    ];
    assert_eq!(notes.take(), expected.concat(), "the third never sees an error that is gone");
    let events = collect(agent.stream(Invoke::text("go")).await.unwrap()).await;
    assert_eq!((text(&events).as_str(), names(&events).last()), ("half, ask again later", Some(&"done")));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tools_layers_go_outermost_first_round_its_hooks() {
    let (node, notes) = (Node::start().await, Notes::default());
    let witness = Witness::default();
    let settings = ToolSettings {
        layers: vec![notes.tool_layer("outer"), notes.tool_layer("inner")],
        hooks: vec![Arc::new(Hooks::new("one", &notes, Err)), Arc::new(Hooks::new("two", &notes, Err))],
        ..ToolSettings::default()
    };
    let tool = CountingTool::new(shout("shout", Effect::Pure, &witness));
    let script =
        [Answer::call("shout", json!({"word": "x"})), Answer::call("shout", json!({"word": 7})), Answer::text("end")];
    let model = ScriptedModel::new(script);
    let agent = node.agent(&model, |agent| agent.tool_with(tool.clone(), settings)).await;
    agent.ask("go").await.unwrap();
    let good = ["> outer", "> inner", "before one", "before two", "< inner", "< outer"];
    let bad = ["> outer", "> inner", "error one invalid_input", "error two invalid_input", "< inner", "< outer"];
    assert_eq!((notes.take(), tool.count()), ([good, bad].concat().iter().map(|&note| note.to_owned()).collect(), 1));
    node.stop().await;
}

/// Calls what it wraps up to three times.
#[derive(Debug)]
struct ThreeTimes(Arc<dyn Tool>);

impl Tool for ThreeTimes {
    fn definition(&self) -> &ToolDefinition {
        self.0.definition()
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let mut tries = 1;
            loop {
                match inner.call(arguments.clone(), cx.clone()).await {
                    Err(error) if tries < 3 && error.code() == Code::ToolFailed => tries += 1,
                    outcome => return outcome,
                }
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_tools_layer_may_try_again_and_its_time_limit_covers_all_tries() {
    let node = Node::start().await;
    let tries = Arc::new(AtomicUsize::new(0));
    let moody = {
        let tries = Arc::clone(&tries);
        FunctionTool::new("moody", "Works the third time.", move |_: Word, _cx: ToolContext| {
            let failed = tries.fetch_add(1, Ordering::SeqCst) < 2;
            async move { if failed { Err(Error::tool_failed("not yet")) } else { Ok("well") } }
        })
    };
    let retry = || vec![ToolLayer::new(|inner| Arc::new(ThreeTimes(inner)))];
    let settings = ToolSettings { layers: retry(), ..ToolSettings::default() };
    let slow = ToolSettings { timeout: Duration::from_secs(2), ..settings.clone() };
    let script = [Answer::call("moody", json!({})).and_call("hang", json!({})), Answer::text("end")];
    let model = ScriptedModel::new(script);
    let hang = hang("hang", Effect::Pure, &Witness::default());
    let agent = node.agent(&model, |agent| agent.tool_with(moody, settings).tool_with(hang, slow)).await;
    agent.ask("go").await.unwrap();
    let told: Vec<String> =
        model.requests()[1].messages.last().unwrap().results().map(|result| result.text()).collect();
    assert_eq!(told, ["well", "timeout: the tool took longer than 2000 ms"]);
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agents_error_hook_answers_for_a_turn_that_failed() {
    let (node, notes) = (Node::start().await, Notes::default());
    let model = ScriptedModel::new([
        Answer::call("shout", json!({"word": "x"})),
        Answer::text("half").then_error(Error::provider_unavailable("reset")),
        Answer::text("well"),
    ]);
    let one = Hooks::new("one", &notes, |error| Err(error.with("seen", "one")));
    let two = Hooks::new(
        "two",
        &notes,
        |error| if error.get("seen").is_some() { Ok("Ask again later.") } else { Err(error) },
    );
    let tool = shout("shout", Effect::Pure, &Witness::default());
    let agent = node.agent(&model, |agent| agent.tool(tool).hooks(one).hooks(two)).await;
    let invoke = || Invoke::text("go").with_session(session("s"));
    let events = collect(agent.stream(invoke()).await.unwrap()).await;
    let expected = ["usage", "tool_call", "tool_result", "text", "text", "usage", "done"];
    assert_eq!(names(&events), expected);
    assert_eq!(text(&events), "half\n\nAsk again later.");
    assert!(matches!(&events[6].event, Event::Done { result, .. } if *result == text(&events)));
    let noted = [
        "start one s/t1",
        "start two s/t1",
        "error one provider_unavailable",
        "error two provider_unavailable",
        "end one half\n\nAsk again later.",
        "end two half\n\nAsk again later.",
    ];
    assert_eq!(notes.take(), noted);
    let again = node.agents.sessions().events(&TenantId::default(), &session("s"), None, false).await.unwrap();
    assert_eq!(text(&collect(again).await), text(&events), "the journal tells the same");
    assert_eq!(agent.invoke(invoke()).await.unwrap().result, "well");
    let before = &model.requests()[2].messages;
    assert_eq!(before[before.len() - 2].text(), text(&events), "the model knows what was answered for it");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agents_hooks_refuse_a_turn_and_leave_a_cancelled_one_alone() {
    let (node, notes) = (Node::start().await, Notes::default());
    let model = ScriptedModel::new([Answer::hang()]);
    let hooks = Hooks::new("one", &notes, |_| Err(Error::unsupported("replaced")));
    let agent = node.agent(&model, |agent| agent.hooks(hooks)).await;
    assert_eq!(agent.ask("forbidden").await.unwrap_err().code(), Code::Unsupported);
    assert_eq!(
        (notes.take()[1..].to_vec(), model.requests().len()),
        (vec!["error one permission_denied".to_owned()], 0)
    );
    let stream = agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.agents.sessions().cancel(&TenantId::default(), &session("s")).await.unwrap();
    let events = collect(stream).await;
    assert!(matches!(&events.last().unwrap().event, Event::Error { error } if error.code == Code::Cancelled));
    assert_eq!(notes.take(), ["start one s/t1"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_instead_of_an_error_leaves_no_call_without_a_result() {
    // The tool may take all the time there is.
    let settings = Settings { time_shares: None, ..Settings::default() };
    let (node, notes) = (Node::with(stores(), settings).await, Notes::default());
    let witness = Witness::default();
    let model = ScriptedModel::new([Answer::call("hang", json!({})), Answer::text("well")]);
    let hooks = Hooks::new("one", &notes, |_| Ok("Too slow."));
    let hang = hang("hang", Effect::Once, &witness);
    let agent = node.agent(&model, |agent| agent.tool(hang).hooks(hooks)).await;
    let reply = agent.ask("go").session(session("s")).within(Duration::from_secs(5)).await.unwrap();
    assert_eq!(reply.result, "Too slow.");
    agent.ask("go").session(session("s")).await.unwrap();
    let seen = &model.requests()[1].messages;
    let roles: Vec<String> = seen.iter().map(|message| message.role.to_string()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant", "user"]);
    node.stop().await;
}
