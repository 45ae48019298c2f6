//! What the actors of embedders and rerankers share: limits that survive them, totals, the stack of layers, and the call
//! from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::{CallContext, Error, Result};
use beluga_runtime::service::{
    Admission, Concurrency, Content, Observe, ProviderStack, RateLimiter, SharedService, TenantLimits, TimeoutConfig,
    Weigh, first, log,
};
use beluga_runtime::{Accepts, Actor, Cx, Ref, Sink, StreamMessage, time};
use serde_json::{Value, json};

use super::policy::CallPolicy;
use crate::model::Again;

/// How many calls may wait for one of the calls at once.
const WAITING_MAX: usize = 1024;

/// What an actor shares with its successors: made once, by whoever starts it.
pub(super) struct CallState {
    pub(super) policy: CallPolicy,
    admission: Arc<Admission>,
    concurrency: Option<Arc<Concurrency>>,
    rate: Option<Arc<RateLimiter>>,
    tenant_rate: Option<Arc<TenantLimits>>,
    calls: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    input_tokens: AtomicU64,
}

/// What the calls of one embedder or reranker came to since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTotals {
    /// Calls that ended with an answer.
    pub answered: u64,
    /// Calls that ended with an error, after all tries.
    pub failed: u64,
    /// Tokens read, as far as the vendor tells.
    pub input_tokens: u64,
}

impl CallState {
    pub(super) fn new(policy: CallPolicy) -> Self {
        Self {
            admission: Admission::new(policy.admission.max(1)),
            concurrency: policy.max_concurrent.map(|max| Concurrency::new(max.max(1), WAITING_MAX)),
            rate: policy.rate.map(RateLimiter::new),
            tenant_rate: policy.tenant_rate.map(TenantLimits::new),
            calls: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            input_tokens: AtomicU64::new(0),
            policy,
        }
    }

    pub(super) fn totals(&self) -> CallTotals {
        CallTotals {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            input_tokens: self.input_tokens.load(Ordering::Relaxed),
        }
    }

    /// Returns what a status shows, beside who it is.
    pub(super) fn status(&self, provider: &str, model: &str) -> Value {
        let totals = self.totals();
        json!({
            "provider": provider, "model": model, "in_flight": self.admission.in_flight(),
            "calls": self.calls.load(Ordering::Relaxed), "failures": totals.failed,
            "input_tokens": totals.input_tokens,
        })
    }

    /// Stacks the layers on a provider.
    pub(super) fn stack<A, Req, Item>(
        &self,
        provider: SharedService<Req, Item>,
        observer: Arc<dyn Observe<Req, Item>>,
        weigh: Option<Weigh<Req>>,
        cx: &Cx<A>,
    ) -> SharedService<Req, Item>
    where
        A: Actor,
        Req: Clone + Send + Sync + Unpin + 'static,
        Item: Content + Send + 'static,
    {
        let stack = ProviderStack {
            admission: Some(Arc::clone(&self.admission)),
            retry: self.policy.retry.clone(),
            observer: Some(observer),
            breaker: cx.breaker(),
            budget: None,
            tenant_limits: self.tenant_rate.clone(),
            weigh,
            concurrency: self.concurrency.clone(),
            rate_limit: self.rate.clone(),
            timeout: self.policy.timeout.map(|total: Duration| TimeoutConfig {
                first_item: None,
                gap: None,
                total: Some(total),
            }),
        };
        let service = stack.stack(provider, cx.system().random());
        if self.policy.log { log(service, cx.name()) } else { service }
    }

    /// Starts the job of one call: its answer goes to the caller and into the totals.
    pub(super) fn start<A, Req, Item>(
        self: &Arc<Self>,
        kind: &'static str,
        service: &SharedService<Req, Item>,
        request: Req,
        sink: Sink<Item>,
        cx: &Cx<A>,
    ) where
        A: Actor,
        Req: Send + 'static,
        Item: Content + Send + 'static,
    {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let (state, context) = (Arc::clone(self), cx.context().clone());
        let call = service.call(request, context.clone());
        let job = async move {
            match first(call).await {
                Ok(answer) => {
                    state.answered.fetch_add(1, Ordering::Relaxed);
                    state.input_tokens.fetch_add(answer.weight().unwrap_or_default(), Ordering::Relaxed);
                    sink.send(answer).await?;
                    sink.finish();
                }
                Err(error) => {
                    state.failed.fetch_add(1, Ordering::Relaxed);
                    sink.fail(error);
                }
            }
            Ok(())
        };
        drop(cx.job(kind, number.to_string(), &context, move |_| job));
    }
}

/// Asks an actor for one answer, and again when it died with the question: that has no effect but its cost.
///
/// # Errors
/// What the actor answers; `unknown_outcome` if it died each time.
pub(super) async fn ask<M, P>(
    actor: &Ref<P>,
    message: impl Fn() -> M,
    context: &CallContext,
    again: &Again,
) -> Result<M::Item>
where
    M: StreamMessage,
    P: Accepts<M>,
{
    let mut failed = 0;
    loop {
        let answer = actor.stream(message()).with_context(context).open();
        let error = match first(Box::pin(answer)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        failed += 1;
        let Some(wait) = again.wait(&error, failed, context) else { return Err(error) };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(actor = actor.name(), %error, wait_ms, "the actor died: it is asked again");
        time::within(context, time::sleep(wait)).await?;
    }
}

/// Makes the error of a message that came before the actor was ready.
pub(super) fn not_started() -> Error {
    Error::internal("the actor is not started")
}
