//! The content of a conversation: messages made of parts, in one normal form for every vendor.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::notes::{MessageNotes, PartNotes};
use crate::usage::Usage;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The application's instructions.
    System,
    /// The human, or whoever asks.
    User,
    /// The model.
    Assistant,
    /// The results of tool calls.
    Tool,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        })
    }
}

/// One message of a conversation. Shared as `Arc<ChatMessage>`: a history is never copied, only its pointers are.
///
/// ```
/// use beluga_core::{ChatMessage, Role};
///
/// let message = ChatMessage::user("Hello");
/// assert_eq!((message.role, message.text().as_str()), (Role::User, "Hello"));
/// let back: ChatMessage = serde_json::from_str(&serde_json::to_string(&message).unwrap()).unwrap();
/// assert_eq!(back, message);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
    /// The model that answered; only on assistant messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the answer cost; only on assistant messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What else is known of the message; absent for nearly all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Box<MessageNotes>>,
}

impl ChatMessage {
    /// Makes a message of the given parts.
    #[must_use]
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, model: None, usage: None, notes: None }
    }

    /// Makes a system message.
    #[must_use]
    pub fn system(text: impl Into<String>) -> Self {
        Self::new(Role::System, vec![Part::text(text)])
    }

    /// Makes a user message.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Self::new(Role::User, vec![Part::text(text)])
    }

    /// Makes an assistant message.
    #[must_use]
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new(Role::Assistant, vec![Part::text(text)])
    }

    /// Makes the message that answers tool calls, one result each.
    #[must_use]
    pub fn tool_results(results: Vec<ToolResult>) -> Self {
        Self::new(Role::Tool, results.into_iter().map(Part::ToolResult).collect())
    }

    /// Returns all text parts joined, without separators.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }

    /// Returns the tool calls in order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        })
    }

    /// Returns the tool results in order.
    pub fn results(&self) -> impl Iterator<Item = &ToolResult> {
        self.parts.iter().filter_map(|part| match part {
            Part::ToolResult(result) => Some(result),
            _ => None,
        })
    }
}

/// One piece of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// What else is known of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notes: Option<Box<PartNotes>>,
    },
    /// The model's refusal to answer, in words.
    Refusal {
        /// The text.
        text: String,
        /// What else is known of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notes: Option<Box<PartNotes>>,
    },
    /// A picture.
    Image(Media),
    /// Sound.
    Audio(Media),
    /// Moving pictures.
    Video(Media),
    /// A document.
    File(Media),
    /// What the model thought before it answered.
    Thinking(Thinking),
    /// The model's wish to run a tool.
    ToolCall(ToolCall),
    /// What the tool answered.
    ToolResult(ToolResult),
    /// Something of a vendor's own, such as a call of a tool that runs at the vendor, or that tool's result.
    Foreign(Foreign),
}

impl Part {
    /// Makes a text part.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Part::Text { text: text.into(), notes: None }
    }

    /// Returns what a part says in words: the text of a text or of a refusal.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Part::Text { text, .. } | Part::Refusal { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns about how many bytes the part's content has: text, bytes as base64, arguments, or JSON.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Part::Text { text, .. } | Part::Refusal { text, .. } => text.len(),
            Part::Image(media) | Part::Audio(media) | Part::Video(media) | Part::File(media) => match &media.source {
                MediaSource::Base64(data) | MediaSource::Text(data) => data.len(),
                MediaSource::Url(text) | MediaSource::Id(text) => text.len(),
            },
            Part::Thinking(thinking) => thinking.text.len() + thinking.signature.as_ref().map_or(0, String::len),
            Part::ToolCall(call) => call.arguments.len(),
            Part::ToolResult(result) => result.parts.iter().map(Part::size_bytes).sum(),
            Part::Foreign(foreign) => foreign.value.to_string().len(),
        }
    }

    /// Returns what else is known of the part.
    #[must_use]
    pub fn notes(&self) -> Option<&PartNotes> {
        match self {
            Part::Text { notes, .. } | Part::Refusal { notes, .. } => notes.as_deref(),
            Part::Image(media) | Part::Audio(media) | Part::Video(media) | Part::File(media) => media.notes.as_deref(),
            Part::Thinking(thinking) => thinking.notes.as_deref(),
            Part::ToolCall(call) => call.notes.as_deref(),
            Part::ToolResult(result) => result.notes.as_deref(),
            Part::Foreign(foreign) => foreign.notes.as_deref(),
        }
    }

    /// Adds what else is known of the part.
    #[must_use]
    pub fn with_notes(mut self, new: PartNotes) -> Self {
        let notes = match &mut self {
            Part::Text { notes, .. } | Part::Refusal { notes, .. } => notes,
            Part::Image(media) | Part::Audio(media) | Part::Video(media) | Part::File(media) => &mut media.notes,
            Part::Thinking(thinking) => &mut thinking.notes,
            Part::ToolCall(call) => &mut call.notes,
            Part::ToolResult(result) => &mut result.notes,
            Part::Foreign(foreign) => &mut foreign.notes,
        };
        *notes = new.boxed();
        self
    }
}

