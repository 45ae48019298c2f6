//! Building an agent.

use std::fmt;
use std::sync::Arc;

use beluga_core::{AgentName, ChatModel, Error, GenerateOptions, HandoffMode, Memory, Result, SpendLimits, Tool};

use super::handle::{AgentRef, Agents};
use super::handoff::Handoff;
use super::hooks::AgentHooks;
use super::persona::Persona;
use super::planner::{Planner, ReAct};
use super::spec::{AgentSpec, MAX_ITERATIONS_DEFAULT, PARALLEL_TOOLS_DEFAULT};
use crate::context::ContextWindow;
use crate::tool::{ToolRef, ToolSettings};

/// Where an agent begins: [`Agent::builder`].
#[derive(Debug, Clone, Copy)]
pub struct Agent;

impl Agent {
    /// Starts the definition of an agent. The name is `[A-Za-z0-9_-]{1,64}`.
    pub fn builder(name: impl Into<String>) -> AgentBuilder {
        AgentBuilder {
            name: name.into(),
            description: String::new(),
            model: None,
            persona: None,
            instructions: String::new(),
            tools: Vec::new(),
            handoffs: Vec::new(),
            hooks: Vec::new(),
            memory: Vec::new(),
            planner: Arc::new(ReAct),
            options: GenerateOptions::default(),
            max_iterations: MAX_ITERATIONS_DEFAULT,
            budget: SpendLimits::NONE,
            parallel_tools: PARALLEL_TOOLS_DEFAULT,
            window: None,
        }
    }
}

/// The definition of an agent in the making. Nothing runs before [`spawn`](Self::spawn).
#[must_use = "a builder does nothing until it is built or spawned"]
pub struct AgentBuilder {
    name: String,
    description: String,
    model: Option<Arc<dyn ChatModel>>,
    persona: Option<Persona>,
    instructions: String,
    tools: Vec<Offered>,
    handoffs: Vec<HandoffDraft>,
    hooks: Vec<Arc<dyn AgentHooks>>,
    memory: Vec<Arc<dyn Memory>>,
    planner: Arc<dyn Planner>,
    options: GenerateOptions,
    max_iterations: u32,
    budget: SpendLimits,
    parallel_tools: usize,
    window: Option<ContextWindow>,
}

enum Offered {
    Bare(Arc<dyn Tool>, Box<ToolSettings>),
    Actor(ToolRef),
}

enum HandoffDraft {
    Named(String, HandoffMode),
    Ready(Box<Handoff>),
}

impl AgentBuilder {
    /// Says what the agent is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets the model: a bare provider, a supervised `ModelRef` or a test double.
    pub fn model(mut self, model: impl ChatModel) -> Self {
        self.model = Some(Arc::new(model));
        self
    }

