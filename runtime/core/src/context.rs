//! What every call carries: deadline, cancellation, tenant, principal, request id, agent, budget, trace, hops, message
//! id, idempotency key.

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crate::budget::Budget;
use crate::cancel::CancelToken;
use crate::error::{Error, Result};
use crate::id::{AgentName, MessageId, RequestId, TenantId};
use crate::trace::TraceContext;

/// The most actors one call may pass through before it is refused as a loop.
pub const HOPS_MAX: u8 = 64;

/// The context of one call. A clone costs one atomic increment; every change makes a new context.
///
/// A child ([`child`](Self::child)) is cancelled with its parent and never outlives its deadline. The deadline is a
/// monotonic instant of this node; between nodes the remaining time travels.
///
/// ```
/// use std::time::{Duration, Instant};
/// use beluga_core::{CallContext, TenantId};
///
/// let now = Instant::now();
/// let turn = CallContext::new().with_tenant(TenantId::parse("acme").unwrap()).with_timeout(now, Duration::from_secs(60));
/// let model = turn.child().with_timeout(now, Duration::from_secs(90));
/// assert_eq!(model.remaining(now), Some(Duration::from_secs(60)), "a child cannot extend the deadline");
/// turn.cancel_token().cancel();
/// assert!(model.check(now).is_err());
/// ```
#[derive(Clone)]
pub struct CallContext(Arc<Fields>);

#[derive(Clone)]
struct Fields {
    deadline: Option<Instant>,
    cancel: CancelToken,
    caller: Arc<Caller>,
    trace: TraceContext,
    hops: u8,
    message: Option<MessageId>,
    idempotency_key: Option<Arc<str>>,
}

/// Who asks: the same for every call of one request, so that a child shares it.
#[derive(Clone)]
struct Caller {
    tenant: TenantId,
    tier: Option<Arc<str>>,
    principal: Option<Arc<str>>,
    request: Option<RequestId>,
    /// On whose behalf, and within which limits: set once a turn runs.
    spender: Option<Arc<Spender>>,
}

/// The agent that spends, and its budget.
#[derive(Clone)]
struct Spender {
    agent: Option<AgentName>,
    budget: Option<Arc<dyn Budget>>,
}

impl Caller {
    /// Returns the one caller nothing is known of.
    fn unknown() -> Arc<Self> {
        static UNKNOWN: LazyLock<Arc<Caller>> = LazyLock::new(|| {
            Arc::new(Caller { tenant: TenantId::default(), tier: None, principal: None, request: None, spender: None })
        });
        Arc::clone(&UNKNOWN)
    }
}

