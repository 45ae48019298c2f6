//! The model: an answer by the rules, streamed word by word.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    BoxStream, CallContext, ChatModel, Error, FinishReason, GenerateOptions, Host, ModelChunk, ModelInfo, ModelRequest,
    Part, Result, SchemaSupport, ToolCall, Usage,
};
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};

use super::step::{self, Answer};

/// The name of the model where the configuration names none.
pub(super) const MODEL: &str = "rules-1";

/// The provider's name.
pub(super) const PROVIDER: &str = "beluga.offline";

/// A rule-based chat model that needs no network, no key and no time. The same request gets the same answer.
///
/// It takes tools, streams its text word by word, and reports usage in words, since it has no tokens. It honours
/// `stop` and `max_tokens` (words), and refuses a response format with `unsupported`: it writes no JSON to order.
///
/// ```
/// use beluga_core::{CallContext, ChatMessage, ChatModel, ModelRequest};
/// use beluga_providers::offline::OfflineModel;
/// use std::sync::Arc;
///
/// # fn host() -> Arc<dyn beluga_core::Host> {
/// #     #[derive(Debug)]
/// #     struct Fixed;
/// #     impl beluga_core::Host for Fixed {
/// #         fn now(&self) -> std::time::Instant { std::time::Instant::now() }
/// #         fn wall(&self) -> std::time::SystemTime { std::time::SystemTime::UNIX_EPOCH }
/// #         fn sleep(&self, _: std::time::Duration) -> beluga_core::BoxFuture<'static, ()> { Box::pin(async {}) }
/// #         fn random(&self) -> u64 { 4 }
/// #         fn spawn(&self, _: &'static str, _: beluga_core::BoxFuture<'static, ()>) {}
/// #         fn spawn_thread(&self, _: &'static str, _: Box<dyn FnOnce() + Send>) -> beluga_core::Result<()> { Ok(()) }
/// #         fn block(&self, run: Box<dyn FnOnce() + Send>) -> beluga_core::BoxFuture<'static, ()> { run(); Box::pin(async {}) }
/// #     }
/// #     Arc::new(Fixed)
/// # }
/// # futures_util::FutureExt::now_or_never(async {
/// let model = OfflineModel::new(host());
/// let messages = ["My name is Ada.", "What is my name?"].map(|text| Arc::new(ChatMessage::user(text)));
/// let request = Arc::new(ModelRequest { messages: messages.to_vec(), ..ModelRequest::default() });
/// let answer = model.generate(request, CallContext::new()).await.unwrap();
/// assert_eq!(answer.message.text(), "Your name is Ada.");
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct OfflineModel {
    host: Arc<dyn Host>,
    model: Arc<str>,
    chunk_delay: Duration,
}

impl OfflineModel {
    /// Makes the model; the host's clock serves deadlines and the delay between chunks.
    #[must_use]
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { host, model: Arc::from(MODEL), chunk_delay: Duration::ZERO }
    }

    /// Replaces the model's name.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = model.into();
        self
    }

    /// Waits before each chunk, to see or test how an answer streams.
    #[must_use]
    pub fn with_chunk_delay(mut self, delay: Duration) -> Self {
        self.chunk_delay = delay;
        self
    }

    fn chunks(&self, request: &ModelRequest) -> Vec<Result<ModelChunk>> {
        if request.options.format.is_some() {
            let error = Error::unsupported("the offline model writes no JSON to order: it takes no response format");
            return vec![Err(error.with_op("model.generate"))];
        }
        let (content, reason, output_tokens) = match step::answer(request) {
            Answer::Text(text) => {
                let (text, reason) = limited(&text, &request.options);
                let pieces = text.split_inclusive(' ').map(|text| ModelChunk::Text { text: text.to_owned() });
                (pieces.collect::<Vec<_>>(), reason, count_words(text))
            }
            Answer::Calls(calls) => {
                let words = calls.iter().map(|call| 1 + count_words(&call.arguments)).sum();
                (calls.into_iter().enumerate().flat_map(call_chunks).collect(), FinishReason::ToolCalls, words)
            }
        };
        let usage = Usage { input_tokens: input_words(request), output_tokens, ..Usage::default() };
        let mut chunks = Vec::with_capacity(content.len() + 3);
        chunks.push(Ok(ModelChunk::Started { id: None, model: Some(self.model.to_string()) }));
        chunks.extend(content.into_iter().map(Ok));
        chunks.push(Ok(ModelChunk::Usage(usage)));
        chunks.push(Ok(ModelChunk::Finished { reason, raw_usage: None }));
        chunks
    }

    /// Waits before a chunk and checks that the call is still wanted.
    async fn pause(&self, cx: &CallContext) -> Result<()> {
        if !self.chunk_delay.is_zero() {
            let sleep = self.host.sleep(self.chunk_delay);
            if let Either::Left(_) = select(cx.cancel_token().cancelled(), sleep).await {
                return Err(Error::cancelled("the call was cancelled").with_op("model.stream"));
            }
        }
        cx.check(self.host.now()).map_err(|error| error.with_op("model.stream"))
    }
}

impl ChatModel for OfflineModel {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            provider: PROVIDER.to_owned(),
            model: self.model.to_string(),
            supports_tools: true,
            schema: SchemaSupport::None,
        }
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        let model = self.clone();
        let state = Some((None, request));
        stream::unfold(state, move |state| {
            let (model, cx) = (model.clone(), cx.clone());
            async move {
                let (chunks, request) = state?;
                if let Err(error) = model.pause(&cx).await {
                    return Some((Err(error), None));
                }
                let mut chunks = chunks.unwrap_or_else(|| model.chunks(&request).into_iter());
                let next = chunks.next()?;
                let rest = next.is_ok().then_some((Some(chunks), request));
                Some((next, rest))
            }
        })
        .boxed()
    }
}

/// Shows a call as it takes shape, then whole.
fn call_chunks((index, call): (usize, ToolCall)) -> [ModelChunk; 2] {
    let delta = ModelChunk::ToolCallDelta {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        name: Some(call.name.clone()),
        arguments: call.arguments.clone(),
    };
    [delta, ModelChunk::ToolCall(call)]
}

/// Cuts an answer at the first stop text and at the most words.
fn limited<'a>(text: &'a str, options: &GenerateOptions) -> (&'a str, FinishReason) {
    let stop = options.stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop)).min();
    let text = stop.and_then(|at| text.get(..at)).unwrap_or(text);
    let Some(limit) = options.max_tokens.and_then(|limit| usize::try_from(limit).ok()) else {
        return (text, FinishReason::Stop);
    };
    let length: usize = text.split_inclusive(' ').take(limit).map(str::len).sum();
    let cut = text.get(..length).unwrap_or(text);
    if cut.len() < text.len() { (cut.trim_end(), FinishReason::Length) } else { (text, FinishReason::Stop) }
}

fn count_words(text: &str) -> u64 {
    text.split_whitespace().fold(0, |count, _| count + 1)
}

fn input_words(request: &ModelRequest) -> u64 {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    parts
        .map(|part| match part {
            Part::Text { text, .. } => count_words(text),
            Part::ToolCall(call) => 1 + count_words(&call.arguments),
            Part::ToolResult(result) => count_words(&result.text()),
            _ => 0,
        })
        .sum()
}
