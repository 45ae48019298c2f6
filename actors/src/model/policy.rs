//! The limits and tries of one model.

use std::time::Duration;

use beluga_runtime::BreakerConfig;
use beluga_runtime::service::{RateLimitConfig, RetryConfig, TimeoutConfig};

/// The limits and tries of one model. `None` switches a layer off.
#[derive(Debug, Clone)]
pub struct ModelPolicy {
    /// The most calls in the actor, waiting ones included; one more is `overloaded`. Default: 1,024.
    pub admission: usize,
    /// Tries after retryable errors. Default: 3 tries, 500 ms doubling to 30 s, Retry-After honoured up to a minute.
    pub retry: Option<RetryConfig>,
    /// When to stop calling a vendor that fails. Default: after 5 failures, for 30 s, then 1 probe.
    pub breaker: Option<BreakerConfig>,
    /// The most calls at once. Default: no bound but `admission`.
    pub max_concurrent: Option<usize>,
    /// Limits per minute. Default: none.
    pub rate: Option<RateLimitConfig>,
    /// Limits per minute of each tenant, so that one does not starve the others. Default: none.
    pub tenant_rate: Option<RateLimitConfig>,
    /// Whether each call leaves a log line: failures as `warn`, the rest as `debug`. Default: yes.
    pub log: bool,
    /// Time limits of one try. Default: 60 s to the first chunk, 60 s between chunks, 10 minutes in all.
    pub timeout: Option<TimeoutConfig>,
}

impl Default for ModelPolicy {
    fn default() -> Self {
        Self {
            admission: 1024,
            retry: Some(RetryConfig::default()),
            breaker: Some(BreakerConfig::default()),
            max_concurrent: None,
            rate: None,
            tenant_rate: None,
            log: true,
            timeout: Some(TimeoutConfig {
                first_item: Some(Duration::from_secs(60)),
                gap: Some(Duration::from_secs(60)),
                total: Some(Duration::from_secs(600)),
            }),
        }
    }
}

impl ModelPolicy {
    /// Returns a policy of no layers at all: for fakes in tests and benches.
    #[must_use]
    pub fn bare() -> Self {
        Self {
            admission: 1024,
            retry: None,
            breaker: None,
            max_concurrent: None,
            rate: None,
            tenant_rate: None,
            log: false,
            timeout: None,
        }
    }
}
