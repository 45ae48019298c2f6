//! The limits and tries of one model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{ModelChunk, ModelRequest};

use beluga_runtime::service::{Layer, RateLimitConfig, RetryConfig, SharedService, TimeoutConfig};
use beluga_runtime::{BreakerConfig, PoolSettings};

use super::hooks::ModelHooks;
use crate::budget::Budgets;

/// An application's own middleware round a model: a function from service to service.
///
/// ```
/// use beluga_actors::model::{ModelLayer, ModelPolicy};
/// use beluga_core::{Code, Error};
/// use beluga_runtime::service::{one, service_fn};
///
/// // Refuses long conversations before they cost anything.
/// let short = ModelLayer::new(|inner| {
///     service_fn(move |request: std::sync::Arc<beluga_core::ModelRequest>, cx| {
///         if request.messages.len() > 100 {
///             return one(async { Err(Error::new(Code::BudgetExhausted, "the conversation is too long")) });
///         }
///         inner.call(request, cx)
///     })
/// });
/// let policy = ModelPolicy::default().with_layer(short);
/// assert_eq!(policy.layers.len(), 1);
/// ```
pub type ModelLayer = Layer<SharedService<Arc<ModelRequest>, ModelChunk>>;

/// The limits, tries and middleware of one model. `None` switches a layer off.
#[derive(Debug, Clone)]
pub struct ModelPolicy {
    /// The most calls in the actor, waiting ones included; one more is `overloaded`. Default: 1,024.
    pub admission: usize,
    /// Tries after retryable errors, and after the death of the actor before the first content. Default: 3 tries, 500 ms doubling to 30 s, Retry-After honoured up to a minute.
    pub retry: Option<RetryConfig>,
    /// When to stop calling a vendor that fails. Default: after 5 failures, for 30 s, then 1 probe.
    pub breaker: Option<BreakerConfig>,
    /// The most calls at once. Default: no bound but `admission`.
    pub max_concurrent: Option<usize>,
    /// Lets a number of workers make the calls, one at a time each, while the rest waits in a bounded queue before all
    /// other limits. The key of a call is its conversation, known by what was said first. With a keyed routing calls of one conversation follow each other, so the vendor's cache of prompts has seen the one before.
    /// Default: none; calls never wait for each other.
    pub pool: Option<PoolSettings>,
    /// Who is asked before each try whether it may cost what it may, and told after it what it did. Default: nobody; nothing
    /// is counted beyond the model's own totals.
    pub budgets: Option<Budgets>,
    /// Limits per minute. Default: none.
    pub rate: Option<RateLimitConfig>,
    /// Limits per minute of each tenant, so that one does not starve the others. Default: none.
    pub tenant_rate: Option<RateLimitConfig>,
    /// Limits per minute of each tenant of a tier, by the tier's name; instead of `tenant_rate`. Default: none.
    pub tier_rates: BTreeMap<String, RateLimitConfig>,
    /// Whether it passes calls on to other supervised models, which count and trace them: then its own totals have no
    /// tokens and its calls no spans. Default: no.
    pub relays: bool,
    /// Whether each call leaves a log line: failures as `warn`, the rest as `debug`. Default: yes.
    pub log: bool,
    /// Time limits of one try. Default: 60 s to the first chunk, 60 s between chunks, 10 minutes in all.
    pub timeout: Option<TimeoutConfig>,
    /// The application's middleware, outermost first. It sees a call once, whatever tries it takes, and stands outside
    /// all limits above. Default: none.
    pub layers: Vec<ModelLayer>,
    /// The application's hooks, called in order, inside the layers and outside the limits. Default: none.
    pub hooks: Vec<Arc<dyn ModelHooks>>,
}

impl Default for ModelPolicy {
    fn default() -> Self {
        Self {
            admission: 1024,
            retry: Some(RetryConfig::default()),
            breaker: Some(BreakerConfig::default()),
            max_concurrent: None,
            pool: None,
            budgets: None,
            rate: None,
            tenant_rate: None,
            tier_rates: BTreeMap::new(),
            relays: false,
            log: true,
            timeout: Some(TimeoutConfig {
                first_item: Some(Duration::from_secs(60)),
                gap: Some(Duration::from_secs(60)),
                total: Some(Duration::from_secs(600)),
            }),
            layers: Vec::new(),
            hooks: Vec::new(),
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
            pool: None,
            budgets: None,
            rate: None,
            tenant_rate: None,
            tier_rates: BTreeMap::new(),
            relays: false,
            log: false,
            timeout: None,
            layers: Vec::new(),
            hooks: Vec::new(),
        }
    }

    /// Returns the policy of a [`Router`](super::router::Router): limits, tries and budgets are those of its routes. If its
    /// actor dies before the first content of a call, the call is made again, twice at most.
    #[must_use]
    pub fn router() -> Self {
        // For no code: what a route answered has had its tries there. The number and the waits are for the caller.
        let retry = RetryConfig { codes: Some(Vec::new()), ..RetryConfig::default() };
        Self { retry: Some(retry), relays: true, ..Self::bare() }
    }

    /// Adds a layer inside those there are.
    #[must_use]
    pub fn with_layer(mut self, layer: ModelLayer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds hooks behind those there are.
    #[must_use]
    pub fn with_hooks(mut self, hooks: impl ModelHooks) -> Self {
        self.hooks.push(Arc::new(hooks));
        self
    }
}
