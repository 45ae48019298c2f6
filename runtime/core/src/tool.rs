//! The contract of a tool: typed arguments in, content out, and an honest word about its effect.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::BoxFuture;
use crate::content::Part;
use crate::context::CallContext;
use crate::error::Result;
use crate::id::{AgentName, SessionId, TurnId};
use crate::notes::ToolNotes;
use crate::state::{State, StateAccess, StateScope};

/// A tool a model may call.
///
/// The caller has validated `arguments` against the definition's schema. An `Err` is told to the model as a failed
/// call, and the turn goes on; a panic is a failed call too. The future is dropped on cancellation and on time-out.
pub trait Tool: fmt::Debug + Send + Sync + 'static {
    /// Returns what the model and the runtime know of the tool.
    fn definition(&self) -> &ToolDefinition;

    /// Returns the effect class of a call with these arguments; the definition's unless the tool knows better.
    fn effect(&self, arguments: &Value) -> Effect {
        let _ = arguments;
        self.definition().effect
    }

    /// Runs the call.
    ///
    /// # Errors
    /// `invalid_input` and `tool_failed` go back to the model with their message; `cancelled` ends the turn.
    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>>;
}

impl<T: Tool + ?Sized> Tool for Arc<T> {
    fn definition(&self) -> &ToolDefinition {
        (**self).definition()
    }

    fn effect(&self, arguments: &Value) -> Effect {
        (**self).effect(arguments)
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        (**self).call(arguments, cx)
    }
}

/// What a model and the runtime know of a tool.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToolDefinition {
    /// The name: `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// What it does and when to use it, for the model.
    pub description: String,
    /// The JSON Schema of the arguments, an object schema.
    pub input_schema: Value,
    /// What a repeated call does.
    #[serde(default)]
    pub effect: Effect,
    /// The most time one call may take; the runtime's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// What vendors are told besides: strictness, a cache mark, a tool that runs at the vendor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Box<ToolNotes>>,
}

/// What a repeated call does; decides what happens to a call that a crash interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// No effect: it is simply run again.
    Pure,
    /// The effect happens once per idempotency key: it is run again with the same key.
    Idempotent,
    /// The effect must not happen twice: an interrupted call is reported as unknown, never repeated.
    #[default]
    Once,
}

/// What a tool knows of the call it serves.
#[derive(Debug, Clone)]
pub struct ToolContext {
    /// Deadline, cancellation, tenant, principal, trace.
    pub call: CallContext,
    /// The same over every retry and resume of this call, and over nothing else: `session/turn/call`.
    pub idempotency_key: Arc<str>,
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// The agent that asked.
    pub agent: AgentName,
    /// What the tool may keep; see [`session_state`](Self::session_state).
    pub state: StateAccess,
}

impl ToolContext {
    /// Makes the context of a call that keeps nothing.
    #[must_use]
    pub fn new(
        call: CallContext,
        idempotency_key: impl Into<Arc<str>>,
        session: SessionId,
        turn: TurnId,
        agent: AgentName,
    ) -> Self {
        Self { call, idempotency_key: idempotency_key.into(), session, turn, agent, state: StateAccess::default() }
    }

    /// Gives access to a state store.
    #[must_use]
    pub fn with_state(mut self, state: StateAccess) -> Self {
        self.state = state;
        self
    }

    /// Returns the values of this session, which last as long as its journal. See [`State`] for what a crash does.
    ///
    /// ```
    /// use beluga_core::{Result, ToolContext};
    ///
    /// async fn remember_city(cx: &ToolContext, city: &str) -> Result<String> {
    ///     let before: Option<String> = cx.session_state().get("city").await?;
    ///     cx.session_state().set("city", city).await?;
    ///     Ok(before.unwrap_or_default())
    /// }
    /// ```
    #[must_use]
    pub fn session_state(&self) -> State {
        self.state.scoped(StateScope::Session(self.session.to_string()))
    }

    /// Returns the values of this agent, over all its sessions of the tenant.
    #[must_use]
    pub fn agent_state(&self) -> State {
        self.state.scoped(StateScope::Agent(self.agent.to_string()))
    }

    /// Returns the values of the whole tenant.
    #[must_use]
    pub fn global_state(&self) -> State {
        self.state.scoped(StateScope::Global)
    }
}

/// What a tool answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ToolOutput {
    /// The content, for the model.
    pub parts: Vec<Part>,
    /// Whether the model is told that the call failed.
    pub is_error: bool,
}

impl ToolOutput {
    /// Makes a text answer.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::text(text)], is_error: false }
    }

    /// Makes a failed answer with a text for the model.
    #[must_use]
    pub fn failed(text: impl Into<String>) -> Self {
        Self { parts: vec![Part::text(text)], is_error: true }
    }

    /// Makes an answer of any value: a string as it is, anything else as JSON.
    ///
    /// # Errors
    /// `internal` if the value cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self> {
        let value = serde_json::to_value(value)
            .map_err(|error| crate::Error::internal("the tool's answer is no JSON").with_source(error))?;
        Ok(Self::text(match value {
            Value::String(text) => text,
            other => other.to_string(),
        }))
    }
}
