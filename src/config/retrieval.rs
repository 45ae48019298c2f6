//! `[embedders.X]` and `[rerankers.X]`: what searches are made with, and how it is treated.

use std::collections::BTreeMap;

use beluga_core::{ProviderVariables, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::Check;
use super::hint;
use super::period::Period;
use super::provider::{AdmissionSettings, BreakerSettings, RetrySettings, check_url};
use super::settings::check_name;
use crate::node;

/// An embedder or a reranker under a name of one's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrievalSettings {
    /// What it is: "openai", "cohere", "voyage", "jina", "google", "ollama", "local" or another known kind.
    pub kind: String,
    /// The vendor's model id, such as "text-embedding-3-large"; the kind's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The address of the API; the vendor's, or the vendor's own environment variable, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The environment variable that holds the key; the one the vendor's own tools read where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The most time of one call of the vendor, such as "30s".
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// The most time of one try of a request, all the calls it takes together.
    #[serde(default = "default_total")]
    pub total_timeout: Period,
    /// How much is sent at once and per minute.
    #[serde(default)]
    pub limits: AdmissionSettings,
    /// How often a failed request is tried again.
    #[serde(default)]
    pub retry: RetrySettings,
    /// When calls stop because the vendor keeps failing.
    #[serde(default)]
    pub breaker: BreakerSettings,
    /// What only this kind understands: "dimensions", "truncate", "extra" and "headers" of embedders, "extra" and
    /// "headers" of rerankers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Value>,
}

fn default_timeout() -> Period {
    Period::from_secs(30)
}

fn default_total() -> Period {
    Period::from_secs(120)
}

/// What is known of a kind before anything is made of it.
struct Kind {
    variables: ProviderVariables,
    needs_address: bool,
}

impl RetrievalSettings {
    pub(super) fn check_embedder(&self, name: &str, check: &mut Check<'_>) {
        let kinds = node::embedder_registry().map(|registry| {
            let needs_address = self.kind == beluga_providers::embed::OPENAI_COMPATIBLE.name;
            let found = registry.get(&self.kind).ok();
            let kind = found.map(|factory| Kind { variables: factory.variables(), needs_address });
            (kind, registry.names().map(str::to_owned).collect())
        });
        self.check("embedders", name, kinds, check);
    }

    pub(super) fn check_reranker(&self, name: &str, check: &mut Check<'_>) {
        let kinds = node::reranker_registry().map(|registry| {
            let found = registry.get(&self.kind).ok();
            let kind = found.map(|factory| Kind { variables: factory.variables(), needs_address: false });
            (kind, registry.names().map(str::to_owned).collect())
        });
        self.check("rerankers", name, kinds, check);
    }

    fn check(&self, section: &str, name: &str, kinds: Result<(Option<Kind>, Vec<String>)>, check: &mut Check<'_>) {
        let at = |field| [section, name, field];
        check_name(check, &[section, name], name);
        if let Some(url) = &self.base_url {
            check_url(check, &at("base_url"), url);
        }
        for (field, period) in [("timeout", self.timeout), ("total_timeout", self.total_timeout)] {
            if period.get().is_zero() {
                check.problem(&at(field), "must be above zero", None);
            }
        }
        let (kind, known) = match kinds {
            Ok(kinds) => kinds,
            Err(error) => return check.problem(&[section, name], error.to_string(), None),
        };
        let Some(kind) = kind else {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let message = format!("unknown kind \"{}\"", self.kind.escape_debug());
            return check.problem(&at("kind"), message, hint::unknown(&self.kind, &known));
        };
        if kind.needs_address {
            for (field, value) in [("model", &self.model), ("base_url", &self.base_url)] {
                if value.is_none() {
                    check.problem(&at(field), "is required for this kind", None);
                }
            }
        }
        if let Some(variable) = &self.api_key_env {
            return check.variable(&at("api_key_env"), variable);
        }
        let has_key = kind.variables.api_key.iter().any(|variable| check.environment().get(variable).is_some());
        if !has_key && !kind.variables.key_optional {
            let wanted = kind.variables.api_key.first().copied().unwrap_or("a variable");
            let hint = format!("set {wanted}, or name another variable with api_key_env");
            check.problem(&[section, name], format!("kind \"{}\" needs a key", self.kind), Some(hint));
        }
    }
}
