//! The typed references users hold: one model, or all models of a node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use beluga_core::{BoxStream, CallContext, ChatModel, Error, ModelChunk, ModelInfo, ModelRequest, Result, Role};
use beluga_runtime::service::RetryConfig;
use beluga_runtime::{Address, Pool, PoolKey, PoolSpec, Protocol, Ref, Silent, Spec, System};
use parking_lot::Mutex;

use super::actor::{ModelActor, ModelState, ModelTotals, ProvidersActor};
use super::again::{Again, Chunks};
use super::message::{Generate, ModelProtocol};
use super::policy::ModelPolicy;

/// A reference to a supervised model. Stays valid over restarts; cheap to clone.
#[derive(Clone)]
pub struct ModelRef {
    info: ModelInfo,
    actor: Ref<ModelProtocol>,
    pool: Option<Pool<ModelProtocol>>,
    again: Arc<Again>,
}

impl ModelRef {
    /// Returns the name of the actor.
    #[must_use]
    pub fn name(&self) -> &str {
        self.actor.name()
    }

    /// Brings the model's pool to that many workers, as [`Pool::resize`].
    ///
    /// # Errors
    /// `unsupported` for a model without a pool, and those of [`Pool::resize`].
    pub async fn resize(&self, workers: usize) -> Result<()> {
        let pool = self.pool.as_ref();
        pool.ok_or_else(|| Error::unsupported("the model has no pool").with("model", self.name()))?
            .resize(workers)
            .await
    }

    /// Stops the actor for good.
    pub fn stop(&self) {
        self.actor.stop();
    }
}

impl ChatModel for ModelRef {
    fn info(&self) -> ModelInfo {
        self.info.clone()
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        Box::pin(Chunks::new(self.actor.clone(), request, cx, Arc::clone(&self.again)))
    }
}

impl fmt::Debug for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelRef").field("name", &self.actor.name()).field("info", &self.info).finish_non_exhaustive()
    }
}

/// The models of a node.
#[derive(Clone)]
pub struct Models {
    system: System,
    root: Address,
    /// For their totals. Weak: a model that ended is forgotten.
    states: Arc<Mutex<BTreeMap<String, Weak<ModelState>>>>,
}

impl Models {
    /// Starts the supervisor of models in a system.
    ///
    /// # Errors
    /// `conflict` if the system has one already.
    pub async fn start(system: &System) -> Result<Self> {
        let root: Ref<Silent> = system.spawn("providers", || ProvidersActor).await?;
        Ok(Self { system: system.clone(), root: root.address()?, states: Arc::default() })
    }

    /// Puts a model under supervision. Its breaker and limits survive its restarts; a call that a restart interrupts
    /// before its first content is asked again, within the policy's tries.
    ///
    /// # Errors
    /// `conflict` if the name is taken, `invalid_input` for a pool without workers or with too many.
    pub async fn spawn(
        &self,
        name: impl Into<String>,
        model: Arc<dyn ChatModel>,
        policy: ModelPolicy,
    ) -> Result<ModelRef> {
        let info = model.info();
        let (breaker, pool) = (policy.breaker, policy.pool);
        let again = Arc::new(self.again(policy.retry.clone()));
        let state = Arc::new(ModelState::new(model, policy));
        let (name, weak) = (name.into(), Arc::downgrade(&state));
        let mut spec = Spec::new(name.as_str(), move || ModelActor::new(Arc::clone(&state))).kept();
        let (actor, pool) = match pool {
            Some(size) => {
                let mut spec = PoolSpec::sized(name.as_str(), size, spec)
                    .key_of_stream::<Generate>(|Generate(request)| conversation(request))
                    .kept();
                if let Some(config) = breaker {
                    spec = spec.breaker(config);
                }
                let pool = self.system.spawn_pool_under(&self.root, spec).await?;
                (pool.actor(), Some(pool))
            }
            None => {
                if let Some(config) = breaker {
                    spec = spec.breaker(config);
                }
                (self.system.spawn_under(&self.root, spec).await?, None)
            }
        };
        let mut states = self.states.lock();
        states.retain(|_, state| state.strong_count() > 0);
        states.insert(name, weak);
        Ok(ModelRef { info, actor, pool, again })
    }

    /// Starts another sort of provider's actor beside the models.
    pub(crate) async fn spawn_beside<P: Protocol>(&self, spec: Spec<P>) -> Result<Ref<P>> {
        self.system.spawn_under(&self.root, spec).await
    }

    /// Returns how a call is asked again when its actor died.
    pub(crate) fn again(&self, retry: Option<RetryConfig>) -> Again {
        Again { retry, random: self.system.random().fork() }
    }

    /// Returns what the calls of each model came to, sorted by name.
    #[must_use]
    pub fn totals(&self) -> Vec<ModelTotals> {
        let states = self.states.lock();
        states.iter().filter_map(|(name, state)| Some(state.upgrade()?.totals(name))).collect()
    }
}

/// Returns the key of the conversation a request belongs to: what was said first, which every later request repeats.
fn conversation(request: &ModelRequest) -> Option<PoolKey> {
    let first = request.messages.iter().find(|message| message.role != Role::System)?;
    Some(PoolKey::of(&first.text()))
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").field("names", &self.states.lock().keys()).finish_non_exhaustive()
    }
}
