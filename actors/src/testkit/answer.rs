//! One answer of a test double: what it streams, when, and how it ends.

use std::time::Duration;

use beluga_core::{BoxStream, Error, FinishReason, ModelChunk, Result, ToolCall, Usage};
use beluga_runtime::time;
use futures_util::{StreamExt, stream};
use serde_json::Value;

/// One answer of a [`ScriptedModel`](super::ScriptedModel) or [`FunctionModel`](super::FunctionModel).
///
/// ```
/// use beluga_actors::testkit::Answer;
/// use beluga_core::FinishReason;
/// use serde_json::json;
/// use std::time::Duration;
///
/// let text = Answer::text("Hello").after(Duration::from_millis(20));
/// let calls = Answer::text("Let me look.").and_call("weather", json!({"city": "Oslo"})).and_call("clock", json!({}));
/// assert_eq!(calls.finish_reason(), Some(&FinishReason::ToolCalls));
/// assert_eq!(text.finish_reason(), Some(&FinishReason::Stop));
/// assert_eq!(Answer::hang().finish_reason(), None);
/// ```
#[derive(Debug)]
pub struct Answer {
    delay: Duration,
    chunks: Vec<ModelChunk>,
    usage: Usage,
    end: End,
}

/// The chunks of most answers: started, what is said, usage, finished.
const CHUNKS_EXPECTED: usize = 4;

#[derive(Debug)]
enum End {
    Finished(FinishReason),
    Error(Error),
    Hang,
    Break,
}

impl Answer {
    fn new(chunks: Vec<ModelChunk>, end: End) -> Self {
        Self {
            delay: Duration::ZERO,
            chunks,
            usage: Usage { input_tokens: 1, output_tokens: 1, ..Usage::default() },
            end,
        }
    }

    /// Answers with a text, as one chunk.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let mut chunks = Vec::with_capacity(CHUNKS_EXPECTED);
        chunks.push(ModelChunk::Text { text: text.into() });
        Self::new(chunks, End::Finished(FinishReason::Stop))
    }

    /// Answers with a text in several chunks.
    #[must_use]
    pub fn pieces<T: Into<String>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let chunks = pieces.into_iter().map(|piece| ModelChunk::Text { text: piece.into() }).collect();
        Self::new(chunks, End::Finished(FinishReason::Stop))
    }

    /// Answers with one tool call; add more with [`and_call`](Self::and_call).
    #[must_use]
    pub fn call(name: impl Into<String>, arguments: Value) -> Self {
        Self::new(Vec::with_capacity(CHUNKS_EXPECTED), End::Finished(FinishReason::Stop)).and_call(name, arguments)
    }

    /// Answers with these chunks, behind a `Started` if they bring none; without a `Finished` among them the stream breaks off, as a
    /// vendor's may.
    #[must_use]
    pub fn chunks(chunks: impl IntoIterator<Item = ModelChunk>) -> Self {
        Self::new(chunks.into_iter().collect(), End::Break)
    }

    /// Fails.
    #[must_use]
    pub fn error(error: Error) -> Self {
        Self::new(Vec::new(), End::Error(error))
    }

    /// Never answers; only cancellation, a time-out or dropping the stream ends the call.
    #[must_use]
    pub fn hang() -> Self {
        Self::new(Vec::new(), End::Hang)
    }

    /// Adds a tool call; its id is `call_{answer}_{place}`, both from 1, unique over a model's answers.
    #[must_use]
    #[allow(clippy::needless_pass_by_value)] // Callers write `json!(…)`.
    pub fn and_call(self, name: impl Into<String>, arguments: Value) -> Self {
        self.and_tool_call(ToolCall::new("", name, arguments.to_string()))
    }

    /// Adds a tool call as it stands, for malformed arguments and chosen ids.
    #[must_use]
    pub fn and_tool_call(mut self, call: ToolCall) -> Self {
        self.chunks.push(ModelChunk::ToolCall(call));
        if let End::Finished(reason) = &mut self.end {
            *reason = FinishReason::ToolCalls;
        }
        self
    }

    /// Fails after what was said so far, as a broken connection does.
    #[must_use]
    pub fn then_error(mut self, error: Error) -> Self {
        self.end = End::Error(error);
        self
    }

    /// Says no more after what was said so far, and never ends.
    #[must_use]
    pub fn then_hang(mut self) -> Self {
        self.end = End::Hang;
        self
    }

    /// Waits before the first chunk, on the runtime's clock (paused time jumps over it).
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Replaces the tokens reported, which are 1 and 1.
    #[must_use]
    pub fn with_usage(mut self, usage: Usage) -> Self {
        self.usage = usage;
        self
    }

    /// Replaces the reason of a finished answer.
    #[must_use]
    pub fn with_finish(mut self, reason: FinishReason) -> Self {
        self.end = End::Finished(reason);
        self
    }

    /// Returns why the answer ends; `None` if it does not end well.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&FinishReason> {
        match &self.end {
            End::Finished(reason) => Some(reason),
            _ => None,
        }
    }

    /// Makes the stream of a model's answer of this number, which starts with the delay once it is polled.
    pub(super) fn into_stream(mut self, model: &str, number: usize) -> BoxStream<'static, Result<ModelChunk>> {
        self.name_calls(number);
        let mut chunks = self.chunks;
        let says_so = matches!(chunks.first(), Some(ModelChunk::Started { .. }));
        if !says_so && (matches!(self.end, End::Finished(_)) || !chunks.is_empty()) {
            let id = Some(format!("answer_{number}"));
            chunks.insert(0, ModelChunk::Started { id, model: Some(model.to_owned()) });
        }
        let (mut error, mut hangs) = (None, false);
        match self.end {
            End::Finished(reason) => {
                chunks.push(ModelChunk::Usage(self.usage));
                chunks.push(ModelChunk::Finished { reason, raw_usage: None });
            }
            End::Error(cause) => error = Some(Err(cause)),
            End::Hang => hangs = true,
            End::Break => {}
        }
        let items = stream::iter(chunks.into_iter().map(Ok).chain(error));
        let items = if hangs { items.chain(stream::pending()).boxed() } else { items.boxed() };
        if self.delay.is_zero() {
            return items;
        }
        let delay = self.delay;
        stream::once(async move { time::sleep(delay).await })
            .filter_map(|()| std::future::ready(None))
            .chain(items)
            .boxed()
    }

    fn name_calls(&mut self, number: usize) {
        let calls = self.chunks.iter_mut().filter_map(|chunk| match chunk {
            ModelChunk::ToolCall(call) => Some(call),
            _ => None,
        });
        for (place, call) in calls.enumerate() {
            if call.id.is_empty() {
                call.id = format!("call_{number}_{}", place + 1);
            }
        }
    }
}
