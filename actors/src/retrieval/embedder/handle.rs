//! The typed reference users hold.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, CallContext, EmbedRequest, Embedder, EmbedderInfo, Embeddings, Result};
use beluga_runtime::{Ref, Spec};

use super::actor::{EmbedderActor, EmbedderState};
use super::message::{Embed, EmbedderProtocol};
use crate::model::{Again, Models};
use crate::retrieval::policy::CallPolicy;
use crate::retrieval::supervised::{CallState, CallTotals, ask};

/// A reference to a supervised embedder. Stays valid over restarts; cheap to clone.
#[derive(Clone)]
pub struct EmbedderRef {
    state: Arc<EmbedderState>,
    actor: Ref<EmbedderProtocol>,
    again: Arc<Again>,
}

impl EmbedderRef {
    pub(in crate::retrieval) async fn start(
        models: &Models,
        name: &str,
        embedder: Arc<dyn Embedder>,
        policy: CallPolicy,
    ) -> Result<Self> {
        let again = Arc::new(models.again(policy.retry.clone()));
        let breaker = policy.breaker;
        let state = Arc::new(EmbedderState { embedder, calls: Arc::new(CallState::new(policy)) });
        let shared = Arc::clone(&state);
        let mut spec = Spec::new(format!("embedder.{name}"), move || EmbedderActor::new(Arc::clone(&shared))).kept();
        if let Some(config) = breaker {
            spec = spec.breaker(config);
        }
        Ok(Self { state, actor: models.spawn_beside(spec).await?, again })
    }

    /// Returns the name of the actor.
    #[must_use]
    pub fn name(&self) -> &str {
        self.actor.name()
    }

    /// Returns what the calls came to.
    #[must_use]
    pub fn totals(&self) -> CallTotals {
        self.state.calls.totals()
    }

    /// Stops the actor for good.
    pub fn stop(&self) {
        self.actor.stop();
    }
}

impl Embedder for EmbedderRef {
    fn info(&self) -> EmbedderInfo {
        self.state.embedder.info()
    }

    fn embed(&self, request: Arc<EmbedRequest>, cx: CallContext) -> BoxFuture<'static, Result<Embeddings>> {
        let (actor, again) = (self.actor.clone(), Arc::clone(&self.again));
        Box::pin(async move { ask(&actor, || Embed(Arc::clone(&request)), &cx, &again).await })
    }
}

impl fmt::Debug for EmbedderRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbedderRef")
            .field("name", &self.actor.name())
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}
