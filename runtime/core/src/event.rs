//! What everyone may see of a turn: one enum, numbered per session. Every face encodes these and no others.

use serde::{Deserialize, Serialize};

use crate::content::ToolOutcome;
use crate::error::Problem;
use crate::id::{AgentName, TurnId};
use crate::trace::TraceId;
use crate::usage::Usage;

/// One public event. The tag is the `event:` name on SSE and the `type` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// More of the answer.
    Text {
        /// The piece.
        text: String,
    },
    /// More visible thinking.
    Thinking {
        /// The piece.
        text: String,
    },
    /// A tool is about to run.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments as JSON text.
        arguments: String,
    },
    /// A tool answered.
    ToolResult {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The text told to the model.
        content: String,
        /// How it ended.
        outcome: ToolOutcome,
    },
    /// Another agent takes over.
    ///
    /// A `transfer` is one event, after its `tool_result`. A `return` is two, between its `tool_call` and `tool_result`:
    /// one from the agent that asks, and, once the other has answered or failed, one back to it with both names
    /// exchanged. What the other agent says meanwhile is in a session of its own.
    Handoff {
        /// Who hands over.
        from: AgentName,
        /// Who takes over.
        to: AgentName,
        /// Whether it comes back.
        mode: HandoffMode,
    },
    /// A human is asked to approve a tool call.
    Approval {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// The arguments as JSON text.
        arguments: String,
    },
    /// What the step cost.
    Usage {
        /// Tokens of this step.
        usage: Usage,
    },
    /// A step starts again; what was shown from a number on is void.
    Retry {
        /// Which try begins, from 2.
        attempt: u32,
        /// The first void number; absent if nothing was shown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        discard_from: Option<u64>,
    },
    /// The turn ended well.
    Done {
        /// The answer.
        result: String,
        /// Tokens of the turn.
        usage: Usage,
    },
    /// The turn ended badly.
    Error {
        /// Why.
        error: Problem,
    },
}

impl Event {
    /// Returns the stable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Event::Text { .. } => "text",
            Event::Thinking { .. } => "thinking",
            Event::ToolCall { .. } => "tool_call",
            Event::ToolResult { .. } => "tool_result",
            Event::Handoff { .. } => "handoff",
            Event::Approval { .. } => "approval",
            Event::Usage { .. } => "usage",
            Event::Retry { .. } => "retry",
            Event::Done { .. } => "done",
            Event::Error { .. } => "error",
        }
    }

    /// Returns whether the turn is over.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self, Event::Done { .. } | Event::Error { .. })
    }
}

/// Whether a handoff comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoffMode {
    /// The other agent answers as a tool would; the first goes on.
    Return,
    /// The other agent keeps the session.
    #[default]
    Transfer,
}

/// What joins an event with logs and spans, and how long it took to come. Tokens stand in `usage` and `done`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// The trace the turn belongs to, if it was asked in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// Milliseconds: of `usage`, how long the model took; of `tool_result`, how long the call took; of all others, how
    /// long after the turn began. Pieces of one stretch of text share the time to its first. Absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
}

impl Meta {
    /// Returns whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// An event with its number. Numbers rise within a session, are never reused and may have gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbered {
    /// The cursor: reading resumes after it.
    pub number: u64,
    /// The turn.
    pub turn: TurnId,
    /// The agent that speaks: the source of the event. A handoff names its target too.
    pub agent: AgentName,
    /// Calendar time, milliseconds since 1970 UTC. Pieces of one stretch of text share the time at which it began.
    pub at_ms: u64,
    /// What joins and measures it; the same whenever it is read.
    #[serde(default, skip_serializing_if = "Meta::is_empty")]
    pub meta: Meta,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_flat_json_with_its_type() {
        let event = Numbered {
            number: 7,
            turn: TurnId::parse("t1").unwrap(),
            agent: AgentName::parse("assistant").unwrap(),
            at_ms: 5,
            meta: Meta { trace_id: None, latency_ms: Some(3) },
            event: Event::Text { text: "hi".into() },
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"number": 7, "turn": "t1", "agent": "assistant", "at_ms": 5, "meta": {"latency_ms": 3},
                "type": "text", "text": "hi"})
        );
        assert_eq!(serde_json::from_value::<Numbered>(json).unwrap(), event);
    }
}
