//! The contract of a language model: a request in, a stream of chunks out.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::answer::ModelAnswer;
use crate::chunk::ModelChunk;
use crate::content::ChatMessage;
use crate::context::CallContext;
use crate::error::Result;
use crate::options::GenerateOptions;
use crate::tool::ToolDefinition;
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
    /// How it takes the schema of its answer.
    #[serde(default)]
    pub schema: SchemaSupport,
}

/// How a model takes the schema of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaSupport {
    /// Not at all: it must be told in words, or by a tool.
    #[default]
    None,
    /// As a hint: the answer may differ.
    Taken,
    /// The vendor enforces a schema that keeps these rules.
    Enforced(Arc<StrictSchema>),
}

/// What a vendor demands of a schema it enforces, besides that every object is closed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StrictSchema {
    /// Whether every property must be required; an optional one may be null instead.
    pub all_required: bool,
    /// The keywords it refuses.
    pub refused: Vec<String>,
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
