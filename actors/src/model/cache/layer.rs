//! The layer: an answer that is kept is given at once, one that is made is kept if it is whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use beluga_core::{
    BoxStream, CallContext, FinishReason, ModelChunk, ModelInfo, ModelRequest, Part, Result, ToolCall, Usage,
};
use beluga_runtime::service::{SharedService, service_fn};
use beluga_runtime::time;
use futures_core::Stream;
use futures_util::{StreamExt, stream};

use super::key::Key;
use super::store::{ExactCache, Flight, Found};

/// What a chunk is taken to hold beside its text, in bytes.
const CHUNK_BYTES: usize = 64;

type Inner = SharedService<Arc<ModelRequest>, ModelChunk>;
type Chunks = BoxStream<'static, Result<ModelChunk>>;

/// Puts a cache before a model.
pub(super) fn cached(inner: Inner, cache: ExactCache, info: Arc<ModelInfo>) -> Inner {
    service_fn(move |request: Arc<ModelRequest>, context: CallContext| {
        let (inner, cache, info) = (Arc::clone(&inner), cache.clone(), Arc::clone(&info));
        let answer = async move {
            answer(inner, cache, &info, request, context)
                .await
                .unwrap_or_else(|error| stream::iter([Err(error)]).boxed())
        };
        stream::once(answer).flatten().boxed()
    })
}

async fn answer(
    inner: Inner,
    cache: ExactCache,
    info: &ModelInfo,
    request: Arc<ModelRequest>,
    context: CallContext,
) -> Result<Chunks> {
    let key = Key::of(&context, info, &cache.settings().policy, &request)?;
    let mut found = cache.look(&key, true);
    if let Found::Running(mut landing) = found {
        // It ends by dropping its sender; that it did is all there is to hear.
        let _ = time::within(&context, landing.changed()).await?;
        // Whoever waited once goes on alone: a call that fails must not line the others up behind one another.
        found = cache.look(&key, false);
    }
    let flight = match found {
        Found::Answer(chunks) => return Ok(replayed(&chunks)),
        Found::Running(_) | Found::Missing(None) => None,
        Found::Missing(flight) => flight,
    };
    let chunks = inner.call(request, context);
    let draft = Some(Draft { cache, key, chunks: Vec::new(), bytes: 0 });
    Ok(Box::pin(Kept { chunks, draft, flight }))
}

/// Gives a kept answer as a stream. It cost nothing.
fn replayed(chunks: &Arc<[ModelChunk]>) -> Chunks {
    let chunks = Arc::clone(chunks);
    let place = |place: usize| {
        let chunk = match chunks.get(place)?.clone() {
            ModelChunk::Usage(_) => ModelChunk::Usage(Usage::default()),
            ModelChunk::Finished { reason, .. } => ModelChunk::Finished { reason, raw_usage: None },
            chunk => chunk,
        };
        Some(Ok(chunk))
    };
    let chunks: Vec<_> = (0..chunks.len()).filter_map(place).collect();
    stream::iter(chunks).boxed()
}

/// An answer on its way to its reader and, if it becomes whole, into the cache.
struct Kept {
    chunks: Chunks,
    draft: Option<Draft>,
    /// Dropped after the answer is kept, so that whoever waits finds it.
    flight: Option<Flight>,
}

struct Draft {
    cache: ExactCache,
    key: Key,
    chunks: Vec<ModelChunk>,
    bytes: usize,
}

impl Draft {
    /// Notes a chunk; `false` once there is nothing to keep.
    fn see(&mut self, chunk: &ModelChunk) -> bool {
        self.bytes = self.bytes.saturating_add(CHUNK_BYTES + text_bytes(chunk));
        self.chunks.push(chunk.clone());
        self.bytes <= self.cache.answer_bytes_max()
    }

    fn keep(self) {
        self.cache.keep(self.key, self.chunks, self.bytes);
    }
}

impl Stream for Kept {
    type Item = Result<ModelChunk>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let item = ready!(this.chunks.poll_next_unpin(cx));
        match &item {
            Some(Ok(chunk)) => {
                let goes_on = this.draft.as_mut().is_some_and(|draft| draft.see(chunk));
                if !goes_on {
                    this.draft = None;
                } else if let ModelChunk::Finished { reason, .. } = chunk {
                    let draft = this.draft.take().filter(|_| is_whole(reason));
                    draft.into_iter().for_each(Draft::keep);
                    this.flight = None;
                }
            }
            Some(Err(_)) | None => {
                this.draft = None;
                this.flight = None;
            }
        }
        Poll::Ready(item)
    }
}

/// Returns whether an answer ended because the model was done.
fn is_whole(reason: &FinishReason) -> bool {
    matches!(reason, FinishReason::Stop | FinishReason::ToolCalls)
}

fn text_bytes(chunk: &ModelChunk) -> usize {
    match chunk {
        ModelChunk::Text { text } | ModelChunk::Refusal { text } | ModelChunk::ThinkingDelta { text } => text.len(),
        ModelChunk::Whole { part } => part.size_bytes(),
        ModelChunk::Alternative { answer } => answer.message.parts.iter().map(Part::size_bytes).sum(),
        ModelChunk::Thinking(thinking) => thinking.text.len() + thinking.signature.as_ref().map_or(0, String::len),
        ModelChunk::ToolCallDelta { arguments, .. } => arguments.len(),
        ModelChunk::ToolCall(ToolCall { arguments, .. }) => arguments.len(),
        _ => 0,
    }
}
