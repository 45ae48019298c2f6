//! Where an application may observe or alter model calls.

use std::fmt;
use std::sync::Arc;

use beluga_core::{
    AnswerDraft, BoxStream, CallContext, ChatModel, Error, ModelAnswer, ModelChunk, ModelInfo, ModelRequest, Result,
    ToolCall,
};
use futures_util::{StreamExt, future, stream};

/// Observes or alters the calls of a model. Every method does nothing by default. Runs in the call's task; must not block.
pub trait ModelHooks: fmt::Debug + Send + Sync + 'static {
    /// Sees the request before it is sent, and may change or refuse it.
    ///
    /// # Errors
    /// Ends the call with this error; nothing is sent.
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
    /// Sees an error, and may replace it.
    fn on_error(&self, error: Error) -> Error {
        error
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
        let (inner, hooks) = (Arc::clone(&self.inner), Arc::clone(&self.hooks));
        let open = future::lazy(move |_| {
            let mut request = Arc::unwrap_or_clone(request);
            match hooks.before_generate(&mut request) {
                Ok(()) => watch(inner.stream(Arc::new(request), cx), hooks),
                Err(error) => stream::iter([Err(hooks.on_error(error))]).boxed(),
            }
        });
        stream::once(open).flatten().boxed()
    }
}

fn watch(
    chunks: BoxStream<'static, Result<ModelChunk>>,
    hooks: Arc<dyn ModelHooks>,
) -> BoxStream<'static, Result<ModelChunk>> {
    let mut draft = Some(AnswerDraft::default());
    chunks
        .map(move |chunk| {
            let chunk = chunk.map_err(|error| hooks.on_error(error))?;
            hooks.on_stream(&chunk);
            match &chunk {
                ModelChunk::ToolCall(call) => hooks.on_tool_call(call),
                ModelChunk::ThinkingDelta { text } => hooks.on_reasoning(text),
                _ => {}
            }
            if let Some(draft) = &mut draft {
                draft.push(&chunk);
            }
            if matches!(chunk, ModelChunk::Finished { .. })
                && let Some(Ok(answer)) = draft.take().map(AnswerDraft::finish)
            {
                hooks.after_generate(&answer);
            }
            Ok(chunk)
        })
        .boxed()
}