    /// Sets the instructions, the body of the system prompt.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.instructions = instructions.into();
        self
    }

    /// Sets who the agent is; stands before the instructions.
    pub fn persona(mut self, persona: Persona) -> Self {
        self.persona = Some(persona);
        self
    }

    /// Offers a tool. It becomes a supervised actor when the agent is spawned.
    pub fn tool(self, tool: impl Tool) -> Self {
        self.tool_with(tool, ToolSettings::default())
    }

    /// Offers a tool with its own limits, hooks and layers.
    pub fn tool_with(mut self, tool: impl Tool, settings: ToolSettings) -> Self {
        self.tools.push(Offered::Bare(Arc::new(tool), Box::new(settings)));
        self
    }

    /// Offers a tool that is an actor already, shared with other agents.
    pub fn shared_tool(mut self, tool: ToolRef) -> Self {
        self.tools.push(Offered::Actor(tool));
        self
    }

    /// Lets the model hand over to another agent.
    pub fn handoff(mut self, to: impl Into<String>, mode: HandoffMode) -> Self {
        self.handoffs.push(HandoffDraft::Named(to.into(), mode));
        self
    }

    /// Lets the model hand over, with a filter, a condition or a hook.
    pub fn handoff_with(mut self, handoff: Handoff) -> Self {
        self.handoffs.push(HandoffDraft::Ready(Box::new(handoff)));
        self
    }

    /// Adds hooks, called in the order they were added.
    pub fn hooks(mut self, hooks: impl AgentHooks) -> Self {
        self.hooks.push(Arc::new(hooks));
        self
    }

    /// Adds a tier of memory; tiers are loaded and saved in this order.
    pub fn memory(mut self, memory: impl Memory) -> Self {
        self.memory.push(Arc::new(memory));
        self
    }

    /// Replaces the planner; ReAct by default.
    pub fn planner(mut self, planner: impl Planner) -> Self {
        self.planner = Arc::new(planner);
        self
    }

    /// Replaces the planner by one from a registry.
    pub fn shared_planner(mut self, planner: Arc<dyn Planner>) -> Self {
        self.planner = planner;
        self
    }

    /// Sets how answers are made.
    pub fn options(mut self, options: GenerateOptions) -> Self {
        self.options = options;
        self
    }

    /// Bounds the rounds of a turn; at least 1.
    pub fn max_iterations(mut self, rounds: u32) -> Self {
        self.max_iterations = rounds.max(1);
        self
    }

    /// Bounds what a turn may spend, with all agents it asks; instead of the node's limits for runs. It takes effect where
    /// there are [`Budgets`](crate::budget::Budgets).
    pub fn budget(mut self, limits: SpendLimits) -> Self {
        self.budget = limits;
        self
    }

    /// Bounds how many tools of one answer run at a time; at least 1.
    pub fn parallel_tools(mut self, tools: usize) -> Self {
        self.parallel_tools = tools.max(1);
        self
    }

    /// Fits what the model is shown of a conversation to a budget of tokens; without a window it is shown everything. A
    /// turn whose question and newest round do not fit ends with `context_length`.
    pub fn context(mut self, window: ContextWindow) -> Self {
        self.window = Some(window);
        self
    }

    /// Spawns the agent.
    ///
    /// # Errors
    /// `invalid_input` for a malformed name or a missing model, `conflict` for a name or tool that is taken.
    pub async fn spawn(self, agents: &Agents) -> Result<AgentRef> {
        let spec = self.build(agents).await?;
        agents.spawn(spec).await
    }

    /// Builds the definition; bare tools become supervised actors of the node.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn), but for taken names.
    pub async fn build(self, agents: &Agents) -> Result<AgentSpec> {
        let name = AgentName::parse(&self.name)?;
        let Some(model) = self.model else {
            return Err(Error::invalid_input(format!("the agent \"{name}\" has no model")).with("field", "model"));
        };
        let mut tools: Vec<ToolRef> = Vec::with_capacity(self.tools.len());
        for offered in self.tools {
            let tool = match offered {
                Offered::Actor(tool) => tool,
                Offered::Bare(tool, settings) => agents.own_tool(&name, tool, *settings).await?,
            };
            if tools.iter().any(|other| other.definition().name == tool.definition().name) {
                return Err(Error::conflict(format!("the agent \"{name}\" has two tools of one name"))
                    .with("tool", &tool.definition().name));
            }
            tools.push(tool);
        }
        let mut handoffs = Vec::with_capacity(self.handoffs.len());
        for draft in self.handoffs {
            handoffs.push(match draft {
                HandoffDraft::Named(to, mode) => Handoff::new(AgentName::parse(to)?, mode),
                HandoffDraft::Ready(handoff) => *handoff,
            });
        }
        let persona = self.persona.unwrap_or_default();
        let who = persona.prompt();
        let preamble: Vec<&str> =
            [who.as_str(), self.instructions.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
        Ok(AgentSpec {
            preamble: preamble.join("\n\n"),
            definitions: tools.iter().map(|tool| tool.definition().clone()).collect(),
            name,
            description: self.description,
            persona,
            model,
            tools,
            handoffs,
            hooks: self.hooks,
            memory: self.memory,
            planner: self.planner,
            options: self.options,
            max_iterations: self.max_iterations,
            budget: self.budget,
            parallel_tools: self.parallel_tools,
            window: self.window,
        })
    }
}

impl fmt::Debug for AgentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}
