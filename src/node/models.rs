//! Makes supervised models of `[providers.X]` and `[routers.X]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use beluga_actors::budget::Budgets;
use beluga_actors::model::{ModelPolicy, ModelRef, Models};
use beluga_core::{ChatModel, Error, Host, ModelFactory, ModelRegistry, ProviderConfig, Result, SecretString};
use beluga_runtime::service::{RateLimitConfig, RetryConfig, TimeoutConfig};
use beluga_runtime::{Backoff, BreakerConfig, SystemRandom};

use super::registry::model_registry;
use super::routers::Tables;
use super::{budgets, facts, routers};
use crate::config::{
    Config, Environment, FactsSettings, PoolSettings, PriceSettings, ProviderSettings, RouterSettings, TierSettings,
};

/// The models of a node, by the names of their providers.
#[derive(Debug)]
pub(super) struct ModelSet {
    models: Models,
    budgets: Budgets,
    registry: ModelRegistry,
    host: Arc<dyn Host>,
    random: SystemRandom,
    running: BTreeMap<String, Running>,
    routers: BTreeMap<String, RunningRouter>,
    started: u64,
}

#[derive(Debug, Clone)]
struct Running {
    settings: ProviderSettings,
    model: ModelRef,
}

#[derive(Debug, Clone)]
struct RunningRouter {
    settings: RouterSettings,
    /// Prices and facts of the configuration.
    known: (BTreeMap<String, PriceSettings>, BTreeMap<String, FactsSettings>),
    /// The actors it asks, by name; one that was replaced makes a new router.
    asks: Vec<String>,
    model: ModelRef,
}

/// Models that were built and do not run yet.
pub(super) type Built = BTreeMap<String, Arc<dyn ChatModel>>;

impl ModelSet {
    pub(super) fn new(models: Models, budgets: Budgets, host: Arc<dyn Host>, random: SystemRandom) -> Result<Self> {
        let registry = model_registry()?;
        let (running, routers) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { models, budgets, registry, host, random, running, routers, started: 0 })
    }

    /// Returns the budgets the models ask.
    pub(super) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Returns the running models.
    pub(super) fn handle(&self) -> &Models {
        &self.models
    }

    /// Builds the models that are new or have changed. Nothing is started.
    ///
    /// # Errors
    /// `config` or `auth_error` names the provider.
    pub(super) fn build(&self, config: &Config, environment: &Environment) -> Result<Built> {
        let mut built = Built::new();
        for (name, settings) in &config.providers {
            if self.running.get(name).is_some_and(|running| running.settings == *settings) {
                continue;
            }
            let factory = self.registry.get(&settings.kind)?;
            let provider = provider_config(settings, factory.as_ref(), environment);
            let model = factory.build(&provider, Arc::clone(&self.host)).map_err(|error| {
                Error::config(format!("providers.{name}: {}", error.message()))
                    .with_op("node.models")
                    .with_source(error)
            })?;
            built.insert(name.clone(), model);
        }
        Ok(built)
    }

    /// Starts what was built and forgets what the configuration no longer names. Returns the models that are to end
    /// when nobody uses them any more.
    ///
    /// # Errors
    /// What the supervisor answers.
    pub(super) async fn apply(&mut self, config: &Config, built: Built) -> Result<Vec<ModelRef>> {
        let mut retired = Vec::new();
        for (name, model) in built {
            let Some(settings) = config.providers.get(&name) else { continue };
            let actor = self.actor_name(&name, self.running.contains_key(&name));
            let policy = ModelPolicy { budgets: Some(self.budgets.clone()), ..policy(settings, &config.tiers) };
            let model = self.models.spawn(actor, model, policy).await?;
            let running = Running { settings: settings.clone(), model };
            retired.extend(self.running.insert(name, running).map(|old| old.model));
        }
        let gone: Vec<String> =
            self.running.keys().filter(|name| !config.providers.contains_key(*name)).cloned().collect();
        retired.extend(gone.iter().filter_map(|name| self.running.remove(name)).map(|old| old.model));
        self.apply_routers(config, &mut retired).await?;
        Ok(retired)
    }

    /// Starts the routers that are new, have changed, or ask a model that was replaced.
    async fn apply_routers(&mut self, config: &Config, retired: &mut Vec<ModelRef>) -> Result<()> {
        let known = (config.prices.clone(), config.models.clone());
        let tables = Tables { prices: budgets::prices(config), facts: facts::table(config) };
        for (name, settings) in &config.routers {
            let names = settings.routes.iter().map(|route| self.get(route.provider()));
            let asks = names.map(|model| Ok(model?.name().to_owned())).collect::<Result<Vec<_>>>()?;
            let same = |running: &RunningRouter| {
                running.settings == *settings && running.asks == asks && running.known == known
            };
            if self.routers.get(name).is_some_and(same) {
                continue;
            }
            let router = routers::build(settings, config, &tables, &self.random, |name| self.get(name))?;
            let actor = self.actor_name(name, self.routers.contains_key(name));
            let model = self.models.spawn(actor, Arc::new(router), ModelPolicy::router()).await?;
            let running = RunningRouter { settings: settings.clone(), known: known.clone(), asks, model };
            retired.extend(self.routers.insert(name.clone(), running).map(|old| old.model));
        }
        let gone: Vec<String> =
            self.routers.keys().filter(|name| !config.routers.contains_key(*name)).cloned().collect();
        retired.extend(gone.iter().filter_map(|name| self.routers.remove(name)).map(|old| old.model));
        Ok(())
    }

    /// Returns a name for an actor. That of a replaced one stays taken until its last call has ended.
    fn actor_name(&mut self, name: &str, is_taken: bool) -> String {
        self.started += 1;
        if is_taken { format!("{name}.{}", self.started) } else { name.to_owned() }
    }

    /// Returns a running model: a provider or a router.
    ///
    /// # Errors
    /// `config` if there is none of this name, which the checks of the configuration exclude.
    pub(super) fn get(&self, name: &str) -> Result<ModelRef> {
        let provider = self.running.get(name).map(|running| &running.model);
        let running = provider.or_else(|| self.routers.get(name).map(|router| &router.model));
        running.cloned().ok_or_else(|| Error::config(format!("no provider \"{name}\"")))
    }
}

