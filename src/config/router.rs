//! `[routers.X]`: several providers as one model, chosen anew for each call.

use beluga_actors::model::cache;
use beluga_actors::model::router::ROUTES_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::hint;
use super::period::Period;
use super::settings::{Config, check_name};

/// Several providers under one name, which agents take as their model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouterSettings {
    /// Names of providers, or {provider = "name", vision = true, context_tokens = 128000} with what they can do.
    // As `ROUTES_MAX`; an attribute takes no constant.
    #[schemars(length(max = 32))]
    pub routes: Vec<RouteSettings>,
    /// Which one is asked first; the others follow if it cannot answer.
    #[serde(default)]
    pub strategy: RouterStrategy,
    /// How long the first one may say nothing before the second is asked too; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge_after: Option<Period>,
    /// The most time of a whole call, all providers together; the turn's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Keeps whole answers for requests that come again exactly; not where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheSettings>,
}

/// Which provider is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouterStrategy {
    /// The first that is available, in the order they are written.
    #[default]
    Failover,
    /// Each in its turn.
    RoundRobin,
    /// The one that lately began to answer soonest.
    Latency,
    /// The one on which the call costs least at most.
    Cost,
    /// The one that can do least beyond what the call needs.
    Capability,
    /// Learned from success, latency and cost.
    Learned,
}

/// A provider of a router: its name, or its name and what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RouteSettings {
    /// The name.
    Name(String),
    /// The name and what it can do.
    Full(RouteTarget),
}

/// A provider of a router, and what it can do. What is left out is taken as given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteTarget {
    /// The name of the provider.
    pub provider: String,
    /// Whether it calls tools; what the provider says where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<bool>,
    /// Whether it sees pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision: Option<bool>,
    /// Whether it answers in JSON of a schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<bool>,
    /// The most tokens of prompt and answer together.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
}

/// What a cache of whole answers keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSettings {
    /// The most answers.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub entries: usize,
    /// The most bytes of all answers; one above an eighth of it is not kept.
    #[schemars(range(min = 1024))]
    pub bytes: usize,
    /// How long an answer is good.
    pub ttl: Period,
    /// The version of whatever shapes answers beside the request; a new one finds nothing of the old.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub policy: String,
    /// Whether calls that come together ask once.
    pub single_flight: bool,
}

impl Default for CacheSettings {
    fn default() -> Self {
        let cache::CacheSettings { entries, bytes, policy, single_flight, .. } = cache::CacheSettings::default();
        Self { entries, bytes, ttl: Period::from_secs(600), policy, single_flight }
    }
}

impl RouteSettings {
    /// Returns the name of the provider.
    #[must_use]
    pub fn provider(&self) -> &str {
        match self {
            RouteSettings::Name(provider) => provider,
            RouteSettings::Full(target) => &target.provider,
        }
    }
}

impl RouterSettings {
    pub(super) fn check(&self, name: &str, config: &Config, check: &mut Check<'_>) {
        check_name(check, &["routers", name], name);
        let providers: Vec<&str> = config.provider_names();
        if providers.contains(&name) {
            check.problem(&["routers", name], "has the name of a provider", None);
        }
        debug_assert_eq!(ROUTES_MAX, 32, "the bound in the schema");
        let keys = ["routers", name, "routes"];
        if self.routes.is_empty() {
            check.problem(&keys, "needs at least one provider", None);
        }
        for (index, route) in self.routes.iter().enumerate() {
            let provider = route.provider();
            if !providers.contains(&provider) {
                let message = format!("no provider \"{}\"", provider.escape_debug());
                check.at(&keys, index, message, hint::unknown(provider, &providers));
            } else if self.routes.iter().take(index).any(|earlier| earlier.provider() == provider) {
                check.at(&keys, index, format!("names \"{provider}\" twice"), None);
            }
        }
        for (field, period) in [("hedge_after", self.hedge_after), ("timeout", self.timeout)] {
            if period.is_some_and(|period| period.get().is_zero()) {
                check.problem(&["routers", name, field], "must be above zero", None);
            }
        }
    }
}
