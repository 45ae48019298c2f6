//! How a model reacts: it admits a call, starts a job for it or makes it itself, and accounts for what it cost.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use beluga_core::{
    CallContext, ChatModel, Error, ModelChunk, ModelRequest, Result, TokenEstimate, Usage, prompt_tokens,
};
use beluga_runtime::service::{
    Admission, Concurrency, ProviderStack, RateLimiter, SharedService, TenantLimits, layered, log,
};
use beluga_runtime::{Actor, Cx, Silent, Sink, StatusSource, StreamHandler, task, time};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::hooks::hooked;
use super::message::{Generate, ModelProtocol};
use super::observe::{ChatSpan, ModelService};
use super::policy::ModelPolicy;
use crate::budget::TRY_TIME_DEFAULT;

/// How many calls may wait for one of the calls at once.
const WAITING_MAX: usize = 1024;

/// The supervisor of all models of a node.
pub(crate) struct ProvidersActor;

impl Actor for ProvidersActor {
    type Protocol = Silent;
    const KIND: &'static str = "providers";
}

/// What a model's actor shares with its successors: made once, by whoever spawns it.
pub(crate) struct ModelState {
    pub(crate) model: Arc<dyn ChatModel>,
    pub(crate) policy: ModelPolicy,
    admission: Arc<Admission>,
    concurrency: Option<Arc<Concurrency>>,
    rate: Option<Arc<RateLimiter>>,
    tenant_rate: Option<Arc<TenantLimits>>,
    totals: Totals,
}

/// What the calls of one model came to since it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelTotals {
    /// The name of its actor.
    pub name: String,
    /// The vendor.
    pub provider: String,
    /// Calls that ended with an answer.
    pub answered: u64,
    /// Calls that ended with an error, after all tries.
    pub failed: u64,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

#[derive(Default)]
struct Totals {
    calls: AtomicU64,
    answers: AtomicU64,
    failures: AtomicU64,
    input_tokens: AtomicU64,
    output_tokens: AtomicU64,
}

impl ModelState {
    pub(crate) fn new(model: Arc<dyn ChatModel>, policy: ModelPolicy) -> Self {
        Self {
            admission: Admission::new(policy.admission.max(1)),
            concurrency: policy.max_concurrent.map(|max| Concurrency::new(max.max(1), WAITING_MAX)),
            rate: policy.rate.map(RateLimiter::new),
            tenant_rate: tenant_limits(&policy),
            totals: Totals::default(),
            model,
            policy,
        }
    }
}

/// Makes the limits of tenants, if there are any.
fn tenant_limits(policy: &ModelPolicy) -> Option<Arc<TenantLimits>> {
    let is_limited = policy.tenant_rate.is_some() || !policy.tier_rates.is_empty();
    let others = policy.tenant_rate.unwrap_or_default();
    is_limited.then(|| TenantLimits::tiered(others, policy.tier_rates.clone()))
}

impl Totals {
    fn spend(&self, usage: Usage) {
        self.input_tokens.fetch_add(usage.input_tokens, Ordering::Relaxed);
        self.output_tokens.fetch_add(usage.output_tokens, Ordering::Relaxed);
    }
}

impl ModelState {
    pub(crate) fn totals(&self, name: &str) -> ModelTotals {
        ModelTotals {
            name: name.to_owned(),
            provider: self.model.info().provider,
            answered: self.totals.answers.load(Ordering::Relaxed),
            failed: self.totals.failures.load(Ordering::Relaxed),
            input_tokens: self.totals.input_tokens.load(Ordering::Relaxed),
            output_tokens: self.totals.output_tokens.load(Ordering::Relaxed),
        }
    }

    fn status(&self) -> Value {
        let (info, totals) = (self.model.info(), &self.totals);
        json!({
            "provider": info.provider, "model": info.model, "in_flight": self.admission.in_flight(),
            "calls": totals.calls.load(Ordering::Relaxed), "failures": totals.failures.load(Ordering::Relaxed),
            "input_tokens": totals.input_tokens.load(Ordering::Relaxed),
            "output_tokens": totals.output_tokens.load(Ordering::Relaxed),
        })
    }
}

