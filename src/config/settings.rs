//! The whole of `beluga.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::agent::{AgentSettings, MemoryTier};
use super::budget::{BudgetSettings, PriceSettings};
use super::check::Check;
use super::cluster::ClusterSettings;
use super::environment::Environment;
use super::facts::FactsSettings;
use super::fallback::{self, DEFAULT_PROVIDER};
use super::hint;
use super::load::{Settings, Sources, load};
use super::nats::NatsSettings;
use super::problem::ConfigError;
use super::provider::ProviderSettings;
use super::retrieval::RetrievalSettings;
use super::router::RouterSettings;
use super::service::{
    HttpSettings, JournalSettings, LimitSettings, MemorySettings, TenantSettings, TierSettings, WatchdogSettings,
};
use super::tool::ToolSettings;

/// The most providers, routers, embedders, rerankers, agents, tiers, prices or models one file may declare.
const ENTRIES_MAX: usize = 1000;

/// The most tenants one file may declare.
const TENANTS_MAX: usize = 10_000;

/// The configuration of a node. Every part may be left out.
///
/// ```
/// use beluga::config::{Config, Environment, Sources};
///
/// let toml = "[providers.main]\nkind = \"offline\"\n[agents.support]\nmodel = \"gpt-5\"\n";
/// let error = Config::load(&Sources::new(Environment::default()).text("beluga.toml", toml)).unwrap_err();
/// assert!(error.to_string().contains("beluga.toml:4:1: agents.support.model: no provider \"gpt-5\""));
/// assert!(error.to_string().contains("looks like a vendor's model id"));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who answers, by a name of one's own.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// Several providers as one model, by a name of one's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub routers: BTreeMap<String, RouterSettings>,
    /// Who turns texts into vectors, by a name of one's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub embedders: BTreeMap<String, RetrievalSettings>,
    /// Who ranks what was found, by a name of one's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rerankers: BTreeMap<String, RetrievalSettings>,
    /// The built-in tools.
    pub tools: ToolSettings,
    /// Who speaks, by name.
    pub agents: BTreeMap<String, AgentSettings>,
    /// What agents remember.
    pub memory: MemorySettings,
    /// Where sessions are kept.
    pub journal: JournalSettings,
    /// The HTTP face.
    pub http: HttpSettings,
    /// The NATS face.
    pub nats: NatsSettings,
    /// The nodes that share the sessions.
    pub cluster: ClusterSettings,
    /// The bounds of the node.
    pub limits: LimitSettings,
    /// What may be spent.
    pub budgets: BudgetSettings,
    /// What models cost, by family: a model id without its date.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub prices: BTreeMap<String, PriceSettings>,
    /// What models read and write, by family: a model id without its date.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, FactsSettings>,
    /// Who looks for what hangs.
    pub watchdog: WatchdogSettings,
    /// What is known of tenants, by id. Others are served too, without a tier.
    pub tenants: BTreeMap<String, TenantSettings>,
    /// The service tiers tenants may have.
    pub tiers: BTreeMap<String, TierSettings>,
}

