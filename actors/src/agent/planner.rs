//! What decides the next step of a turn. A planner runs inside the turn: it is no actor.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    BoxFuture, CacheHints, CallContext, ChatMessage, Error, GenerateOptions, ModelAnswer, ModelRequest, Registry,
    Result, ToolCall, ToolDefinition, ToolResult,
};

/// Decides the next step of a turn, from its state.
///
/// `plan` is called first, `replan` after each round of observations. Whatever a planner asks the model goes through
/// [`ModelPort`], which shows the answer as it comes.
pub trait Planner: fmt::Debug + Send + Sync + 'static {
    /// Returns the name, as configurations and spans know it.
    fn name(&self) -> &'static str;

    /// Decides the first step.
    ///
    /// # Errors
    /// Ends the turn with this error.
    fn plan<'a>(&'a self, state: &'a PlannerState, model: &'a dyn ModelPort) -> BoxFuture<'a, Result<Plan>>;

    /// Decides the next step after tools have run; the same as the first unless the planner knows better.
    ///
    /// # Errors
    /// Ends the turn with this error.
    fn replan<'a>(&'a self, state: &'a PlannerState, model: &'a dyn ModelPort) -> BoxFuture<'a, Result<Plan>> {
        self.plan(state, model)
    }
}

/// How a planner reaches the model.
pub trait ModelPort: Send + Sync {
    /// Asks the agent's model and shows the answer as it comes.
    fn generate(&self, request: ModelRequest) -> BoxFuture<'_, Result<ModelAnswer>>;
}

/// What a planner sees.
#[derive(Debug, Clone)]
pub struct PlannerState {
    /// What was asked in this turn.
    pub input: Arc<ChatMessage>,
    /// The system prompt, if there is any.
    pub system: Option<Arc<ChatMessage>>,
    /// The conversation, this turn included, oldest first: the whole, or what the agent's context window leaves of it.
    pub messages: Arc<Vec<Arc<ChatMessage>>>,
    /// The tools on offer, handoffs included.
    pub tools: Arc<[ToolDefinition]>,
    /// What the tools of the last round answered.
    pub observations: Arc<[Observation]>,
    /// Which round it is, from 0.
    pub iteration: u32,
    /// How answers are to be made.
    pub options: GenerateOptions,
    /// The application's labels.
    pub metadata: BTreeMap<String, String>,
    /// The call.
    pub context: CallContext,
}

impl PlannerState {
    /// Makes the request that shows the model everything: the system prompt, the conversation, the tools. It says what
    /// will come again, so that vendors may cache it.
    #[must_use]
    pub fn request(&self) -> ModelRequest {
        ModelRequest {
            messages: self.system.iter().chain(self.messages.iter()).cloned().collect(),
            tools: Arc::clone(&self.tools),
            options: self.options.clone(),
            cache: CacheHints {
                tools: !self.tools.is_empty(),
                // The last of several parts is what memory brought to this turn.
                system_parts: self.system.as_ref().map_or(0, |system| system.parts.len().saturating_sub(1).max(1)),
                conversation: true,
            },
        }
    }
}

/// What a tool answered, and how long it took.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The result.
    pub result: ToolResult,
    /// The time from call to result.
    pub latency: Duration,
}

/// One decided step.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The model's answer behind it, for the history.
    pub answer: ModelAnswer,
    /// What to do, in order; tools of one plan run in parallel.
    pub actions: Vec<Action>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Run a tool. A call of a handoff's tool is a handoff.
    Tool(ToolCall),
    /// End the turn with this answer.
    Finish(String),
}

/// The planners by name.
pub type PlannerRegistry = Registry<Arc<dyn Planner>>;

/// Returns a registry with the built-in planners.
///
/// # Errors
/// None in practice; the names are distinct.
pub fn planners() -> Result<PlannerRegistry> {
    let mut registry = Registry::new("planner");
    registry.add(ReAct.name(), Arc::new(ReAct) as Arc<dyn Planner>)?;
    Ok(registry)
}

/// Reason and act: ask the model, run the tools it wants, ask again, until it wants none.
///
/// After Yao et al. 2022 (arXiv 2210.03629), in its tool-calling form. Each round sends the history exactly once.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReAct;

impl Planner for ReAct {
    fn name(&self) -> &'static str {
        "react"
    }

    fn plan<'a>(&'a self, state: &'a PlannerState, model: &'a dyn ModelPort) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            let answer = model.generate(state.request()).await?;
            let calls: Vec<Action> = answer.message.tool_calls().cloned().map(Action::Tool).collect();
            let actions = if calls.is_empty() { vec![finish(&answer)?] } else { calls };
            Ok(Plan { answer, actions })
        })
    }
}

/// An answer without tools ends the turn, unless the vendor cut it away entirely.
fn finish(answer: &ModelAnswer) -> Result<Action> {
    let text = answer.message.text();
    if text.is_empty() && answer.finish == beluga_core::FinishReason::ContentFilter {
        return Err(Error::new(beluga_core::Code::ContentFiltered, "the vendor's filter withheld the answer"));
    }
    Ok(Action::Finish(text))
}
