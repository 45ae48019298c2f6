//! Makes supervised embedders and rerankers of `[embedders.X]` and `[rerankers.X]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use beluga_actors::model::Models;
use beluga_actors::retrieval::{CallPolicy, EmbedderRef, RerankerRef, Retrievals};
use beluga_core::{
    Embedder, EmbedderRegistry, Error, Host, ProviderConfig, ProviderVariables, Reranker, RerankerRegistry, Result,
    SecretString,
};
use beluga_runtime::service::{RateLimitConfig, RetryConfig};
use beluga_runtime::{Backoff, BreakerConfig};
use parking_lot::Mutex;

use super::registry::{embedder_registry, reranker_registry};
use crate::config::{Config, Environment, RetrievalSettings};

/// What runs, by the names of the configuration. A clone is the same set.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<Refs>>);

#[derive(Debug, Default)]
struct Refs {
    embedders: BTreeMap<String, (RetrievalSettings, EmbedderRef)>,
    rerankers: BTreeMap<String, (RetrievalSettings, RerankerRef)>,
}

/// The embedders and rerankers of a node.
#[derive(Debug)]
pub(super) struct RetrievalSet {
    retrievals: Retrievals,
    embedders: EmbedderRegistry,
    rerankers: RerankerRegistry,
    host: Arc<dyn Host>,
    running: Running,
    started: u64,
}

/// What was built and does not run yet.
#[derive(Default)]
pub(super) struct Built {
    embedders: BTreeMap<String, Arc<dyn Embedder>>,
    rerankers: BTreeMap<String, Arc<dyn Reranker>>,
}

/// What is to end when nobody uses it any more.
#[derive(Debug, Default)]
pub(super) struct Retired {
    embedders: Vec<EmbedderRef>,
    rerankers: Vec<RerankerRef>,
}

impl Retired {
    pub(super) fn is_empty(&self) -> bool {
        self.embedders.is_empty() && self.rerankers.is_empty()
    }

    pub(super) fn stop(&self) {
        self.embedders.iter().for_each(EmbedderRef::stop);
        self.rerankers.iter().for_each(RerankerRef::stop);
    }
}

impl Running {
    /// Returns a running embedder.
    pub(super) fn embedder(&self, name: &str) -> Result<EmbedderRef> {
        let refs = self.0.lock();
        let found = refs.embedders.get(name).map(|(_, embedder)| embedder.clone());
        found.ok_or_else(|| unknown("embedders", name, refs.embedders.keys()))
    }

    /// Returns a running reranker.
    pub(super) fn reranker(&self, name: &str) -> Result<RerankerRef> {
        let refs = self.0.lock();
        let found = refs.rerankers.get(name).map(|(_, reranker)| reranker.clone());
        found.ok_or_else(|| unknown("rerankers", name, refs.rerankers.keys()))
    }
}

fn unknown<'a>(section: &str, name: &str, known: impl Iterator<Item = &'a String>) -> Error {
    let known: Vec<&str> = known.map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::not_found(format!("no \"{}\" in [{section}]; known: {known}", name.escape_debug()))
}

impl RetrievalSet {
    pub(super) fn new(models: &Models, host: Arc<dyn Host>) -> Result<Self> {
        Ok(Self {
            retrievals: Retrievals::new(models),
            embedders: embedder_registry()?,
            rerankers: reranker_registry()?,
            host,
            running: Running::default(),
            started: 0,
        })
    }

    /// Returns what runs, also after later changes.
    pub(super) fn running(&self) -> &Running {
        &self.running
    }

