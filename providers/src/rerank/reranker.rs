//! The one reranker behind HTTP.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, CallContext, Error, Extra, Ranking, RerankRequest, Reranker, RerankerInfo, Result};
use url::Url;

use super::profile::RerankProfile;
use crate::vendor::{Connection, Posted, below};

/// What is done, for errors.
const OP: &str = "reranker.rerank";

/// A vendor's reranker. A clone is the same reranker.
#[derive(Clone)]
pub(super) struct HttpReranker(pub(super) Arc<Settings>);

/// Everything a call needs besides its request.
pub(super) struct Settings {
    pub(super) profile: RerankProfile,
    pub(super) model: String,
    pub(super) base: Url,
    pub(super) connection: Connection,
    /// Fields of the vendor's own that go with every request.
    pub(super) extra: Extra,
}

impl Reranker for HttpReranker {
    fn info(&self) -> RerankerInfo {
        RerankerInfo { provider: self.0.profile.otel_name.to_owned(), model: self.0.model.clone() }
    }

    fn rerank(&self, request: Arc<RerankRequest>, cx: CallContext) -> BoxFuture<'static, Result<Ranking>> {
        let settings = Arc::clone(&self.0);
        Box::pin(async move { rerank(&settings, &request, &cx).await })
    }
}

impl fmt::Debug for HttpReranker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpReranker")
            .field("provider", &self.0.profile.name)
            .field("model", &self.0.model)
            .finish_non_exhaustive()
    }
}

async fn rerank(settings: &Settings, request: &RerankRequest, cx: &CallContext) -> Result<Ranking> {
    let profile = &settings.profile;
    let named = |error: Error| error.with_op(OP).with("provider", profile.otel_name);
    request.check().map_err(named)?;
    let count = request.documents.len();
    if count > profile.documents_max {
        let max = profile.documents_max;
        return Err(named(Error::invalid_input(format!("{count} documents to rank; the vendor takes at most {max}"))));
    }
    if count == 0 || request.top_n == Some(0) {
        return Ok(Ranking::default());
    }
    let mut extra = settings.extra.clone();
    extra.extend(request.extra.clone());
    let filled = RerankRequest { extra, top_n: request.top_n.map(|top| top.min(count)), ..request.clone() };
    let posted =
        Posted { op: OP, url: below(&settings.base, profile.path), body: profile.encode(&settings.model, &filled) };
    let body = settings.connection.post(posted, cx).await?;
    profile.decode(&body).and_then(|ranking| ranking.in_order(request)).map_err(named)
}
