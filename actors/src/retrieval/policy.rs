//! The limits and tries of what retrieval asks.

use std::time::Duration;

use beluga_runtime::BreakerConfig;
use beluga_runtime::service::{RateLimitConfig, RetryConfig};

/// The limits and tries of one embedder or reranker. `None` switches a layer off.
#[derive(Debug, Clone)]
pub struct CallPolicy {
    /// The most calls in the actor, waiting ones included; one more is `overloaded`. Default: 1,024.
    pub admission: usize,
    /// Tries after retryable errors, and after the death of the actor. Default: 3 tries, 500 ms doubling to 30 s,
    /// Retry-After honoured up to a minute.
    pub retry: Option<RetryConfig>,
    /// When to stop calling a vendor that fails. Default: after 5 failures, for 30 s, then 1 probe.
    pub breaker: Option<BreakerConfig>,
    /// The most calls at once. Default: no bound but `admission`.
    pub max_concurrent: Option<usize>,
    /// Limits per minute; tokens are those the vendor tells. Default: none.
    pub rate: Option<RateLimitConfig>,
    /// Limits per minute of each tenant. Default: none.
    pub tenant_rate: Option<RateLimitConfig>,
    /// The most time of one try. Default: 2 minutes, as a large request takes many calls.
    pub timeout: Option<Duration>,
    /// Whether each call leaves a log line: failures as `warn`, the rest as `debug`. Default: yes.
    pub log: bool,
}

impl Default for CallPolicy {
    fn default() -> Self {
        Self {
            admission: 1024,
            retry: Some(RetryConfig::default()),
            breaker: Some(BreakerConfig::default()),
            max_concurrent: None,
            rate: None,
            tenant_rate: None,
            timeout: Some(Duration::from_secs(120)),
            log: true,
        }
    }
}