    /// Builds what is new or has changed. Nothing is started.
    ///
    /// # Errors
    /// `config` names the section.
    pub(super) fn build(&self, config: &Config, environment: &Environment) -> Result<Built> {
        let running = self.running.0.lock();
        let named = |section: &'static str, name: &str, error: Error| {
            Error::config(format!("{section}.{name}: {}", error.message()))
                .with_op("node.retrievals")
                .with_source(error)
        };
        let mut built = Built::default();
        for (name, settings) in &config.embedders {
            if running.embedders.get(name).is_none_or(|(have, _)| have != settings) {
                let factory = self.embedders.get(&settings.kind)?;
                let made = factory.build(
                    &provider_config(settings, factory.variables(), &factory.environment(), environment),
                    Arc::clone(&self.host),
                );
                built.embedders.insert(name.clone(), made.map_err(|error| named("embedders", name, error))?);
            }
        }
        for (name, settings) in &config.rerankers {
            if running.rerankers.get(name).is_none_or(|(have, _)| have != settings) {
                let factory = self.rerankers.get(&settings.kind)?;
                let made = factory
                    .build(&provider_config(settings, factory.variables(), &[], environment), Arc::clone(&self.host));
                built.rerankers.insert(name.clone(), made.map_err(|error| named("rerankers", name, error))?);
            }
        }
        Ok(built)
    }

    /// Starts what was built and forgets what the configuration no longer names.
    ///
    /// # Errors
    /// What the supervisor answers.
    pub(super) async fn apply(&mut self, config: &Config, built: Built) -> Result<Retired> {
        let mut retired = Retired::default();
        for (name, embedder) in built.embedders {
            let Some(settings) = config.embedders.get(&name) else { continue };
            let actor = self.actor_name(&name);
            let started = self.retrievals.embedder(&actor, embedder, policy(settings)).await?;
            let old = self.running.0.lock().embedders.insert(name, (settings.clone(), started));
            retired.embedders.extend(old.map(|(_, old)| old));
        }
        for (name, reranker) in built.rerankers {
            let Some(settings) = config.rerankers.get(&name) else { continue };
            let actor = self.actor_name(&name);
            let started = self.retrievals.reranker(&actor, reranker, policy(settings)).await?;
            let old = self.running.0.lock().rerankers.insert(name, (settings.clone(), started));
            retired.rerankers.extend(old.map(|(_, old)| old));
        }
        let mut refs = self.running.0.lock();
        let gone = refs.embedders.extract_if(.., |name, _| !config.embedders.contains_key(name));
        retired.embedders.extend(gone.map(|(_, (_, old))| old));
        let gone = refs.rerankers.extract_if(.., |name, _| !config.rerankers.contains_key(name));
        retired.rerankers.extend(gone.map(|(_, (_, old))| old));
        Ok(retired)
    }

    /// Returns a name for an actor. That of a replaced one stays taken until its last call has ended.
    fn actor_name(&mut self, name: &str) -> String {
        self.started += 1;
        let refs = self.running.0.lock();
        let is_taken = refs.embedders.contains_key(name) || refs.rerankers.contains_key(name);
        if is_taken { format!("{name}.{}", self.started) } else { name.to_owned() }
    }
}

/// Fills a section's settings from the environment: the key, the address if the file names none, and what else its kind
/// asks for.
fn provider_config(
    settings: &RetrievalSettings,
    variables: ProviderVariables,
    further: &[&'static str],
    environment: &Environment,
) -> ProviderConfig {
    let first = |names: &[&str]| names.iter().find_map(|name| environment.get(name)).map(str::to_owned);
    let key = match &settings.api_key_env {
        Some(variable) => environment.get(variable).map(str::to_owned),
        None => first(variables.api_key),
    };
    let secret = |name: &&'static str| Some((*name, SecretString::from(environment.get(name)?.to_owned())));
    ProviderConfig {
        kind: settings.kind.clone(),
        model: settings.model.clone(),
        api_key: key.map(SecretString::from),
        base_url: settings.base_url.clone().or_else(|| first(variables.base_url)),
        timeout: settings.timeout.get(),
        options: settings.options.clone(),
        environment: further.iter().filter_map(secret).collect(),
    }
}

fn policy(settings: &RetrievalSettings) -> CallPolicy {
    let (limits, retry, breaker) = (&settings.limits, &settings.retry, &settings.breaker);
    let rate = |rpm: Option<u32>, tpm: Option<u64>| {
        (rpm.is_some() || tpm.is_some()).then(|| RateLimitConfig {
            requests_per_minute: rpm,
            tokens_per_minute: tpm,
            ..RateLimitConfig::default()
        })
    };
    CallPolicy {
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
        rate: rate(limits.rpm, limits.tpm),
        tenant_rate: rate(limits.tenant_rpm, limits.tenant_tpm),
        timeout: Some(settings.total_timeout.get()),
        ..CallPolicy::default()
    }
}
