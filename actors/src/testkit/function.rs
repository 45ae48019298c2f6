//! A model made of a closure.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use beluga_core::{BoxStream, CallContext, ChatModel, ModelChunk, ModelInfo, ModelRequest, Result, SchemaSupport};

use super::answer::Answer;
use super::lawful::Lawful;

type Respond = dyn Fn(Arc<ModelRequest>, CallContext, usize) -> BoxStream<'static, Result<ModelChunk>> + Send + Sync;

/// A model whose answers a closure makes of the request. Clones share the closure.
///
/// ```
/// use beluga_actors::testkit::{Answer, FunctionModel};
/// use beluga_core::{CallContext, ChatMessage, ChatModel, ModelRequest};
/// use std::sync::Arc;
///
/// # futures_util::FutureExt::now_or_never(async {
/// let parrot = FunctionModel::new(|request: &ModelRequest| {
///     Answer::text(request.messages.last().map(|message| message.text()).unwrap_or_default())
/// });
/// let request = ModelRequest { messages: vec![Arc::new(ChatMessage::user("Ahoy"))], ..ModelRequest::default() };
/// let answer = parrot.generate(Arc::new(request), CallContext::new()).await.unwrap();
/// assert_eq!(answer.message.text(), "Ahoy");
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct FunctionModel {
    info: Arc<ModelInfo>,
    respond: Arc<Respond>,
    calls: Arc<AtomicUsize>,
}

impl FunctionModel {
    /// Makes a model `function` of the provider `beluga.test`. The closure runs when the stream is first polled.
    #[must_use]
    pub fn new(respond: impl Fn(&ModelRequest) -> Answer + Send + Sync + 'static) -> Self {
        Self::of(move |request, _cx, number| respond(&request).into_stream("function", number))
    }

    /// Makes a model whose closure gives the stream itself. Cancellation is added: the closure need not watch for it.
    #[must_use]
    pub fn streaming(
        respond: impl Fn(Arc<ModelRequest>, CallContext) -> BoxStream<'static, Result<ModelChunk>> + Send + Sync + 'static,
    ) -> Self {
        Self::of(move |request, cx, _number| respond(request, cx))
    }

    fn of(
        respond: impl Fn(Arc<ModelRequest>, CallContext, usize) -> BoxStream<'static, Result<ModelChunk>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { info: Arc::new(info("function")), respond: Arc::new(respond), calls: Arc::new(AtomicUsize::new(0)) }
    }

    /// Replaces what the model says it is.
    #[must_use]
    pub fn with_info(mut self, info: ModelInfo) -> Self {
        self.info = Arc::new(info);
        self
    }

    /// Returns how many streams were polled at least once.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Acquire)
    }
}

impl ChatModel for FunctionModel {
    fn info(&self) -> ModelInfo {
        (*self.info).clone()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        let model = self.clone();
        let call = cx.clone();
        Lawful::stream(&cx, move || {
            let number = model.calls.fetch_add(1, Ordering::AcqRel) + 1;
            (model.respond)(request, call, number)
        })
    }
}

impl fmt::Debug for FunctionModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionModel").field("info", &self.info).field("calls", &self.calls()).finish_non_exhaustive()
    }
}

/// Returns what a double says it is.
pub(super) fn info(model: &str) -> ModelInfo {
    ModelInfo {
        provider: "beluga.test".to_owned(),
        model: model.to_owned(),
        supports_tools: true,
        schema: SchemaSupport::None,
    }
}
