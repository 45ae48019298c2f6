//! The contract of a language model: a request in, a stream of chunks out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::{ChatMessage, Part, Role, Thinking, ToolCall};
use crate::context::CallContext;
use crate::error::{Error, Result};
use crate::item::Content;
use crate::tool::ToolDefinition;
use crate::usage::Usage;
use crate::{BoxFuture, BoxStream};

/// A language model: a bare provider, a supervised actor or a test double; code cannot tell.
///
/// Laws (tested by the conformance suite under these names):
/// - `stream_ends_with_finished`: a stream that yields no error ends with exactly one [`ModelChunk::Finished`], its last item;
/// - `error_is_last`: nothing follows an error;
/// - `tool_calls_are_whole`: each [`ModelChunk::ToolCall`] has id, name and the complete argument text;
/// - `drop_cancels`: dropping the stream ends the call, down to the request in flight;
/// - `cancel_ends`: a cancelled context ends the stream with `cancelled`.
pub trait ChatModel: fmt::Debug + Send + Sync + 'static {
    /// Returns what the model is.
    fn info(&self) -> ModelInfo;

    /// Answers as a stream. The stream is lazy: nothing is sent before it is first polled.
    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>>;

    /// Answers as a whole.
    ///
    /// # Errors
    /// What the stream fails with; a stream that ends without `Finished` is `provider_unavailable`.
    fn generate(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxFuture<'static, Result<ModelAnswer>> {
        let stream = self.stream(request, cx);
        Box::pin(ModelAnswer::collect(stream))
    }
}

impl<M: ChatModel + ?Sized> ChatModel for Arc<M> {
    fn info(&self) -> ModelInfo {
        (**self).info()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        (**self).stream(request, cx)
    }

    fn generate(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxFuture<'static, Result<ModelAnswer>> {
        (**self).generate(request, cx)
    }
}

/// What a model is and can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The provider as OpenTelemetry names it: `openai`, `anthropic`, `groq`, `beluga.offline`.
    pub provider: String,
    /// The vendor's model id.
    pub model: String,
    /// Whether it takes tools.
    pub supports_tools: bool,
}

/// One call of a model. Immutable and shared: a retry sends the same request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelRequest {
    /// The conversation, oldest first; system messages first.
    pub messages: Vec<Arc<ChatMessage>>,
    /// The tools offered, in a deterministic order.
    #[serde(default)]
    pub tools: Arc<[ToolDefinition]>,
    /// Everything else.
    #[serde(default)]
    pub options: GenerateOptions,
    /// Which prefixes are likely to come again. Not part of the request's content: it is not serialized.
    #[serde(skip)]
    pub cache: CacheHints,
}

/// Which prefixes of a request are likely to come again, for vendors that cache prompts where they are told to.
///
/// Tools come before the system message, and both before the conversation. A vendor that caches by itself, or not at
/// all, ignores the hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheHints {
    /// Whether the tools stay the same.
    pub tools: bool,
    /// How many parts of the first message, if it is a system message, stay the same.
    pub system_parts: usize,
    /// Whether the whole conversation will come again with more behind it.
    pub conversation: bool,
}

/// How an answer is to be made. Absent means the vendor's default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GenerateOptions {
    /// Overrides the provider's model id.
    pub model: Option<String>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f32>,
    /// The most tokens the answer may have.
    pub max_tokens: Option<u32>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f32>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// The form of the answer.
    pub format: Option<ResponseFormat>,
    /// Whether tools may, must or must not be called.
    pub tool_choice: ToolChoice,
    /// How much the model thinks.
    pub reasoning: Option<Reasoning>,
    /// The application's labels; sent where the vendor takes them.
    pub metadata: BTreeMap<String, String>,
    /// Vendor fields passed through verbatim.
    pub extra: serde_json::Map<String, Value>,
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// The JSON Schema.
        schema: Value,
        /// Whether the vendor is to enforce it.
        strict: bool,
    },
}

/// Whether tools may, must or must not be called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool.
    None,
    /// At least one tool.
    Required,
    /// This tool.
    Tool(String),
}

/// How much the model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reasoning {
    /// The effort, where the vendor takes one.
    pub effort: Option<Effort>,
    /// The most tokens for thinking, where the vendor takes a number.
    pub budget_tokens: Option<u32>,
}

/// Reasoning effort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
}

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
    /// Tokens so far; the last one counts.
    Usage(Usage),
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

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelAnswer {
    /// The assistant's message, with model and usage.
    pub message: ChatMessage,
    /// Why it ended.
    pub finish: FinishReason,
    /// The vendor's id of the answer.
    pub id: Option<String>,
    /// Tokens, all zero where the vendor tells none.
    pub usage: Usage,
    /// The vendor's raw usage object.
    pub raw_usage: Option<Value>,
}

