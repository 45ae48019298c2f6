//! `[tools.X]`: the built-in tools and their limits.

use beluga_providers::tool::AllowList;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::period::Period;
use super::pool::PoolSettings;

/// The names of the built-in tools.
pub(crate) const NAMES: [&str; 3] = ["calculator", "clock", "http"];

/// The built-in tools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToolSettings {
    /// Evaluates arithmetic.
    pub calculator: BuiltinSettings,
    /// Tells time and calculates dates.
    pub clock: BuiltinSettings,
    /// Sends HTTP requests to the hosts it is allowed to.
    pub http: HttpToolSettings,
}

/// A tool that needs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BuiltinSettings {
    /// The most time one call may take.
    pub timeout: Period,
    /// How many calls run at a time; no bound where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSettings>,
}

impl Default for BuiltinSettings {
    fn default() -> Self {
        Self { timeout: Period::from_secs(5), pool: None }
    }
}

/// The tool `http`: nothing is allowed unless it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpToolSettings {
    /// Hosts it may reach, as "host:port". An entry also permits loopback and private addresses.
    #[schemars(length(max = 256))]
    pub allow: Vec<String>,
    /// The most time one call may take, redirects included.
    pub timeout: Period,
    /// The most bytes read of an answer.
    #[schemars(range(min = 1, max = 104_857_600))]
    pub body_limit_bytes: usize,
    /// How many calls run at a time; no bound where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSettings>,
}

impl Default for HttpToolSettings {
    fn default() -> Self {
        Self { allow: Vec::new(), timeout: Period::from_secs(20), body_limit_bytes: 256 * 1024, pool: None }
    }
}

impl ToolSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        for (index, entry) in self.http.allow.iter().enumerate() {
            if AllowList::parse([entry]).is_err() {
                let hint = "write it as \"api.example.com:443\"; no scheme, no path, no wildcard".to_owned();
                check.at(
                    &["tools", "http", "allow"],
                    index,
                    format!("\"{}\" is no host:port", entry.escape_debug()),
                    Some(hint),
                );
            }
        }
    }
}
