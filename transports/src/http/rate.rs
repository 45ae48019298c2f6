//! How often each tenant may call an endpoint. Nobody waits here: what is too much is refused with the time to wait.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{CallContext, Content, Result};
use beluga_runtime::service::{
    RateLimitConfig, SharedService, TenantLimits, first, one, service_fn, tenant_rate_limit,
};
use serde::{Deserialize, Serialize};

/// Requests per minute of each tenant, by endpoint; `None` is no limit. Each endpoint and each tenant counts by itself,
/// so that neither uses up what is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointRates {
    /// `POST /api/v1/agents/{agent}/invoke`.
    pub invoke: Option<u32>,
    /// `POST /api/v1/agents/{agent}/stream`.
    pub stream: Option<u32>,
    /// `GET /api/v1/sessions/…`, a stream of events counted once.
    pub read: Option<u32>,
}

/// The limits in force.
pub(super) struct Rates {
    pub(super) invoke: Rate,
    pub(super) stream: Rate,
    pub(super) read: Rate,
}

impl Rates {
    pub(super) fn new(rates: EndpointRates) -> Self {
        Self { invoke: Rate::new(rates.invoke), stream: Rate::new(rates.stream), read: Rate::new(rates.read) }
    }
}

/// The limit of one endpoint.
pub(super) struct Rate(Option<SharedService<(), Admitted>>);

pub(super) struct Admitted;

impl Content for Admitted {}

impl Rate {
    fn new(requests_per_minute: Option<u32>) -> Self {
        let limited = |_| {
            let config =
                RateLimitConfig { requests_per_minute, wait_max: Duration::ZERO, ..RateLimitConfig::default() };
            let admitted = service_fn(|(), _: CallContext| one(async { Ok(Admitted) }));
            tenant_rate_limit(Arc::clone(&admitted), TenantLimits::new(config))
        };
        Self(requests_per_minute.map(limited))
    }

    /// Counts a request of the caller's tenant.
    ///
    /// # Errors
    /// `rate_limit` with the time to wait.
    pub(super) async fn admit(&self, context: &CallContext) -> Result<()> {
        match &self.0 {
            Some(limits) => first(limits.call((), context.clone())).await.map(drop),
            None => Ok(()),
        }
    }
}