/// The actor of one model, or one of its workers.
pub(crate) struct ModelActor {
    state: Arc<ModelState>,
    service: Option<SharedService<Arc<ModelRequest>, ModelChunk>>,
}

impl ModelActor {
    pub(crate) fn new(state: Arc<ModelState>) -> Self {
        Self { state, service: None }
    }
}

impl Actor for ModelActor {
    type Protocol = ModelProtocol;
    const KIND: &'static str = "model";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        let state = &self.state;
        let stack = ProviderStack {
            admission: Some(Arc::clone(&state.admission)),
            retry: state.policy.retry.clone(),
            observer: (!state.policy.relays).then(|| Arc::new(ChatSpan(state.model.info())) as _),
            breaker: cx.breaker(),
            budget: state.policy.budgets.as_ref().map(|budgets| {
                let try_time = state.policy.timeout.and_then(|timeout| timeout.total).unwrap_or(TRY_TIME_DEFAULT);
                budgets.layer_within(&state.model.info(), try_time)
            }),
            tenant_limits: state.tenant_rate.clone(),
            weigh: Some(Arc::new(|request: &Arc<ModelRequest>| prompt_tokens(&TokenEstimate, request))),
            concurrency: state.concurrency.clone(),
            rate_limit: state.rate.clone(),
            timeout: state.policy.timeout,
        };
        let provider = Arc::new(ModelService(Arc::clone(&state.model)));
        let mut service = stack.stack(provider, cx.system().random());
        if state.policy.log {
            service = log(service, cx.name());
        }
        if !state.policy.hooks.is_empty() {
            service = hooked(service, Arc::new(state.policy.hooks.clone()));
        }
        self.service = Some(layered(service, &state.policy.layers));
        Ok(())
    }

    fn status(&self) -> Option<StatusSource> {
        let state = Arc::clone(&self.state);
        Some(StatusSource::new(move || state.status()))
    }
}

impl StreamHandler<Generate> for ModelActor {
    async fn handle(&mut self, Generate(request): Generate, sink: Sink<ModelChunk>, cx: &mut Cx<Self>) -> Result<()> {
        let Some(service) = self.service.clone() else {
            return Err(Error::internal("the model is not started"));
        };
        let call = self.state.totals.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let context = cx.context().clone();
        let generation = generation(Arc::clone(&self.state), service, request, context.clone(), sink);
        if self.state.policy.pool.is_none() {
            drop(cx.job("generation", call.to_string(), &context, move |_| generation));
            return Ok(());
        }
        // The worker is busy until the call has ended; a panic is the call's and not the worker's.
        let ended = AssertUnwindSafe(time::within(&context, generation)).catch_unwind().await;
        ended.unwrap_or_else(|panic| {
            let error = task::panicked("generation", panic.as_ref());
            tracing::error!(model = cx.name(), %error, "a generation panicked");
            // As with a job: the sink is gone, and the reader hears of an unknown outcome.
            Ok(Ok(()))
        })?
    }
}

/// Makes one call: gives its chunks to the reader and accounts for what they cost.
async fn generation(
    state: Arc<ModelState>,
    service: SharedService<Arc<ModelRequest>, ModelChunk>,
    request: Arc<ModelRequest>,
    context: CallContext,
    sink: Sink<ModelChunk>,
) -> Result<()> {
    let mut stream = service.call(request, context);
    let mut usage = Usage::default();
    while let Some(item) = stream.next().await {
        match item {
            Ok(chunk) => {
                if let (ModelChunk::Usage(total), false) = (&chunk, state.policy.relays) {
                    usage = *total;
                }
                sink.send(chunk).await?;
            }
            Err(error) => {
                state.totals.failures.fetch_add(1, Ordering::Relaxed);
                state.totals.spend(usage);
                sink.fail(error);
                return Ok(());
            }
        }
    }
    state.totals.answers.fetch_add(1, Ordering::Relaxed);
    state.totals.spend(usage);
    sink.finish();
    Ok(())
}