/// Fills a provider's settings from the environment: the key, the address if the file names none, and what else its kind
/// asks for.
fn provider_config(
    settings: &ProviderSettings,
    factory: &dyn ModelFactory,
    environment: &Environment,
) -> ProviderConfig {
    let variables = factory.variables();
    let first = |names: &[&str]| names.iter().find_map(|name| environment.get(name)).map(str::to_owned);
    let key = match &settings.api_key_env {
        Some(variable) => environment.get(variable).map(str::to_owned),
        None => first(variables.api_key),
    };
    let further = factory
        .environment()
        .into_iter()
        .filter_map(|name| Some((name, SecretString::from(environment.get(name)?.to_owned()))))
        .collect();
    ProviderConfig {
        kind: settings.kind.clone(),
        model: settings.model.clone(),
        api_key: key.map(SecretString::from),
        base_url: settings.base_url.clone().or_else(|| first(variables.base_url)),
        timeout: settings.timeout.get(),
        options: settings.options.clone(),
        environment: further,
    }
}

fn policy(settings: &ProviderSettings, tiers: &BTreeMap<String, TierSettings>) -> ModelPolicy {
    let (limits, retry, breaker) = (&settings.limits, &settings.retry, &settings.breaker);
    ModelPolicy {
        admission: limits.max_pending,
        retry: Some(RetryConfig {
            attempts: retry.attempts,
            backoff: Backoff {
                initial: retry.initial.get(),
                max: retry.max.get(),
                factor: retry.factor,
                ..Backoff::default()
            },
            retry_after_cap: retry.retry_after_max.get(),
            ..RetryConfig::default()
        }),
        breaker: Some(BreakerConfig {
            max_failures: breaker.max_failures,
            reset_timeout: breaker.reset_after.get(),
            half_open_max: breaker.half_open_max,
        }),
        max_concurrent: limits.max_concurrent,
        pool: settings.pool.map(PoolSettings::size),
        rate: Some(RateLimitConfig {
            requests_per_minute: limits.rpm,
            tokens_per_minute: limits.tpm,
            ..RateLimitConfig::default()
        }),
        tenant_rate: (limits.tenant_rpm.is_some() || limits.tenant_tpm.is_some()).then(|| RateLimitConfig {
            requests_per_minute: limits.tenant_rpm,
            tokens_per_minute: limits.tenant_tpm,
            ..RateLimitConfig::default()
        }),
        tier_rates: tiers.iter().map(|(name, tier)| (name.clone(), tier_rate(tier))).collect(),
        timeout: Some(TimeoutConfig {
            first_item: Some(settings.timeout.get()),
            gap: Some(settings.gap_timeout.get()),
            ..TimeoutConfig::default()
        }),
        ..ModelPolicy::default()
    }
}

fn tier_rate(tier: &TierSettings) -> RateLimitConfig {
    RateLimitConfig { requests_per_minute: tier.rpm, tokens_per_minute: tier.tpm, ..RateLimitConfig::default() }
}
