//! Agents: who answers, with which model, tools, memory and colleagues.
//!
//! An agent's definition is an [`AgentSpec`], made by [`Agent::builder`]. Spawned, it is an actor that supervises its
//! sessions and takes handoffs; it holds no conversation. A new definition under the same name replaces the old one for
//! the next turn ([`Agents::replace`]).
//!
//! Limits: [`MAX_ITERATIONS_DEFAULT`] rounds a turn, [`PARALLEL_TOOLS_DEFAULT`] tools at a time, [`HANDOFFS_MAX`]
//! handoffs a turn.

mod actor;
mod builder;
mod card;
mod handle;
mod handoff;
mod hooks;
mod message;
mod output;
mod persona;
mod planner;
mod spec;
mod table;

pub use builder::{Agent, AgentBuilder};
pub use card::{Card, HandoffCard, ToolCard};
pub use handle::{AgentRef, Agents, Ask};
pub use handoff::{HANDOFFS_MAX, Handoff, HandoffNotice, TRANSFER_PREFIX};
pub use hooks::{AgentHooks, TurnNotice};
pub use output::{AskOutput, OUTPUT_RETRIES, OutputItem};
pub use persona::Persona;
pub use planner::{Action, ModelPort, Observation, Plan, Planner, PlannerRegistry, PlannerState, ReAct, planners};
pub use spec::{AgentSpec, MAX_ITERATIONS_DEFAULT, PARALLEL_TOOLS_DEFAULT};
pub(crate) use table::AgentTable;
