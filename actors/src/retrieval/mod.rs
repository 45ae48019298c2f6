//! What retrieval asks of vendors: embedders and rerankers as supervised actors.
//!
//! One actor per vendor and credential, supervised by `providers` beside the models. It admits and accounts and never
//! serialises calls: each is a job. Its breaker lives with its supervisor; its limits are shared by everybody who has the
//! reference, and both survive a restart. An [`EmbedderRef`] is an [`Embedder`] and a [`RerankerRef`] a
//! [`Reranker`]: code cannot tell them from bare providers. [`hooks`] lets an application observe or alter either. Limits:
//! [`CallPolicy`].

pub mod embedder;
pub mod hooks;
mod policy;
pub mod reranker;
mod supervised;

pub use embedder::EmbedderRef;
pub use hooks::{EmbedderHooks, HookedEmbedder, HookedReranker, RerankerHooks};
pub use policy::CallPolicy;
pub use reranker::RerankerRef;
pub use supervised::CallTotals;

use std::sync::Arc;

use beluga_core::{Embedder, Reranker, Result};

use crate::model::Models;

/// Puts embedders and rerankers under supervision.
///
/// ```
/// # use std::sync::Arc;
/// use beluga_actors::model::Models;
/// use beluga_actors::retrieval::{CallPolicy, Retrievals};
/// use beluga_actors::testkit::FunctionEmbedder;
/// use beluga_core::{CallContext, EmbedKind, Embedder};
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let lengths = FunctionEmbedder::new(|text| Ok(vec![text.len() as f32]));
/// let retrievals = Retrievals::new(&Models::start(&system).await?);
/// let embedder = retrievals.embedder("lengths", Arc::new(lengths), CallPolicy::default()).await?;
/// let vector = embedder.embed_one("panda", EmbedKind::Query, CallContext::new()).await?;
/// assert_eq!((vector, embedder.totals().answered), (vec![5.0], 1));
/// system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Retrievals {
    models: Models,
}

impl Retrievals {
    /// Takes the supervisor of models for that of what retrieval asks too.
    #[must_use]
    pub fn new(models: &Models) -> Self {
        Self { models: models.clone() }
    }

    /// Puts an embedder under supervision; its actor is called `embedder.NAME`.
    ///
    /// # Errors
    /// `conflict` if the name is taken.
    pub async fn embedder(&self, name: &str, embedder: Arc<dyn Embedder>, policy: CallPolicy) -> Result<EmbedderRef> {
        EmbedderRef::start(&self.models, name, embedder, policy).await
    }

    /// Puts a reranker under supervision; its actor is called `reranker.NAME`.
    ///
    /// # Errors
    /// `conflict` if the name is taken.
    pub async fn reranker(&self, name: &str, reranker: Arc<dyn Reranker>, policy: CallPolicy) -> Result<RerankerRef> {
        RerankerRef::start(&self.models, name, reranker, policy).await
    }
}
