//! Where an application may observe or alter model calls.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use beluga_core::{
    AnswerDraft, BoxStream, CallContext, ChatModel, Error, ModelAnswer, ModelChunk, ModelInfo, ModelRequest, Result,
    ToolCall,
};
use beluga_runtime::service::{Service, SharedService};
use futures_core::Stream;
use futures_util::{StreamExt, future, stream};

use super::observe::ModelService;

/// Observes or alters the calls of a model. Every method does nothing by default. Runs in the call's task; must not block.
///
/// Hooks compose: a `Vec<Arc<dyn ModelHooks>>` is itself hooks, called in order.
pub trait ModelHooks: fmt::Debug + Send + Sync + 'static {
    /// Sees the request before it is sent, and may change or refuse it.
    ///
    /// # Errors
    /// Ends the call with this error, which passes [`on_error`](Self::on_error); nothing is sent.
    fn before_generate(&self, request: &mut ModelRequest) -> Result<()> {
        let _ = request;
        Ok(())
    }
    /// Sees the whole answer at the end, also of a stream.
    fn after_generate(&self, answer: &ModelAnswer) {
        let _ = answer;
    }
    /// Sees each chunk before the caller does.
    fn on_stream(&self, chunk: &ModelChunk) {
        let _ = chunk;
    }
    /// Sees each whole tool call.
    fn on_tool_call(&self, call: &ToolCall) {
        let _ = call;
    }
    /// Sees each piece of visible thinking.
    fn on_reasoning(&self, text: &str) {
        let _ = text;
    }
    /// Sees an error, and may replace it, or swallow it by an answer ([`ModelAnswer::text`]).
    ///
    /// An answer goes on after what was shown before the error, and counts as the model's own.
    ///
    /// # Errors
    /// The error the caller sees.
    fn on_error(&self, error: Error) -> Result<ModelAnswer> {
        Err(error)
    }
}

impl ModelHooks for Vec<Arc<dyn ModelHooks>> {
    fn before_generate(&self, request: &mut ModelRequest) -> Result<()> {
        self.iter().try_for_each(|hooks| hooks.before_generate(request))
    }

    fn after_generate(&self, answer: &ModelAnswer) {
        self.iter().for_each(|hooks| hooks.after_generate(answer));
    }

    fn on_stream(&self, chunk: &ModelChunk) {
        self.iter().for_each(|hooks| hooks.on_stream(chunk));
    }

    fn on_tool_call(&self, call: &ToolCall) {
        self.iter().for_each(|hooks| hooks.on_tool_call(call));
    }

    fn on_reasoning(&self, text: &str) {
        self.iter().for_each(|hooks| hooks.on_reasoning(text));
    }

    /// Each sees what the one before it made of the error; the first answer ends it.
    fn on_error(&self, error: Error) -> Result<ModelAnswer> {
        let mut error = error;
        for hooks in self {
            match hooks.on_error(error) {
                Ok(answer) => return Ok(answer),
                Err(seen) => error = seen,
            }
        }
        Err(error)
    }
}

/// A model with hooks round it.
#[derive(Debug, Clone)]
pub struct HookedModel {
    inner: Arc<dyn ChatModel>,
    hooks: Arc<dyn ModelHooks>,
}

impl HookedModel {
    /// Puts hooks round a model.
    #[must_use]
    pub fn new(inner: impl ChatModel, hooks: impl ModelHooks) -> Self {
        Self { inner: Arc::new(inner), hooks: Arc::new(hooks) }
    }
}

impl ChatModel for HookedModel {
    fn info(&self) -> ModelInfo {
        self.inner.info()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        hooked(Arc::new(ModelService(Arc::clone(&self.inner))), Arc::clone(&self.hooks)).call(request, cx)
    }
}

/// Puts hooks round a service.
pub(super) fn hooked(
    inner: SharedService<Arc<ModelRequest>, ModelChunk>,
    hooks: Arc<dyn ModelHooks>,
) -> SharedService<Arc<ModelRequest>, ModelChunk> {
    Arc::new(Hooked { inner, hooks })
}

struct Hooked {
    inner: SharedService<Arc<ModelRequest>, ModelChunk>,
    hooks: Arc<dyn ModelHooks>,
}

impl Service<Arc<ModelRequest>> for Hooked {
    type Item = ModelChunk;

    fn call(&self, request: Arc<ModelRequest>, context: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        let (inner, hooks) = (Arc::clone(&self.inner), Arc::clone(&self.hooks));
        let open = future::lazy(move |_| {
            let mut request = Arc::unwrap_or_clone(request);
            let chunks = match hooks.before_generate(&mut request) {
                Ok(()) => inner.call(Arc::new(request), context),
                Err(error) => stream::iter([Err(error)]).boxed(),
            };
            Watch { chunks: Some(chunks), instead: Vec::new().into_iter(), draft: Some(AnswerDraft::default()), hooks }
        });
        stream::once(open).flatten().boxed()
    }
}

/// The chunks of a call, and after an error that was swallowed those of the answer instead.
struct Watch {
    chunks: Option<BoxStream<'static, Result<ModelChunk>>>,
    instead: std::vec::IntoIter<ModelChunk>,
    draft: Option<AnswerDraft>,
    hooks: Arc<dyn ModelHooks>,
}

impl Watch {
    fn see(&mut self, chunk: &ModelChunk) {
        self.hooks.on_stream(chunk);
        match chunk {
            ModelChunk::ToolCall(call) => self.hooks.on_tool_call(call),
            ModelChunk::ThinkingDelta { text } => self.hooks.on_reasoning(text),
            _ => {}
        }
        if let Some(draft) = &mut self.draft {
            draft.push(chunk.clone());
        }
        if matches!(chunk, ModelChunk::Finished { .. })
            && let Some(Ok(answer)) = self.draft.take().map(AnswerDraft::finish)
        {
            self.hooks.after_generate(&answer);
        }
    }
}

impl Stream for Watch {
    type Item = Result<ModelChunk>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(chunks) = &mut this.chunks else {
                let next = this.instead.next();
                if let Some(chunk) = &next {
                    this.see(chunk);
                }
                return Poll::Ready(next.map(Ok));
            };
            match ready!(chunks.poll_next_unpin(cx)) {
                Some(Ok(chunk)) => {
                    this.see(&chunk);
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Some(Err(error)) => {
                    this.chunks = None;
                    match this.hooks.on_error(error) {
                        Ok(answer) => this.instead = answer.into_chunks().collect::<Vec<_>>().into_iter(),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                None => {
                    this.chunks = None;
                    return Poll::Ready(None);
                }
            }
        }
    }
}
