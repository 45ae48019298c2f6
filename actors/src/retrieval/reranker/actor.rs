//! How a reranker reacts: it admits a call, starts a job for it, and accounts for what it cost.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    BoxStream, CallContext, Ranking, RerankRequest, Reranker, RerankerInfo, Result, TokenEstimate, Tokenizer,
};
use beluga_runtime::hop;
use beluga_runtime::service::{Observe, Service, SharedService, one};
use beluga_runtime::telemetry::names::{attribute, operation};
use beluga_runtime::telemetry::{Hop, HopKind, Identity};
use beluga_runtime::{Actor, Cx, Sink, StatusSource, StreamHandler};
use tracing::field::Empty;

use super::message::{Rerank, RerankerProtocol};
use crate::retrieval::supervised::{CallState, not_started};

/// What the actor shares with its successors.
pub(super) struct RerankerState {
    pub(super) reranker: Arc<dyn Reranker>,
    pub(super) calls: Arc<CallState>,
}

/// The actor of one reranker.
pub(super) struct RerankerActor {
    state: Arc<RerankerState>,
    service: Option<SharedService<Arc<RerankRequest>, Ranking>>,
}

impl RerankerActor {
    pub(super) fn new(state: Arc<RerankerState>) -> Self {
        Self { state, service: None }
    }
}

impl Actor for RerankerActor {
    type Protocol = RerankerProtocol;
    const KIND: &'static str = "reranker";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        let reranker = Arc::clone(&self.state.reranker);
        let span = Arc::new(RerankSpan(reranker.info()));
        self.service = Some(self.state.calls.stack(Arc::new(RerankService(reranker)), span, Some(Arc::new(weigh)), cx));
        Ok(())
    }

    fn status(&self) -> Option<StatusSource> {
        let state = Arc::clone(&self.state);
        Some(StatusSource::new(move || {
            let info = state.reranker.info();
            state.calls.status(&info.provider, &info.model)
        }))
    }
}

impl StreamHandler<Rerank> for RerankerActor {
    async fn handle(&mut self, Rerank(request): Rerank, sink: Sink<Ranking>, cx: &mut Cx<Self>) -> Result<()> {
        let service = self.service.as_ref().ok_or_else(not_started)?;
        self.state.calls.start("ranking", service, request, sink, cx);
        Ok(())
    }
}

/// Returns about how many tokens a request has, before a vendor tells: the query is read with each document.
fn weigh(request: &Arc<RerankRequest>) -> u64 {
    let query = TokenEstimate.count(&request.query);
    request
        .documents
        .iter()
        .fold(0, |sum: u64, text| sum.saturating_add(query).saturating_add(TokenEstimate.count(text)))
}

/// A reranker as the innermost service.
struct RerankService(Arc<dyn Reranker>);

impl Service<Arc<RerankRequest>> for RerankService {
    type Item = Ranking;

    fn call(&self, request: Arc<RerankRequest>, context: CallContext) -> BoxStream<'static, Result<Ranking>> {
        one(self.0.rerank(request, context))
    }
}

/// Records each try as a `retrieval` span.
struct RerankSpan(RerankerInfo);

impl Observe<Arc<RerankRequest>, Ranking> for RerankSpan {
    fn open(&self, request: &Arc<RerankRequest>, context: CallContext, identity: Identity) -> (CallContext, Hop) {
        let model = request.model.as_deref().unwrap_or(&self.0.model);
        hop!(
            context,
            identity,
            HopKind::Client,
            format!("{} {model}", operation::RETRIEVAL),
            { attribute::OPERATION_NAME } = operation::RETRIEVAL,
            { attribute::PROVIDER_NAME } = self.0.provider.as_str(),
            { attribute::REQUEST_MODEL } = model,
            { attribute::USAGE_INPUT_TOKENS } = Empty
        )
    }

    fn item(&self, hop: &Hop, item: &Ranking, _elapsed: Duration) {
        hop.record(attribute::USAGE_INPUT_TOKENS, item.usage.input_tokens);
    }
}