impl ModelAnswer {
    /// Makes an answer of a text that cost nothing: what an error hook gives instead of an error.
    ///
    /// ```
    /// use beluga_core::{ModelAnswer, ModelChunk};
    ///
    /// let chunks: Vec<ModelChunk> = ModelAnswer::text("Ask again later.").into_chunks().collect();
    /// assert!(matches!(&chunks[0], ModelChunk::Text { text } if text == "Ask again later."));
    /// assert!(matches!(chunks.last(), Some(ModelChunk::Finished { .. })));
    /// ```
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            message: ChatMessage::assistant(text),
            finish: FinishReason::Stop,
            id: None,
            usage: Usage::default(),
            raw_usage: None,
        }
    }

    /// Takes the answer apart into the chunks a stream of it has, `Finished` last. Parts no model says, such as a
    /// picture, are left out.
    pub fn into_chunks(self) -> impl Iterator<Item = ModelChunk> + Send {
        let Self { message, finish, id, usage, raw_usage } = self;
        let opening =
            (id.is_some() || message.model.is_some()).then_some(ModelChunk::Started { id, model: message.model });
        let said = message.parts.into_iter().filter_map(|part| match part {
            Part::Text { text } => Some(ModelChunk::Text { text }),
            Part::Thinking(thinking) => Some(ModelChunk::Thinking(thinking)),
            Part::ToolCall(call) => Some(ModelChunk::ToolCall(call)),
            _ => None,
        });
        opening
            .into_iter()
            .chain(said)
            .chain([ModelChunk::Usage(usage), ModelChunk::Finished { reason: finish, raw_usage }])
    }

    /// Collects a stream into an answer.
    ///
    /// # Errors
    /// The stream's error; `provider_unavailable` if it ended without `Finished`.
    pub async fn collect(mut stream: BoxStream<'static, Result<ModelChunk>>) -> Result<Self> {
        let mut draft = AnswerDraft::default();
        while let Some(chunk) = stream.next().await {
            draft.push(chunk?);
        }
        draft.finish()
    }
}

/// Builds a [`ModelAnswer`] chunk by chunk; whoever also forwards the chunks keeps one.
#[derive(Debug, Default)]
pub struct AnswerDraft {
    parts: Vec<Part>,
    id: Option<String>,
    model: Option<String>,
    usage: Usage,
    finish: Option<FinishReason>,
    raw_usage: Option<Value>,
}

impl AnswerDraft {
    /// Adds one chunk. Neighbouring text becomes one part.
    pub fn push(&mut self, chunk: ModelChunk) {
        match chunk {
            ModelChunk::Started { id, model } => {
                self.id = id;
                self.model = model;
            }
            ModelChunk::Text { text } => match self.parts.last_mut() {
                Some(Part::Text { text: have }) => have.push_str(&text),
                _ => self.add(Part::Text { text }),
            },
            ModelChunk::Thinking(thinking) => self.add(Part::Thinking(thinking)),
            ModelChunk::ToolCall(call) => self.add(Part::ToolCall(call)),
            ModelChunk::Usage(usage) => self.usage = usage,
            ModelChunk::Finished { reason, raw_usage } => {
                self.finish = Some(reason);
                self.raw_usage = raw_usage;
            }
            ModelChunk::ThinkingDelta { .. } | ModelChunk::ToolCallDelta { .. } => {}
        }
    }

    /// Most answers are one part; a list grows to four at once.
    fn add(&mut self, part: Part) {
        if self.parts.is_empty() {
            self.parts.reserve_exact(1);
        }
        self.parts.push(part);
    }

    /// Returns the text so far, for a partial result.
    #[must_use]
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// `provider_unavailable` if no `Finished` was seen: the stream broke.
    pub fn finish(self) -> Result<ModelAnswer> {
        let Some(finish) = self.finish else {
            return Err(Error::provider_unavailable("the answer ended before it was finished"));
        };
        let message =
            ChatMessage { role: Role::Assistant, parts: self.parts, model: self.model, usage: Some(self.usage) };
        Ok(ModelAnswer { message, finish, id: self.id, usage: self.usage, raw_usage: self.raw_usage })
    }
}

/// A copy of a model that always offers the same tools.
#[derive(Debug, Clone)]
pub struct BoundModel<M> {
    model: M,
    tools: Arc<[ToolDefinition]>,
}

impl<M: ChatModel> BoundModel<M> {
    /// Binds tools to a model; the model itself is unchanged.
    #[must_use]
    pub fn new(model: M, tools: impl Into<Arc<[ToolDefinition]>>) -> Self {
        Self { model, tools: tools.into() }
    }
}

impl<M: ChatModel> ChatModel for BoundModel<M> {
    fn info(&self) -> ModelInfo {
        self.model.info()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        let mut request = Arc::unwrap_or_clone(request);
        request.tools = Arc::clone(&self.tools);
        self.model.stream(Arc::new(request), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, stream};

    fn collect(chunks: Vec<ModelChunk>) -> Result<ModelAnswer> {
        let stream = stream::iter(chunks.into_iter().map(Ok)).boxed();
        ModelAnswer::collect(stream).now_or_never().unwrap()
    }

    #[test]
    fn neighbouring_text_becomes_one_part() {
        let text = |text: &str| ModelChunk::Text { text: text.into() };
        let end = ModelChunk::Finished { reason: FinishReason::Stop, raw_usage: None };
        let answer = collect(vec![text("a"), text("b"), end]).unwrap();
        assert_eq!(answer.message.parts, vec![Part::text("ab")]);
    }

    #[test]
    fn a_stream_without_an_end_is_a_broken_provider() {
        let error = collect(vec![ModelChunk::Text { text: "half".into() }]).unwrap_err();
        assert_eq!(error.code(), crate::Code::ProviderUnavailable);
    }
}
