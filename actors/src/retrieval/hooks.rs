//! Where an application may observe or alter what is embedded and ranked.

use std::fmt;
use std::sync::Arc;

use beluga_core::{
    BoxFuture, CallContext, EmbedRequest, Embedder, EmbedderInfo, Embeddings, Ranking, RerankRequest, Reranker,
    RerankerInfo, Result,
};

/// Observes or alters the calls of an embedder. Every method does nothing by default. Runs in the call's task; must not
/// block.
///
/// Hooks compose: a `Vec<Arc<dyn EmbedderHooks>>` is itself hooks, called in order.
pub trait EmbedderHooks: fmt::Debug + Send + Sync + 'static {
    /// Sees a request before it is sent, and may change or refuse it. As many texts as came must stay, in their order.
    ///
    /// # Errors
    /// Ends the call with this error; nothing is sent.
    fn before_embed(&self, request: &mut EmbedRequest) -> Result<()> {
        let _ = request;
        Ok(())
    }

    /// Sees the vectors, and may change or refuse them.
    ///
    /// # Errors
    /// The error the caller sees.
    fn after_embed(&self, request: &EmbedRequest, embeddings: &mut Embeddings) -> Result<()> {
        let _ = (request, embeddings);
        Ok(())
    }
}

impl EmbedderHooks for Vec<Arc<dyn EmbedderHooks>> {
    fn before_embed(&self, request: &mut EmbedRequest) -> Result<()> {
        self.iter().try_for_each(|hooks| hooks.before_embed(request))
    }

    fn after_embed(&self, request: &EmbedRequest, embeddings: &mut Embeddings) -> Result<()> {
        self.iter().try_for_each(|hooks| hooks.after_embed(request, embeddings))
    }
}

/// Observes or alters the calls of a reranker. Every method does nothing by default. Runs in the call's task; must not
/// block.
///
/// Hooks compose: a `Vec<Arc<dyn RerankerHooks>>` is itself hooks, called in order.
pub trait RerankerHooks: fmt::Debug + Send + Sync + 'static {
    /// Sees a request before it is sent, and may change or refuse it. The documents must stay in their places.
    ///
    /// # Errors
    /// Ends the call with this error; nothing is sent.
    fn before_rerank(&self, request: &mut RerankRequest) -> Result<()> {
        let _ = request;
        Ok(())
    }

    /// Sees the ranking, and may change or refuse it.
    ///
    /// # Errors
    /// The error the caller sees.
    fn after_rerank(&self, request: &RerankRequest, ranking: &mut Ranking) -> Result<()> {
        let _ = (request, ranking);
        Ok(())
    }
}

impl RerankerHooks for Vec<Arc<dyn RerankerHooks>> {
    fn before_rerank(&self, request: &mut RerankRequest) -> Result<()> {
        self.iter().try_for_each(|hooks| hooks.before_rerank(request))
    }

    fn after_rerank(&self, request: &RerankRequest, ranking: &mut Ranking) -> Result<()> {
        self.iter().try_for_each(|hooks| hooks.after_rerank(request, ranking))
    }
}

/// An embedder with hooks round it: a bare one, or the reference to a supervised one.
#[derive(Debug, Clone)]
pub struct HookedEmbedder {
    inner: Arc<dyn Embedder>,
    hooks: Arc<dyn EmbedderHooks>,
}

impl HookedEmbedder {
    /// Puts hooks round an embedder.
    #[must_use]
    pub fn new(inner: impl Embedder, hooks: impl EmbedderHooks) -> Self {
        Self { inner: Arc::new(inner), hooks: Arc::new(hooks) }
    }
}

impl Embedder for HookedEmbedder {
    fn info(&self) -> EmbedderInfo {
        self.inner.info()
    }

    fn embed(&self, request: Arc<EmbedRequest>, cx: CallContext) -> BoxFuture<'static, Result<Embeddings>> {
        let Self { inner, hooks } = self.clone();
        Box::pin(async move {
            let mut request = Arc::unwrap_or_clone(request);
            hooks.before_embed(&mut request)?;
            let request = Arc::new(request);
            let mut embeddings = inner.embed(Arc::clone(&request), cx).await?;
            hooks.after_embed(&request, &mut embeddings)?;
            Ok(embeddings)
        })
    }
}

/// A reranker with hooks round it: a bare one, or the reference to a supervised one.
#[derive(Debug, Clone)]
pub struct HookedReranker {
    inner: Arc<dyn Reranker>,
    hooks: Arc<dyn RerankerHooks>,
}

impl HookedReranker {
    /// Puts hooks round a reranker.
    #[must_use]
    pub fn new(inner: impl Reranker, hooks: impl RerankerHooks) -> Self {
        Self { inner: Arc::new(inner), hooks: Arc::new(hooks) }
    }
}

impl Reranker for HookedReranker {
    fn info(&self) -> RerankerInfo {
        self.inner.info()
    }

    fn rerank(&self, request: Arc<RerankRequest>, cx: CallContext) -> BoxFuture<'static, Result<Ranking>> {
        let Self { inner, hooks } = self.clone();
        Box::pin(async move {
            let mut request = Arc::unwrap_or_clone(request);
            hooks.before_rerank(&mut request)?;
            let request = Arc::new(request);
            let mut ranking = inner.rerank(Arc::clone(&request), cx).await?;
            hooks.after_rerank(&request, &mut ranking)?;
            Ok(ranking)
        })
    }
}