impl CallContext {
    /// Makes a context without deadline, of the default tenant, with its own cancellation tree.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Fields {
            deadline: None,
            cancel: CancelToken::new(),
            caller: Caller::unknown(),
            trace: TraceContext::default(),
            hops: 0,
            message: None,
            idempotency_key: None,
        }))
    }

    /// Returns the one context shared by every `tell` without a parent. Cancelling its token is a bug.
    #[must_use]
    pub fn root() -> &'static Self {
        static ROOT: LazyLock<CallContext> = LazyLock::new(CallContext::new);
        &ROOT
    }

    /// Makes the context of a call made on behalf of this one: own cancellation below this one, one hop more.
    ///
    /// Message id and idempotency key belong to one call and are not inherited.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(Arc::new(Fields {
            deadline: self.0.deadline,
            cancel: self.0.cancel.child(),
            caller: Arc::clone(&self.0.caller),
            trace: self.0.trace,
            hops: self.0.hops.saturating_add(1),
            message: None,
            idempotency_key: None,
        }))
    }

    /// Makes the context of one call: on behalf of `parent` (one hop more; message id and idempotency key go along) or
    /// of nobody, under its own token, which should be below the parent's, and with the earlier deadline of both.
    #[must_use]
    pub fn of_call(parent: Option<&Self>, cancel: CancelToken, deadline: Option<Instant>) -> Self {
        let Some(Self(parent)) = parent else {
            return Self(Arc::new(Fields {
                deadline,
                cancel,
                caller: Caller::unknown(),
                trace: TraceContext::default(),
                hops: 0,
                message: None,
                idempotency_key: None,
            }));
        };
        let deadline = match (deadline, parent.deadline) {
            (Some(own), Some(parents)) => Some(own.min(parents)),
            (own, parents) => own.or(parents),
        };
        Self(Arc::new(Fields {
            deadline,
            cancel,
            caller: Arc::clone(&parent.caller),
            trace: parent.trace,
            hops: parent.hops.saturating_add(1),
            message: parent.message,
            idempotency_key: parent.idempotency_key.clone(),
        }))
    }

    fn edit(mut self, change: impl FnOnce(&mut Fields)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Sets the deadline, if it is earlier than the one in force.
    #[must_use]
    pub fn with_deadline(self, deadline: Instant) -> Self {
        if self.0.deadline.is_some_and(|current| current <= deadline) {
            return self;
        }
        self.edit(|fields| fields.deadline = Some(deadline))
    }

    /// Sets the deadline `timeout` after `now`, if that is earlier than the one in force.
    #[must_use]
    pub fn with_timeout(self, now: Instant, timeout: Duration) -> Self {
        match now.checked_add(timeout) {
            Some(deadline) => self.with_deadline(deadline),
            None => self,
        }
    }

    /// Allots a fraction of the time that remains: a model may get 0.6, tools 0.3 of the rest.
    ///
    /// Without a deadline there is nothing to allot. With no time left the result is already cancelled.
    #[must_use]
    pub fn allot(&self, now: Instant, fraction: f64) -> Self {
        let child = self.child();
        let Some(remaining) = self.remaining(now) else { return child };
        let share = remaining.mul_f64(fraction.clamp(0.0, 1.0));
        if share.is_zero() {
            child.cancel_token().cancel();
        }
        child.with_timeout(now, share)
    }

    /// Replaces the tenant; the tier of another one is forgotten.
    #[must_use]
    pub fn with_tenant(self, tenant: TenantId) -> Self {
        if self.0.caller.tenant == tenant {
            return self;
        }
        self.edit(|fields| {
            let caller = Arc::make_mut(&mut fields.caller);
            (caller.tenant, caller.tier) = (tenant, None);
        })
    }

    /// Sets the tenant's service tier, as the configuration names it; it chooses limits and is for policies to read.
    #[must_use]
    pub fn with_tier(self, tier: impl Into<Arc<str>>) -> Self {
        self.edit(|fields| Arc::make_mut(&mut fields.caller).tier = Some(tier.into()))
    }

    /// Sets the agent on whose behalf the call is made.
    #[must_use]
    pub fn with_agent(self, agent: AgentName) -> Self {
        if self.agent() == Some(&agent) {
            return self;
        }
        let budget = self.budget().cloned();
        self.edit(|fields| {
            Arc::make_mut(&mut fields.caller).spender = Some(Arc::new(Spender { agent: Some(agent), budget }));
        })
    }

    /// Sets the budget of the call and of everything done for it, in place of the one in force. One that is to stay
    /// within that one is made below it.
    #[must_use]
    pub fn with_budget(self, budget: Arc<dyn Budget>) -> Self {
        let agent = self.agent().cloned();
        self.edit(|fields| {
            Arc::make_mut(&mut fields.caller).spender = Some(Arc::new(Spender { agent, budget: Some(budget) }));
        })
    }

    /// Takes over who asks from another call: tenant, tier, principal, request id, agent and budget.
    #[must_use]
    pub fn with_caller_of(self, other: &Self) -> Self {
        let caller = Arc::clone(&other.0.caller);
        self.edit(|fields| fields.caller = caller)
    }

    /// Replaces the principal: who asks, as the face authenticated it.
    #[must_use]
    pub fn with_principal(self, principal: impl Into<Arc<str>>) -> Self {
        self.edit(|fields| Arc::make_mut(&mut fields.caller).principal = Some(principal.into()))
    }

    /// Replaces the request id: what joins everything done for one request from outside.
    #[must_use]
    pub fn with_request_id(self, request: RequestId) -> Self {
        self.edit(|fields| Arc::make_mut(&mut fields.caller).request = Some(request))
    }

    /// Replaces the trace parent.
    #[must_use]
    pub fn with_trace(self, trace: TraceContext) -> Self {
        self.edit(|fields| fields.trace = trace)
    }

    /// Replaces the cancellation token.
    #[must_use]
    pub fn with_cancel(self, cancel: CancelToken) -> Self {
        self.edit(|fields| fields.cancel = cancel)
    }

    /// Replaces how many calls lie between the first caller and this one: for a call that came from another node.
    #[must_use]
    pub fn with_hops(self, hops: u8) -> Self {
        self.edit(|fields| fields.hops = hops)
    }

    /// Names the message, for deduplication.
    #[must_use]
    pub fn with_message(self, message: MessageId) -> Self {
        self.edit(|fields| fields.message = Some(message))
    }

    /// Sets the key under which a repeated call has one effect.
    #[must_use]
    pub fn with_idempotency_key(self, key: impl Into<Arc<str>>) -> Self {
        self.edit(|fields| fields.idempotency_key = Some(key.into()))
    }

    /// Returns the deadline, a monotonic instant of this node.
    #[must_use]
    #[inline]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// Returns the time left at `now`; zero once the deadline passed, `None` without one.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(now))
    }

    /// Returns whether both handles are the same context.
    #[must_use]
    #[inline]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the cancellation token of this call.
    #[must_use]
    #[inline]
    pub fn cancel_token(&self) -> &CancelToken {
        &self.0.cancel
    }

    /// Returns whether this call, or one above it, was cancelled.
    #[must_use]
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancel.is_cancelled()
    }

    /// Returns the tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.caller.tenant
    }

    /// Returns the tenant's service tier, if it is known.
    #[must_use]
    pub fn tier(&self) -> Option<&str> {
        self.0.caller.tier.as_deref()
    }

    /// Returns who asks, if a face authenticated somebody.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        self.0.caller.principal.as_deref()
    }

    /// Returns the id of the request from outside, if the call serves one.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.0.caller.request.as_ref()
    }

    /// Returns the agent on whose behalf the call is made, if it is known.
    #[must_use]
    pub fn agent(&self) -> Option<&AgentName> {
        self.0.caller.spender.as_ref()?.agent.as_ref()
    }

    /// Returns the budget of the call, if it has one.
    #[must_use]
    pub fn budget(&self) -> Option<&Arc<dyn Budget>> {
        self.0.caller.spender.as_ref()?.budget.as_ref()
    }

    /// Returns the trace parent.
    #[must_use]
    pub fn trace(&self) -> TraceContext {
        self.0.trace
    }

    /// Returns how many calls lie between the first caller and this one.
    #[must_use]
    #[inline]
    pub fn hops(&self) -> u8 {
        self.0.hops
    }

    /// Returns the message id, if one was given.
    #[must_use]
    pub fn message(&self) -> Option<MessageId> {
        self.0.message
    }

    /// Returns the idempotency key, if one was given.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.0.idempotency_key.as_deref()
    }

    /// Checks that the call is still wanted.
    ///
    /// # Errors
    /// `cancelled`, `timeout` (deadline passed) or `overloaded` (more than [`HOPS_MAX`] hops: a loop).
    #[inline]
    pub fn check(&self, now: Instant) -> Result<()> {
        let is_late = self.0.deadline.is_some_and(|deadline| deadline <= now);
        if self.is_cancelled() || is_late || self.0.hops > HOPS_MAX {
            return Err(self.unwanted(is_late));
        }
        Ok(())
    }

    /// Names why the call is wanted no more.
    #[cold]
    fn unwanted(&self, is_late: bool) -> Error {
        if self.is_cancelled() {
            return Error::cancelled("the call was cancelled");
        }
        if is_late {
            return Error::timeout("the deadline passed");
        }
        Error::overloaded(format!("more than {HOPS_MAX} hops: the call runs in a circle"))
    }
}

