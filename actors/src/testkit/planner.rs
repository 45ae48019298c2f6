//! A planner made of a closure.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, ChatMessage, FinishReason, ModelAnswer, Part, Result, ToolCall, Usage};

use crate::agent::{Action, ModelPort, Plan, Planner, PlannerState};

type Decide = dyn Fn(&PlannerState) -> Result<Vec<Action>> + Send + Sync;

/// A planner that asks no model: a closure decides each step from the state. Clones share the closure.
///
/// ```
/// use beluga_actors::agent::{Action, Planner};
/// use beluga_actors::testkit::FunctionPlanner;
///
/// let planner = FunctionPlanner::new(|state| Ok(vec![Action::Finish(format!("heard {}", state.input.text()))]));
/// assert_eq!(planner.name(), "function");
/// ```
#[derive(Clone)]
pub struct FunctionPlanner(Arc<Decide>);

impl FunctionPlanner {
    /// Makes a planner; the closure is called for each step of a turn.
    #[must_use]
    pub fn new(decide: impl Fn(&PlannerState) -> Result<Vec<Action>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }
}

impl Planner for FunctionPlanner {
    fn name(&self) -> &'static str {
        "function"
    }

    fn plan<'a>(&'a self, state: &'a PlannerState, _model: &'a dyn ModelPort) -> BoxFuture<'a, Result<Plan>> {
        let decided = (self.0)(state);
        Box::pin(async move {
            let actions = decided?;
            let parts = actions.iter().map(|action| match action {
                Action::Tool(call) => Part::ToolCall(ToolCall::clone(call)),
                Action::Finish(text) => Part::text(text.as_str()),
            });
            let message = ChatMessage::new(beluga_core::Role::Assistant, parts.collect());
            let (finish, usage) = (FinishReason::Stop, Usage::default());
            Ok(Plan { answer: ModelAnswer { message, finish, usage, ..ModelAnswer::text("") }, actions })
        })
    }
}

impl fmt::Debug for FunctionPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FunctionPlanner").finish_non_exhaustive()
    }
}
