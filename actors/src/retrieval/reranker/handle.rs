//! The typed reference users hold.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, CallContext, Ranking, RerankRequest, Reranker, RerankerInfo, Result};
use beluga_runtime::{Ref, Spec};

use super::actor::{RerankerActor, RerankerState};
use super::message::{Rerank, RerankerProtocol};
use crate::model::{Again, Models};
use crate::retrieval::policy::CallPolicy;
use crate::retrieval::supervised::{CallState, CallTotals, ask};

/// A reference to a supervised reranker. Stays valid over restarts; cheap to clone.
#[derive(Clone)]
pub struct RerankerRef {
    state: Arc<RerankerState>,
    actor: Ref<RerankerProtocol>,
    again: Arc<Again>,
}

impl RerankerRef {
    pub(in crate::retrieval) async fn start(
        models: &Models,
        name: &str,
        reranker: Arc<dyn Reranker>,
        policy: CallPolicy,
    ) -> Result<Self> {
        let again = Arc::new(models.again(policy.retry.clone()));
        let breaker = policy.breaker;
        let state = Arc::new(RerankerState { reranker, calls: Arc::new(CallState::new(policy)) });
        let shared = Arc::clone(&state);
        let mut spec = Spec::new(format!("reranker.{name}"), move || RerankerActor::new(Arc::clone(&shared))).kept();
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

impl Reranker for RerankerRef {
    fn info(&self) -> RerankerInfo {
        self.state.reranker.info()
    }

    fn rerank(&self, request: Arc<RerankRequest>, cx: CallContext) -> BoxFuture<'static, Result<Ranking>> {
        let (actor, again) = (self.actor.clone(), Arc::clone(&self.again));
        Box::pin(async move { ask(&actor, || Rerank(Arc::clone(&request)), &cx, &again).await })
    }
}

impl fmt::Debug for RerankerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RerankerRef")
            .field("name", &self.actor.name())
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}