impl Default for CallContext {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("tenant", &self.0.caller.tenant)
            .field("request", &self.0.caller.request)
            .field("deadline", &self.0.deadline)
            .field("cancelled", &self.is_cancelled())
            .field("hops", &self.0.hops)
            .field("trace", &self.0.trace.to_string())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allotment_is_a_share_of_what_remains() {
        let now = Instant::now();
        let call = CallContext::new().with_timeout(now, Duration::from_secs(10));
        assert_eq!(call.allot(now, 0.6).remaining(now), Some(Duration::from_secs(6)));
        let late = now + Duration::from_secs(10);
        assert!(call.allot(late, 0.6).is_cancelled());
        assert!(!CallContext::new().allot(now, 0.6).is_cancelled());
    }

    #[test]
    fn every_call_of_a_request_knows_who_asks() {
        let request = RequestId::parse("req-1").unwrap();
        let face = CallContext::new().with_request_id(request.clone()).with_principal("token");
        let face = face.with_tenant(TenantId::parse("acme").unwrap()).with_tier("gold");
        let other = CallContext::new().with_caller_of(&face.child().child());
        assert_eq!((other.request_id(), other.principal()), (Some(&request), Some("token")));
        assert_eq!((other.tenant().as_str(), other.tier()), ("acme", Some("gold")));
        assert_eq!(other.clone().with_tenant(other.tenant().clone()).tier(), Some("gold"));
        assert_eq!(other.with_tenant(TenantId::default()).tier(), None, "another tenant's is not taken along");
        assert_eq!(CallContext::new().request_id(), None, "one caller is not another");
    }

    #[derive(Debug)]
    struct Endless;

    impl Budget for Endless {
        fn reserve(&self, want: crate::Spend) -> Result<crate::Spend> {
            Ok(want)
        }
        fn settle(&self, _: crate::Spend, _: crate::Spend) {}
        fn limits(&self) -> crate::SpendLimits {
            crate::SpendLimits::NONE
        }
    }

    #[test]
    fn agent_and_budget_go_along_with_the_caller() {
        let (ann, ben) = (AgentName::parse("ann").unwrap(), AgentName::parse("ben").unwrap());
        let budget: Arc<dyn Budget> = Arc::new(Endless);
        let turn = CallContext::new().with_agent(ann.clone()).with_budget(Arc::clone(&budget));
        let other = CallContext::new().with_caller_of(&turn.child());
        assert_eq!(other.agent(), Some(&ann));
        assert!(Arc::ptr_eq(other.budget().unwrap(), &budget));
        let handed = other.clone().with_agent(ben.clone());
        assert_eq!((handed.agent(), other.agent()), (Some(&ben), Some(&ann)));
        assert!(Arc::ptr_eq(handed.budget().unwrap(), &budget), "the budget stays");
        assert!(CallContext::new().budget().is_none());
    }

    #[test]
    fn a_circle_of_calls_is_refused() {
        let now = Instant::now();
        let mut call = CallContext::new();
        for _ in 0..HOPS_MAX {
            call = call.child();
        }
        assert!(call.check(now).is_ok());
        assert_eq!(call.child().check(now).unwrap_err().code(), crate::Code::Overloaded);
    }
}
