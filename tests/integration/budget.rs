//! The time of a turn whose caller set a deadline, shared out between memory, model and tools.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::Agent;
use beluga_actors::session::{Settings, TimeShares};
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{
    BoxFuture, BoxStream, CallContext, ChatModel, Code, Effect, Exchange, HandoffMode, Memory, MemoryOwner,
    MemoryQuery, ModelChunk, ModelInfo, ModelRequest, Recollection, Result, ToolContext,
};
use beluga_runtime::time;
use parking_lot::Mutex;
use serde_json::json;

use crate::kit::{Node, Witness, Word, hang, stores};

/// How much time each part had, in milliseconds, in the order they were asked.
#[derive(Debug, Clone, Default)]
struct Times(Arc<Mutex<Vec<(&'static str, u128)>>>);

impl Times {
    fn note(&self, part: &'static str, context: &CallContext) {
        let left = context.remaining(time::now()).map_or(u128::MAX, |left| left.as_millis());
        self.0.lock().push((part, left));
    }

    fn take(&self) -> Vec<(&'static str, u128)> {
        std::mem::take(&mut self.0.lock())
    }

    fn model(&self, part: &'static str, answers: impl IntoIterator<Item = Answer>) -> Timed {
        Timed { inner: ScriptedModel::new(answers), part, times: self.clone() }
    }

    /// A tool that takes two seconds.
    fn tool(&self) -> FunctionTool {
        let times = self.clone();
        let slow = move |_: Word, cx: ToolContext| {
            times.note("tool", &cx.call);
            async {
                time::sleep(Duration::from_secs(2)).await;
                Result::Ok("done")
            }
        };
        FunctionTool::new("slow", "Takes its time.", slow).with_effect(Effect::Pure)
    }
}

/// A model that notes how much time it has.
#[derive(Debug, Clone)]
struct Timed {
    inner: ScriptedModel,
    part: &'static str,
    times: Times,
}

impl ChatModel for Timed {
    fn info(&self) -> ModelInfo {
        self.inner.info()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        self.times.note(self.part, &cx);
        self.inner.stream(request, cx)
    }
}

/// Memory that never answers.
#[derive(Debug)]
struct Silence;

impl Memory for Silence {
    fn save(&self, _: Exchange) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::pending())
    }
    fn load(&self, _: MemoryQuery) -> BoxFuture<'static, Result<String>> {
        Box::pin(std::future::pending())
    }
    fn search(&self, _: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        Box::pin(std::future::pending())
    }
    fn clear(&self, _: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        Box::pin(std::future::pending())
    }
}

const DEADLINE: Duration = Duration::from_secs(100);

#[tokio::test(start_paused = true)]
async fn each_part_gets_its_share_of_what_remains() {
    let (node, times) = (Node::start().await, Times::default());
    let model =
        times.model("model", [Answer::call("slow", json!({})).after(Duration::from_secs(20)), Answer::text("well")]);
    let agent = Agent::builder("assistant").model(model).tool(times.tool()).spawn(&node.agents).await.unwrap();
    assert_eq!(agent.ask("go").within(DEADLINE).await.unwrap().result, "well");
    // 60 % of 100 s; 30 % of 40 % of the 80 s the model left; 60 % of the 78 s the tool left.
    assert_eq!(times.take(), [("model", 60_000), ("tool", 9_600), ("model", 46_800)]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_turn_without_a_deadline_shares_nothing_out() {
    let (node, times) = (Node::start().await, Times::default());
    let model = times.model(
        "model",
        [Answer::call("slow", json!({})), Answer::call("transfer_to_clerk", json!({})), Answer::text("well")],
    );
    let clerk = times.model("clerk", [Answer::text("here")]);
    Agent::builder("clerk").model(clerk).spawn(&node.agents).await.unwrap();
    let agent = Agent::builder("assistant").model(model).tool(times.tool()).handoff("clerk", HandoffMode::Return);
    agent.spawn(&node.agents).await.unwrap().ask("go").await.unwrap();
    let expected = [("model", 600_000), ("tool", 65_000), ("model", 598_000), ("clerk", 598_000), ("model", 598_000)];
    assert_eq!(times.take(), expected, "the turn's limit, and the tool's own with a moment to say so");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_hangs_ends_the_turn_at_its_share_and_says_so() {
    let (node, times) = (Node::start().await, Times::default());
    let agent = Agent::builder("assistant").model(times.model("model", [Answer::text("half").then_hang()]));
    let agent = agent.spawn(&node.agents).await.unwrap();
    let before = time::now();
    let error = agent.ask("go").within(DEADLINE).await.unwrap_err();
    assert_eq!((error.code(), time::now() - before), (Code::Timeout, Duration::from_secs(60)));
    assert!(error.message().contains("its share"), "{error}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tools_and_memory_that_hang_leave_time_for_an_answer() {
    let (node, times) = (Node::start().await, Times::default());
    let model = times.model("model", [Answer::call("hang", json!({})), Answer::text("well")]);
    let agent = Agent::builder("assistant").model(model.clone()).memory(Silence);
    let agent = agent.tool(hang("hang", Effect::Pure, &Witness::default())).spawn(&node.agents).await.unwrap();
    assert_eq!(agent.ask("go").within(DEADLINE).await.unwrap().result, "well");
    // Memory takes 28 s of the 100, the tool 8.64 s of the 72 left.
    assert_eq!(times.take(), [("model", 43_200), ("model", 38_016)]);
    let told = model.inner.requests()[1].messages.last().unwrap().results().next().unwrap().text();
    assert!(told.starts_with("timeout"), "{told}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_answers_a_handoff_shares_out_its_share() {
    let (node, times) = (Node::start().await, Times::default());
    let front = times.model("front", [Answer::call("transfer_to_clerk", json!({})), Answer::text("well")]);
    let clerk = times.model("clerk", [Answer::text("here")]);
    Agent::builder("clerk").model(clerk).spawn(&node.agents).await.unwrap();
    let agent = Agent::builder("assistant").model(front).handoff("clerk", HandoffMode::Return);
    agent.spawn(&node.agents).await.unwrap().ask("go").within(DEADLINE).await.unwrap();
    assert_eq!(times.take(), [("front", 60_000), ("clerk", 36_000), ("front", 60_000)]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_shares_can_be_changed_and_switched_off() {
    for (time_shares, expected) in
        [(Some(TimeShares { model: 0.5, tools: 0.5 }), [50_000, 25_000, 49_000]), (None, [100_000, 65_000, 98_000])]
    {
        let times = Times::default();
        let node = Node::with(stores(), Settings { time_shares, ..Settings::default() }).await;
        let model = times.model("model", [Answer::call("slow", json!({})), Answer::text("well")]);
        let agent = Agent::builder("assistant").model(model).tool(times.tool()).spawn(&node.agents).await.unwrap();
        agent.ask("go").within(DEADLINE).await.unwrap();
        assert_eq!(times.take().iter().map(|(_, left)| *left).collect::<Vec<_>>(), expected);
        node.stop().await;
    }
}
