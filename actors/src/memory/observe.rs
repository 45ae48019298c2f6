//! The span of one operation on memory, as its caller sees it.

use std::future::Future;

use beluga_core::{CallContext, MemoryOwner, Result};
use beluga_runtime::telemetry::names::{attribute, operation};
use beluga_runtime::telemetry::{HopKind, Identity};
use beluga_runtime::{SystemRandom, hop};

/// Gives the spans of one tier.
#[derive(Debug, Clone)]
pub(in crate::memory) struct MemorySpan {
    tier: &'static str,
    random: SystemRandom,
}

impl MemorySpan {
    pub(in crate::memory) fn new(tier: &'static str, random: &SystemRandom) -> Self {
        Self { tier, random: random.clone() }
    }

    /// Runs an operation, one of [`operation`], as a child of the call; it is given the context to go on with.
    pub(in crate::memory) async fn record<T, F: Future<Output = Result<T>>>(
        &self,
        operation: &'static str,
        owner: &MemoryOwner,
        context: CallContext,
        work: impl FnOnce(CallContext) -> F,
    ) -> Result<T> {
        let identity = Identity::child_of(&context, &self.random);
        let (context, span) = hop!(
            context,
            identity,
            HopKind::Internal,
            format!("{operation} {}", self.tier),
            { attribute::OPERATION_NAME } = operation,
            { attribute::AGENT_NAME } = owner.agent.as_str(),
            { attribute::MEMORY_TIER } = self.tier
        );
        let span = span.guard(&context);
        let outcome = work(context).await;
        span.settle(&outcome);
        outcome
    }
}

/// Returns the context of whoever asks for an owner's memory by hand.
pub(in crate::memory) fn context_of(owner: &MemoryOwner) -> CallContext {
    CallContext::new().with_tenant(owner.tenant.clone())
}

pub(in crate::memory) use operation::{DELETE_MEMORY, LOAD_MEMORY, SEARCH_MEMORY, UPSERT_MEMORY};
