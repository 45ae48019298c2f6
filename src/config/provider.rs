//! `[providers.X]`: who answers, and how it is treated.

use std::collections::BTreeMap;

use beluga_providers::llm::OPENAI_COMPATIBLE;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::Check;
use super::period::Period;
use super::pool::PoolSettings;
use super::{hint, settings};
use crate::node;

/// A provider of models under a name of one's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// What it is: "openai", "anthropic", "openai-compatible", "offline" or another known kind.
    pub kind: String,
    /// The vendor's model id, such as "gpt-5-mini"; the kind's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The address of the API; the vendor's, or the vendor's own environment variable, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The environment variable that holds the key; the one the vendor's own tools read where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The most time until the first byte of an answer, such as "30s".
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// The most time between two pieces of an answer.
    #[serde(default = "default_timeout")]
    pub gap_timeout: Period,
    /// How much is sent at once and per minute.
    #[serde(default)]
    pub limits: AdmissionSettings,
    /// How many calls are made at a time, before all other limits; no bound where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSettings>,
    /// How often a failed call is tried again.
    #[serde(default)]
    pub retry: RetrySettings,
    /// When calls stop because the provider keeps failing.
    #[serde(default)]
    pub breaker: BreakerSettings,
    /// What only this kind understands.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Value>,
}

fn default_timeout() -> Period {
    Period::from_secs(30)
}

impl ProviderSettings {
    /// Makes the settings of a kind with every default.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            model: None,
            base_url: None,
            api_key_env: None,
            timeout: default_timeout(),
            gap_timeout: default_timeout(),
            limits: AdmissionSettings::default(),
            pool: None,
            retry: RetrySettings::default(),
            breaker: BreakerSettings::default(),
            options: BTreeMap::new(),
        }
    }

    pub(super) fn check(&self, name: &str, check: &mut Check<'_>) {
        let at = |field| ["providers", name, field];
        settings::check_name(check, &["providers", name], name);
        if let Some(url) = &self.base_url {
            check_url(check, &at("base_url"), url);
        }
        let models = match node::model_registry() {
            Ok(models) => models,
            Err(error) => return check.problem(&["providers", name], error.to_string(), None),
        };
        let Ok(factory) = models.get(&self.kind) else {
            let kinds: Vec<&str> = models.names().collect();
            let message = format!("unknown kind \"{}\"", self.kind.escape_debug());
            check.problem(&at("kind"), message, hint::unknown(&self.kind, &kinds));
            return;
        };
        if self.kind == OPENAI_COMPATIBLE.name {
            for (field, value) in [("model", &self.model), ("base_url", &self.base_url)] {
                if value.is_none() {
                    check.problem(&at(field), "is required for this kind", None);
                }
            }
        }
        if let Some(variable) = &self.api_key_env {
            check.variable(&at("api_key_env"), variable);
            return;
        }
        let vendor = factory.variables();
        let has_key = vendor.api_key.iter().any(|variable| check.environment().get(variable).is_some());
        if !has_key && !vendor.key_optional {
            let wanted = vendor.api_key.first().copied().unwrap_or("a variable");
            let hint = format!("set {wanted}, or name another variable with api_key_env");
            check.problem(&["providers", name], format!("kind \"{}\" needs a key", self.kind), Some(hint));
        }
    }
}

pub(super) fn check_url(check: &mut Check<'_>, keys: &[&str], text: &str) {
    match url::Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() => {
            check.problem(keys, "must be an http or https address", None);
        }
        Ok(url) if url.password().is_some() || !url.username().is_empty() => {
            let hint = "secrets are read from the environment only: use api_key_env".to_owned();
            check.problem(keys, "must not hold credentials", Some(hint));
        }
        Ok(_) => {}
        Err(error) => check.problem(keys, format!("is no address: {error}"), None),
    }
}

/// How much is sent to a provider. Without a number nothing is limited by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdmissionSettings {
    /// The most requests per minute.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u32>,
    /// The most tokens per minute, prompt and answer.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// The most requests per minute of one tenant, so that none uses up what all share.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_rpm: Option<u32>,
    /// The most tokens per minute of one tenant, prompt and answer.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_tpm: Option<u64>,
    /// The most calls at the same time; further ones wait.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<usize>,
    /// The most calls in all, waiting ones included; one more is refused as overloaded.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_pending: usize,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self { rpm: None, tpm: None, tenant_rpm: None, tenant_tpm: None, max_concurrent: None, max_pending: 1024 }
    }
}

/// How often a failed call is tried again, and how long it waits before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySettings {
    /// The most tries, the first included.
    #[schemars(range(min = 1, max = 20))]
    pub attempts: u32,
    /// The wait before the second try, such as "500ms".
    pub initial: Period,
    /// The longest wait between two tries.
    pub max: Period,
    /// How much longer each wait is than the one before.
    #[schemars(range(min = 1.0, max = 10.0))]
    pub factor: f64,
    /// The longest Retry-After that is waited for; a longer one ends the tries.
    pub retry_after_max: Period,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            initial: Period::from_millis(500),
            max: Period::from_secs(30),
            factor: 2.0,
            retry_after_max: Period::from_secs(60),
        }
    }
}

/// When calls stop because the provider keeps failing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    /// How many failures in a row open the circuit.
    #[schemars(range(min = 1, max = 1000))]
    pub max_failures: u32,
    /// How long it stays open.
    pub reset_after: Period,
    /// How many calls may probe it then.
    #[schemars(range(min = 1, max = 100))]
    pub half_open_max: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { max_failures: 5, reset_after: Period::from_secs(30), half_open_max: 1 }
    }
}