/// A picture, sound, video or file, by address or by value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Where the bytes are.
    pub source: MediaSource,
    /// The media type, such as `image/png`; empty if unknown.
    #[serde(default)]
    pub mime: String,
    /// The file name shown to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How closely a picture is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Detail>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Box<PartNotes>>,
}

impl Media {
    /// Makes a medium of a source.
    #[must_use]
    pub fn new(source: MediaSource, mime: impl Into<String>) -> Self {
        Self { source, mime: mime.into(), name: None, detail: None, notes: None }
    }

    /// Makes a medium by value, from standard base64.
    #[must_use]
    pub fn base64(mime: impl Into<String>, data: impl Into<Arc<str>>) -> Self {
        Self::new(MediaSource::Base64(data.into()), mime)
    }

    /// Makes a medium by address; the vendor finds out what it is.
    #[must_use]
    pub fn url(url: impl Into<String>) -> Self {
        Self::new(MediaSource::Url(url.into()), String::new())
    }
}

/// Where the bytes of a [`Media`] are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaSource {
    /// At this address.
    Url(String),
    /// Here, as standard base64.
    Base64(Arc<str>),
    /// At the vendor, under the id it gave when the file was uploaded.
    Id(String),
    /// Here, as plain text.
    Text(Arc<str>),
}

/// How closely a picture is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Few tokens.
    Low,
    /// Many tokens.
    High,
    /// The vendor decides.
    Auto,
}

/// What a model thought. Goes back only to the provider family that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinking {
    /// The visible text; may be empty.
    pub text: String,
    /// The provider family that made it and alone may see it again, such as `anthropic`.
    pub family: String,
    /// The vendor's opaque signature or encrypted form, returned verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Whether the vendor withheld the text and `signature` holds the encrypted form.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
    /// Whether the text is the vendor's summary of the thinking, not the thinking itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_summary: bool,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Box<PartNotes>>,
}

impl Thinking {
    /// Makes unsigned thinking of a family.
    #[must_use]
    pub fn new(text: impl Into<String>, family: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            family: family.into(),
            signature: None,
            redacted: false,
            is_summary: false,
            notes: None,
        }
    }
}

/// The model's wish to run a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The id the model gave; answered with it. Free text of the vendor, made up where missing.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as the raw JSON text the model wrote; may be malformed.
    pub arguments: String,
    /// What else is known of it, such as a signature that returns with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Box<PartNotes>>,
}

impl ToolCall {
    /// Makes a call.
    #[must_use]
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self { id: id.into(), name: name.into(), arguments: arguments.into(), notes: None }
    }

    /// Parses the arguments; empty text means an empty object.
    ///
    /// # Errors
    /// The parser's error, with its position, to be told to the model.
    pub fn parse_arguments(&self) -> Result<Value, serde_json::Error> {
        parse_arguments(&self.arguments)
    }
}

/// Parses the arguments of a tool call; empty text means an empty object.
///
/// # Errors
/// The parser's error, with its position, to be told to the model.
pub fn parse_arguments(text: &str) -> Result<Value, serde_json::Error> {
    let text = text.trim();
    if text.is_empty() { Ok(Value::Object(serde_json::Map::new())) } else { serde_json::from_str(text) }
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call it answers.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// The content, for the model.
    pub parts: Vec<Part>,
    /// How it ended.
    pub outcome: ToolOutcome,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Box<PartNotes>>,
}

impl ToolResult {
    /// Makes the result of a call that answered.
    #[must_use]
    pub fn new(call_id: impl Into<String>, name: impl Into<String>, parts: Vec<Part>) -> Self {
        Self { call_id: call_id.into(), name: name.into(), parts, outcome: ToolOutcome::Ok, notes: None }
    }

    /// Returns all text parts joined.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }

    /// Returns whether the model is told that the call failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.outcome != ToolOutcome::Ok
    }
}

/// A part that only its maker understands, kept as it came. Goes back to its family alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// The provider family that made it and alone may see it again.
    pub family: String,
    /// The vendor's word for its sort, such as `server_tool_use`.
    pub kind: String,
    /// Its fields, without the one that names the sort.
    pub value: Value,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<Box<PartNotes>>,
}

/// How a tool call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolOutcome {
    /// It answered.
    Ok,
    /// It failed, and its effect did not happen or does not matter.
    Error,
    /// It may have had its effect; nobody knows.
    Unknown,
}
