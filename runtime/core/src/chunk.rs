//! The items an answer comes in.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::answer::ModelAnswer;
use crate::content::{Part, Thinking, ToolCall};
use crate::item::Content;
use crate::notes::{AnswerNotes, PartNotes};
use crate::usage::Usage;

/// One item of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelChunk {
    /// The vendor accepted the call.
    Started {
        /// The vendor's id of the answer.
        id: Option<String>,
        /// The model that answers, which may differ from the one asked for.
        model: Option<String>,
    },
    /// More text.
    Text {
        /// The piece.
        text: String,
    },
    /// More visible thinking.
    ThinkingDelta {
        /// The piece.
        text: String,
    },
    /// A whole thinking block, after its deltas; what goes into the history.
    Thinking(Thinking),
    /// A tool call takes shape. For progress displays only; the whole call follows.
    ToolCallDelta {
        /// The place of the call in this answer, from 0.
        index: u32,
        /// The tool's name, once known.
        name: Option<String>,
        /// More argument text.
        arguments: String,
    },
    /// A whole tool call.
    ToolCall(ToolCall),
    /// More of the model's refusal to answer.
    Refusal {
        /// The piece.
        text: String,
    },
    /// What the vendor notes on the text or refusal that has just ended; what follows is another part. Empty notes only
    /// hold two texts apart.
    PartNotes(Box<PartNotes>),
    /// A whole part that has no deltas, such as a picture or a call of a tool that runs at the vendor.
    Whole {
        /// The part.
        part: Part,
    },
    /// A whole other answer to the same request, where several were asked for.
    Alternative {
        /// The answer.
        answer: Box<ModelAnswer>,
    },
    /// Tokens so far; the last one counts.
    Usage(Usage),
    /// What the vendor tells of the whole answer; once, before the end.
    AnswerNotes(Box<AnswerNotes>),
    /// The end.
    Finished {
        /// Why it ended.
        reason: FinishReason,
        /// The vendor's raw usage object, kept as it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raw_usage: Option<Value>,
    },
}

impl ModelChunk {
    /// Returns whether the reader has now seen a part of the answer.
    fn shows(&self) -> bool {
        matches!(
            self,
            ModelChunk::Text { .. }
                | ModelChunk::Refusal { .. }
                | ModelChunk::Whole { .. }
                | ModelChunk::ThinkingDelta { .. }
                | ModelChunk::Thinking(_)
                | ModelChunk::ToolCallDelta { .. }
                | ModelChunk::ToolCall(_)
        )
    }
}

impl Content for ModelChunk {
    fn is_content(&self) -> bool {
        self.shows()
    }

    fn weight(&self) -> Option<u64> {
        match self {
            ModelChunk::Usage(usage) => Some(usage.total_tokens()),
            _ => None,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or met a stop text.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The model wants tools.
    ToolCalls,
    /// The vendor's filter cut it.
    ContentFilter,
    /// A reason this version does not know, as the vendor wrote it.
    Other(String),
}
