//! An embedder and a reranker made of closures.

use std::fmt;
use std::sync::Arc;

use beluga_core::{
    BoxFuture, CallContext, EmbedRequest, Embedder, EmbedderInfo, Embeddings, Ranked, Ranking, RerankRequest, Reranker,
    RerankerInfo, Result,
};
use parking_lot::Mutex;

type Embed = dyn Fn(&str) -> Result<Vec<f32>> + Send + Sync;
type Score = dyn Fn(&str, &str) -> Result<f64> + Send + Sync;

/// An embedder made of a function from a text to its vector, that keeps what it was asked.
#[derive(Clone)]
pub struct FunctionEmbedder {
    embed: Arc<Embed>,
    requests: Arc<Mutex<Vec<Arc<EmbedRequest>>>>,
}

impl FunctionEmbedder {
    /// Makes an embedder; an error ends the call it comes in.
    #[must_use]
    pub fn new(embed: impl Fn(&str) -> Result<Vec<f32>> + Send + Sync + 'static) -> Self {
        Self { embed: Arc::new(embed), requests: Arc::default() }
    }

    /// Returns what it was asked, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<EmbedRequest>> {
        self.requests.lock().clone()
    }
}

impl Embedder for FunctionEmbedder {
    fn info(&self) -> EmbedderInfo {
        EmbedderInfo { provider: "beluga.test".into(), model: "function".into(), dimensions: None }
    }

    fn embed(&self, request: Arc<EmbedRequest>, cx: CallContext) -> BoxFuture<'static, Result<Embeddings>> {
        let this = self.clone();
        Box::pin(async move {
            cx.check(beluga_runtime::time::now())?;
            request.check()?;
            this.requests.lock().push(Arc::clone(&request));
            let vectors = request.texts.iter().map(|text| (this.embed)(text)).collect::<Result<_>>()?;
            Ok(Embeddings { vectors, ..Embeddings::default() })
        })
    }
}

impl fmt::Debug for FunctionEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionEmbedder").field("requests", &self.requests.lock().len()).finish_non_exhaustive()
    }
}

/// A reranker made of a function from query and document to a score, that keeps what it was asked.
#[derive(Clone)]
pub struct FunctionReranker {
    score: Arc<Score>,
    requests: Arc<Mutex<Vec<Arc<RerankRequest>>>>,
}

impl FunctionReranker {
    /// Makes a reranker; an error ends the call it comes in.
    #[must_use]
    pub fn new(score: impl Fn(&str, &str) -> Result<f64> + Send + Sync + 'static) -> Self {
        Self { score: Arc::new(score), requests: Arc::default() }
    }

    /// Returns what it was asked, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<RerankRequest>> {
        self.requests.lock().clone()
    }
}

impl Reranker for FunctionReranker {
    fn info(&self) -> RerankerInfo {
        RerankerInfo { provider: "beluga.test".into(), model: "function".into() }
    }

    fn rerank(&self, request: Arc<RerankRequest>, cx: CallContext) -> BoxFuture<'static, Result<Ranking>> {
        let this = self.clone();
        Box::pin(async move {
            cx.check(beluga_runtime::time::now())?;
            request.check()?;
            this.requests.lock().push(Arc::clone(&request));
            let score = |(index, document): (usize, &String)| {
                let score = (this.score)(&request.query, document)?;
                Ok(Ranked { index, score, extra: beluga_core::Extra::new() })
            };
            let ranked = request.documents.iter().enumerate().map(score).collect::<Result<_>>()?;
            Ranking { ranked, ..Ranking::default() }.in_order(&request)
        })
    }
}

impl fmt::Debug for FunctionReranker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionReranker").field("requests", &self.requests.lock().len()).finish_non_exhaustive()
    }
}
