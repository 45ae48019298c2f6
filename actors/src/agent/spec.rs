//! The definition of an agent.

use std::fmt;
use std::sync::Arc;

use beluga_core::{AgentName, ChatModel, GenerateOptions, Memory, SpendLimits, ToolDefinition};

use super::handoff::Handoff;
use super::hooks::AgentHooks;
use super::persona::Persona;
use super::planner::Planner;
use crate::context::ContextWindow;
use crate::tool::ToolRef;

/// How many rounds of model and tools a turn may take, unless the agent says otherwise.
pub const MAX_ITERATIONS_DEFAULT: u32 = 16;

/// How many tools of one answer run at a time, unless the agent says otherwise.
pub const PARALLEL_TOOLS_DEFAULT: usize = 8;

/// The definition of an agent, ready to run. Made by [`Agent::builder`](super::Agent::builder).
#[derive(Clone)]
pub struct AgentSpec {
    /// Its name.
    pub name: AgentName,
    /// What it is for, for people and for agents that may hand over to it.
    pub description: String,
    /// The model it thinks with.
    pub model: Arc<dyn ChatModel>,
    /// Who it is.
    pub persona: Persona,
    /// The stable head of its system prompt: persona, then instructions.
    pub preamble: String,
    /// The tools it may use.
    pub tools: Vec<ToolRef>,
    /// Whom it may hand over to.
    pub handoffs: Vec<Handoff>,
    /// Who observes its turns, in order.
    pub hooks: Vec<Arc<dyn AgentHooks>>,
    /// What it remembers.
    pub memory: Vec<Arc<dyn Memory>>,
    /// What decides its steps.
    pub planner: Arc<dyn Planner>,
    /// How its answers are made.
    pub options: GenerateOptions,
    /// The most rounds of a turn; one more ends it with `budget_exhausted`.
    pub max_iterations: u32,
    /// The most tools of one answer that run at a time; the others wait.
    pub parallel_tools: usize,
    /// What a turn that begins with it may spend, in place of the node's limits for runs; those where nothing is set.
    pub budget: SpendLimits,
    /// What of a conversation the model is shown; everything where there is no window.
    pub window: Option<ContextWindow>,
    pub(crate) definitions: Arc<[ToolDefinition]>,
}

impl AgentSpec {
    /// Returns a tool by name.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<&ToolRef> {
        self.tools.iter().find(|tool| tool.definition().name == name)
    }

    /// Returns the names of the tools, in the order they are offered.
    #[must_use]
    pub fn tool_names(&self) -> Vec<String> {
        self.definitions.iter().map(|tool| tool.name.clone()).collect()
    }
}

impl fmt::Debug for AgentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentSpec")
            .field("name", &self.name)
            .field("model", &self.model)
            .field("tools", &self.tool_names())
            .field("handoffs", &self.handoffs)
            .field("planner", &self.planner.name())
            .finish_non_exhaustive()
    }
}