impl Config {
    /// Loads and completes a configuration: without a provider the environment chooses one, without an agent there is
    /// `assistant` with every built-in tool.
    ///
    /// # Errors
    /// Every problem of the document and of the references in it.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        load(sources)
    }

    /// Returns the configuration as a document with every secret masked: what may be printed.
    #[must_use]
    pub fn masked(&self) -> Value {
        let mut document = serde_json::to_value(self).unwrap_or_default();
        beluga_core::mask_document(&mut document);
        document
    }

    /// Returns whether an agent has a tier of memory.
    #[must_use]
    pub fn remembers(&self, agent: &AgentSettings, tier: MemoryTier) -> bool {
        agent.memory.as_ref().unwrap_or(&self.memory.tiers).contains(&tier)
    }

    fn check_tenants(&self, check: &mut Check<'_>) {
        if self.tenants.len() > TENANTS_MAX {
            let count = self.tenants.len();
            check.problem(&["tenants"], format!("has {count} entries; at most {TENANTS_MAX} are allowed"), None);
        }
        let known: Vec<&str> = self.tiers.keys().map(String::as_str).collect();
        for (name, tenant) in &self.tenants {
            check_name(check, &["tenants", name], name);
            if let Some(budget) = &tenant.budget {
                budget.check(&["tenants", name, "budget"], check);
            }
            if let Some(tier) = tenant.tier.as_ref().filter(|tier| !self.tiers.contains_key(*tier)) {
                let message = format!("no tier \"{}\" in [tiers]", tier.escape_debug());
                check.problem(&["tenants", name, "tier"], message, hint::unknown(tier, &known));
            }
        }
    }

    /// Returns the provider of agents that name none.
    #[must_use]
    pub fn default_provider(&self) -> Option<&str> {
        match self.provider_names().as_slice() {
            [only] => Some(only),
            several if several.contains(&DEFAULT_PROVIDER) => Some(DEFAULT_PROVIDER),
            _ => None,
        }
    }

    /// Returns the names agents may take as their model: providers, then routers.
    pub(super) fn model_names(&self) -> Vec<&str> {
        let mut names = self.provider_names();
        names.extend(self.routers.keys().map(String::as_str));
        names
    }

    /// Returns the names of providers; without any that is the one the environment chooses.
    pub(super) fn provider_names(&self) -> Vec<&str> {
        if self.providers.is_empty() {
            return vec![DEFAULT_PROVIDER];
        }
        self.providers.keys().map(String::as_str).collect()
    }
}

impl Settings for Config {
    fn check(&self, check: &mut Check<'_>) {
        let counts = [
            ("providers", self.providers.len()),
            ("routers", self.routers.len()),
            ("embedders", self.embedders.len()),
            ("rerankers", self.rerankers.len()),
            ("agents", self.agents.len()),
            ("tiers", self.tiers.len()),
            ("prices", self.prices.len()),
            ("models", self.models.len()),
        ];
        for (section, count) in counts {
            if count > ENTRIES_MAX {
                check.problem(&[section], format!("has {count} entries; at most {ENTRIES_MAX} are allowed"), None);
            }
        }
        for (name, provider) in &self.providers {
            provider.check(name, check);
        }
        for (name, router) in &self.routers {
            router.check(name, self, check);
        }
        for (name, embedder) in &self.embedders {
            embedder.check_embedder(name, check);
        }
        for (name, reranker) in &self.rerankers {
            reranker.check_reranker(name, check);
        }
        for (family, facts) in &self.models {
            facts.check(family, check);
        }
        for (name, agent) in &self.agents {
            agent.check(name, self, check);
        }
        for (name, tier) in &self.tiers {
            check_name(check, &["tiers", name], name);
            if let Some(budget) = &tier.budget {
                budget.check(&["tiers", name, "budget"], check);
            }
        }
        self.budgets.check(check);
        self.check_tenants(check);
        self.tools.check(check);
        self.http.check(check);
        self.nats.check(check);
        self.cluster.check(self, check);
        self.watchdog.check(check);
    }

    fn completed(mut self, environment: &Environment) -> Self {
        if self.providers.is_empty() {
            let chosen = fallback::provider_from_environment(environment);
            self.providers.insert(DEFAULT_PROVIDER.to_owned(), chosen);
        }
        if self.agents.is_empty() {
            self.agents.insert(fallback::DEFAULT_AGENT.to_owned(), fallback::assistant());
        }
        let default = self.default_provider().map(str::to_owned);
        for agent in self.agents.values_mut() {
            agent.model = agent.model.take().or_else(|| default.clone());
        }
        self
    }
}

/// Checks that the name of a section is fit for a path, a subject and a log.
pub(super) fn check_name(check: &mut Check<'_>, keys: &[&str], name: &str) {
    if beluga_core::AgentName::parse(name).is_err() {
        let hint = format!("a name has 1 to {} of A-Z a-z 0-9 _ -", beluga_core::ID_MAX_BYTES);
        check.problem(keys, "is no name", Some(hint));
    }
}
