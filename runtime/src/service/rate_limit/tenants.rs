//! The same limits once per tenant, so that one tenant's rush does not starve the others.

use std::collections::HashMap;
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
pub struct TenantLimits {
    config: RateLimitConfig,
    tenants_max: usize,
    limiters: Mutex<HashMap<TenantId, Arc<RateLimiter>>>,
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
        let config = RateLimitConfig { cooldown: None, ..config };
        Arc::new(Self { config, tenants_max, limiters: Mutex::default() })
    }

    /// Returns how many tenants' limits are remembered.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.limiters.lock().len()
    }

    fn limiter(&self, tenant: &TenantId) -> Option<Arc<RateLimiter>> {
        let mut limiters = self.limiters.lock();
        if let Some(limiter) = limiters.get(tenant) {
            return Some(Arc::clone(limiter));
        }
        if limiters.len() >= self.tenants_max {
            let now = time::now();
            limiters.retain(|_, limiter| Arc::strong_count(limiter) > 1 || !limiter.is_idle(now));
        }
        if limiters.len() >= self.tenants_max {
            return None;
        }
        let limiter = RateLimiter::new(self.config);
        limiters.insert(tenant.clone(), Arc::clone(&limiter));
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
        match self.limiter(context.tenant()) {
            Some(limiter) => limiter.admit(context),
            None => Entry::Now(Err(
                Error::overloaded("too many tenants with limits in use").with("tenants_max", self.tenants_max)
            )),
        }
    }
}
