//! A handoff: another agent the model may give the conversation to, offered as the tool `transfer_to_<agent>`.

use std::fmt;
use std::sync::Arc;

use beluga_core::{AgentName, CallContext, ChatMessage, Effect, HandoffMode, ToolDefinition};
use serde_json::json;

/// The prefix of the tool's name.
pub const TRANSFER_PREFIX: &str = "transfer_to_";

/// The most handoffs one turn may make; one more ends it with `overloaded`.
pub const HANDOFFS_MAX: u32 = 8;

type Filter = dyn Fn(&[Arc<ChatMessage>]) -> Vec<Arc<ChatMessage>> + Send + Sync;
type Enabled = dyn Fn(&CallContext) -> bool + Send + Sync;
type Notify = dyn Fn(&HandoffNotice) + Send + Sync;

/// Another agent the model may hand the conversation to.
#[derive(Clone)]
pub struct Handoff {
    /// Who takes over.
    pub to: AgentName,
    /// Whether it comes back.
    pub mode: HandoffMode,
    /// When to hand over, for the model.
    pub description: String,
    filter: Option<Arc<Filter>>,
    enabled: Option<Arc<Enabled>>,
    notify: Option<Arc<Notify>>,
}

/// What is told when a handoff happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandoffNotice {
    /// Who handed over.
    pub from: AgentName,
    /// Who takes over.
    pub to: AgentName,
    /// Whether it comes back.
    pub mode: HandoffMode,
    /// How many handoffs the turn has made, this one included.
    pub hops: u32,
}

impl Handoff {
    /// Makes a handoff that always is offered and passes the whole transcript.
    #[must_use]
    pub fn new(to: AgentName, mode: HandoffMode) -> Self {
        let description = match mode {
            HandoffMode::Transfer => format!("Hand the conversation over to the agent \"{to}\"."),
            HandoffMode::Return => format!("Ask the agent \"{to}\" and go on with its answer."),
        };
        Self { to, mode, description, filter: None, enabled: None, notify: None }
    }

    /// Replaces the description the model sees.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Filters the transcript the other agent sees. A tool call and its result must stay together.
    #[must_use]
    pub fn filter(
        mut self,
        filter: impl Fn(&[Arc<ChatMessage>]) -> Vec<Arc<ChatMessage>> + Send + Sync + 'static,
    ) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Offers it only where `enabled` says so; it is hidden from the model otherwise.
    #[must_use]
    pub fn enabled(mut self, enabled: impl Fn(&CallContext) -> bool + Send + Sync + 'static) -> Self {
        self.enabled = Some(Arc::new(enabled));
        self
    }

    /// Calls `notify` when it happens.
    #[must_use]
    pub fn on_handoff(mut self, notify: impl Fn(&HandoffNotice) + Send + Sync + 'static) -> Self {
        self.notify = Some(Arc::new(notify));
        self
    }

    /// Returns the name of the tool.
    #[must_use]
    pub fn tool_name(&self) -> String {
        format!("{TRANSFER_PREFIX}{}", self.to)
    }

    /// Returns whether it is offered to this call.
    #[must_use]
    pub fn is_enabled(&self, cx: &CallContext) -> bool {
        self.enabled.as_ref().is_none_or(|enabled| enabled(cx))
    }

    pub(crate) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    pub(crate) fn filtered(&self, transcript: &[Arc<ChatMessage>]) -> Vec<Arc<ChatMessage>> {
        self.filter.as_ref().map_or_else(|| transcript.to_vec(), |filter| filter(transcript))
    }

    pub(crate) fn notify(&self, notice: &HandoffNotice) {
        if let Some(notify) = &self.notify {
            notify(notice);
        }
    }

    pub(crate) fn definition(&self) -> ToolDefinition {
        ToolDefinition {
            name: self.tool_name(),
            description: self.description.clone(),
            input_schema: json!({
                "type": "object",
                "properties": {"reason": {"type": "string", "description": "Why, in one sentence."}},
                "additionalProperties": false,
            }),
            effect: Effect::Idempotent,
            timeout: None,
            notes: None,
        }
    }
}

impl fmt::Debug for Handoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handoff").field("to", &self.to).field("mode", &self.mode).finish_non_exhaustive()
    }
}
