//! How an embedder reacts: it admits a call, starts a job for it, and accounts for what it cost.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    BoxStream, CallContext, EmbedRequest, Embedder, EmbedderInfo, Embeddings, Result, TokenEstimate, Tokenizer,
};
use beluga_runtime::hop;
use beluga_runtime::service::{Observe, Service, SharedService, one};
use beluga_runtime::telemetry::names::{attribute, operation};
use beluga_runtime::telemetry::{Hop, HopKind, Identity};
use beluga_runtime::{Actor, Cx, Sink, StatusSource, StreamHandler};
use tracing::field::Empty;

use super::message::{Embed, EmbedderProtocol};
use crate::retrieval::supervised::{CallState, not_started};

/// What the actor shares with its successors.
pub(super) struct EmbedderState {
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) calls: Arc<CallState>,
}

/// The actor of one embedder.
pub(super) struct EmbedderActor {
    state: Arc<EmbedderState>,
    service: Option<SharedService<Arc<EmbedRequest>, Embeddings>>,
}

impl EmbedderActor {
    pub(super) fn new(state: Arc<EmbedderState>) -> Self {
        Self { state, service: None }
    }
}

impl Actor for EmbedderActor {
    type Protocol = EmbedderProtocol;
    const KIND: &'static str = "embedder";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        let embedder = Arc::clone(&self.state.embedder);
        let span = Arc::new(EmbeddingsSpan(embedder.info()));
        self.service = Some(self.state.calls.stack(Arc::new(EmbedService(embedder)), span, Some(Arc::new(weigh)), cx));
        Ok(())
    }

    fn status(&self) -> Option<StatusSource> {
        let state = Arc::clone(&self.state);
        Some(StatusSource::new(move || {
            let info = state.embedder.info();
            state.calls.status(&info.provider, &info.model)
        }))
    }
}

impl StreamHandler<Embed> for EmbedderActor {
    async fn handle(&mut self, Embed(request): Embed, sink: Sink<Embeddings>, cx: &mut Cx<Self>) -> Result<()> {
        let service = self.service.as_ref().ok_or_else(not_started)?;
        self.state.calls.start("embedding", service, request, sink, cx);
        Ok(())
    }
}

/// Returns about how many tokens a request has, before a vendor tells.
fn weigh(request: &Arc<EmbedRequest>) -> u64 {
    request.texts.iter().fold(0, |sum: u64, text| sum.saturating_add(TokenEstimate.count(text)))
}

/// An embedder as the innermost service.
struct EmbedService(Arc<dyn Embedder>);

impl Service<Arc<EmbedRequest>> for EmbedService {
    type Item = Embeddings;

    fn call(&self, request: Arc<EmbedRequest>, context: CallContext) -> BoxStream<'static, Result<Embeddings>> {
        one(self.0.embed(request, context))
    }
}

/// Records each try as an `embeddings` span.
struct EmbeddingsSpan(EmbedderInfo);

impl Observe<Arc<EmbedRequest>, Embeddings> for EmbeddingsSpan {
    fn open(&self, request: &Arc<EmbedRequest>, context: CallContext, identity: Identity) -> (CallContext, Hop) {
        let model = request.model.as_deref().unwrap_or(&self.0.model);
        hop!(
            context,
            identity,
            HopKind::Client,
            format!("{} {model}", operation::EMBEDDINGS),
            { attribute::OPERATION_NAME } = operation::EMBEDDINGS,
            { attribute::PROVIDER_NAME } = self.0.provider.as_str(),
            { attribute::REQUEST_MODEL } = model,
            { attribute::USAGE_INPUT_TOKENS } = Empty
        )
    }

    fn item(&self, hop: &Hop, item: &Embeddings, _elapsed: Duration) {
        hop.record(attribute::USAGE_INPUT_TOKENS, item.usage.input_tokens);
    }
}
