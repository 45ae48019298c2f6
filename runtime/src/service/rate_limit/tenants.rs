//! The same limits once per tenant, so that one tenant's rush does not starve the others.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use beluga_core::{CallContext, Error, TenantId};
use parking_lot::Mutex;

use super::{Lease, RateLimitConfig, RateLimiter};
use crate::service::gate::{Entry, Gate, gated};
use crate::service::{Content, SharedService};
use crate::time;

/// The most tenants whose limits are remembered at once; those with untouched limits make room.
pub const TENANTS_MAX: usize = 10_000;

/// A [`RateLimiter`] per tenant, made when the tenant first calls.
///
/// See [`tenant_rate_limit`] for an example.
pub struct TenantLimits {
    config: RateLimitConfig,
    tiers: BTreeMap<String, RateLimitConfig>,
    tenants_max: usize,
    limiters: Mutex<HashMap<TenantId, Limited>>,
    /// What tenants without any limit share.
    unlimited: Arc<RateLimiter>,
}

/// A tenant's limiter, and the tier it was made for.
struct Limited {
    tier: Option<Arc<str>>,
    limiter: Arc<RateLimiter>,
}

impl TenantLimits {
    /// Makes limits for up to [`TENANTS_MAX`] tenants. The vendor's pauses are not theirs, so none is made here.
    #[must_use]
    pub fn new(config: RateLimitConfig) -> Arc<Self> {
        Self::with_bound(config, TENANTS_MAX)
    }

    /// Makes limits for up to `tenants_max` tenants.
    #[must_use]
    pub fn with_bound(config: RateLimitConfig, tenants_max: usize) -> Arc<Self> {
        Self::make(config, BTreeMap::new(), tenants_max)
    }

    /// Makes limits by tier for up to [`TENANTS_MAX`] tenants: each tenant of a tier gets those of the tier, all others
    /// get `others`.
    #[must_use]
    pub fn tiered(others: RateLimitConfig, tiers: BTreeMap<String, RateLimitConfig>) -> Arc<Self> {
        Self::make(others, tiers, TENANTS_MAX)
    }

    fn make(config: RateLimitConfig, tiers: BTreeMap<String, RateLimitConfig>, tenants_max: usize) -> Arc<Self> {
        let own = |config: RateLimitConfig| RateLimitConfig { cooldown: None, ..config };
        Arc::new(Self {
            config: own(config),
            tiers: tiers.into_iter().map(|(tier, config)| (tier, own(config))).collect(),
            tenants_max,
            limiters: Mutex::default(),
            unlimited: RateLimiter::new(own(RateLimitConfig::default())),
        })
    }

    /// Returns how many tenants' limits are remembered.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.limiters.lock().len()
    }

    fn limiter(&self, tenant: &TenantId, tier: Option<&str>) -> Option<Arc<RateLimiter>> {
        let config = tier.and_then(|tier| self.tiers.get(tier)).copied().unwrap_or(self.config);
        if config.requests_per_minute.is_none() && config.tokens_per_minute.is_none() {
            return Some(Arc::clone(&self.unlimited));
        }
        let mut limiters = self.limiters.lock();
        if let Some(limited) = limiters.get(tenant).filter(|limited| limited.tier.as_deref() == tier) {
            return Some(Arc::clone(&limited.limiter));
        }
        if limiters.len() >= self.tenants_max {
            let now = time::now();
            limiters.retain(|_, limited| Arc::strong_count(&limited.limiter) > 1 || !limited.limiter.is_idle(now));
        }
        if limiters.len() >= self.tenants_max {
            return None;
        }
        let limiter = RateLimiter::new(config);
        limiters.insert(tenant.clone(), Limited { tier: tier.map(Arc::from), limiter: Arc::clone(&limiter) });
        Some(limiter)
    }
}

impl fmt::Debug for TenantLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantLimits").field("tenants", &self.tenants()).finish_non_exhaustive()
    }
}

/// Lets each tenant's calls pass as its own limits allow. Stacked outside the vendor's limit, where a tenant's waiting
/// calls hold nothing that another tenant needs.
///
/// Errors: as [`rate_limit`](super::rate_limit); `overloaded` if too many tenants call at once.
///
/// ```
/// # use beluga_runtime::service::{RateLimitConfig, TenantLimits, tenant_rate_limit};
/// # use beluga_core::TenantId;
/// # use std::time::Duration;
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let one_a_minute =
///     RateLimitConfig { requests_per_minute: Some(1), wait_max: Duration::ZERO, ..RateLimitConfig::default() };
/// let greeter = service_fn(|(), _| one(async { Ok(Word("hello")) }));
/// let service = tenant_rate_limit(greeter, TenantLimits::new(one_a_minute));
/// let call = |tenant: &str| CallContext::new().with_tenant(TenantId::parse(tenant).unwrap());
/// assert!(first(service.call((), call("ann"))).await.is_ok());
/// let refused = first(service.call((), call("ann"))).await.err().unwrap();
/// assert_eq!(refused.code(), Code::RateLimit);
/// assert!(first(service.call((), call("ben"))).await.is_ok(), "another tenant does not notice");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn tenant_rate_limit<Req, Item>(
    inner: SharedService<Req, Item>,
    limits: Arc<TenantLimits>,
) -> SharedService<Req, Item>
where
    Req: Send + Unpin + 'static,
    Item: Content + Send + 'static,
{
    gated(inner, limits)
}

impl Gate for TenantLimits {
    type Pass = Lease;

    fn enter(self: &Arc<Self>, context: &CallContext) -> Entry<Lease> {
        self.enter_weighed(context, &|| 0)
    }

    fn enter_weighed(self: &Arc<Self>, context: &CallContext, weight: &dyn Fn() -> u64) -> Entry<Lease> {
        match self.limiter(context.tenant(), context.tier()) {
            Some(limiter) => limiter.admit(context, weight),
            None => Entry::Now(Err(
                Error::overloaded("too many tenants with limits in use").with("tenants_max", self.tenants_max)
            )),
        }
    }
}
