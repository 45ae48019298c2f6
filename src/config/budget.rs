//! `[budgets]` and `[prices]`: what may be spent, and what models cost.

use beluga_actors::budget::OUTPUT_TOKENS_DEFAULT;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::money::Usd;
use super::period::Period;

/// What may be spent. Nothing is limited where nothing is set, and everything is counted in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSettings {
    /// One turn, with all agents it asks. An agent may have a budget of its own.
    pub run: SpendSettings,
    /// One session, over all its turns.
    pub session: SpendSettings,
    /// Each tenant. One tenant, or those of a tier, may have a budget of their own.
    pub tenant: SpendSettings,
    /// The whole node.
    pub node: SpendSettings,
    /// How long an answer without a limit of its own is taken to be at most, in tokens, when a call reserves what it may cost.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub output_tokens: u64,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            run: SpendSettings::default(),
            session: SpendSettings::default(),
            tenant: SpendSettings::default(),
            node: SpendSettings::default(),
            output_tokens: OUTPUT_TOKENS_DEFAULT,
        }
    }
}

/// The most of each; no limit where nothing is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SpendSettings {
    /// Calls of models, each try counted.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Tokens, prompt and answer.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Dollars. A model whose price is not known is not called then; see `[prices]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Usd>,
    /// The time in which calls of models run, summed up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Period>,
    /// How often a tenant's or the node's budget begins anew, such as "1d", counted from the node's start; never where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Period>,
}

/// What a family of models costs, in dollars per million tokens. It counts before the prices that are built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceSettings {
    /// Only of this provider, named as usage names it: "openai", "anthropic"; of any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The prompt.
    pub input: Usd,
    /// The part of it that comes from the vendor's cache; as `input` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Usd>,
    /// The part of it that goes into the vendor's cache; as `input` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Usd>,
    /// The answer.
    pub output: Usd,
}

impl BudgetSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        for (level, spend) in [("run", &self.run), ("session", &self.session)] {
            if spend.every.is_some() {
                let message = format!("the budget of a {level} never begins anew");
                check.problem(&["budgets", level, "every"], message, None);
            }
        }
        for (level, spend) in [("tenant", &self.tenant), ("node", &self.node)] {
            spend.check(&["budgets", level], check);
        }
    }
}

impl SpendSettings {
    /// Checks a budget that may have windows.
    pub(super) fn check(&self, keys: &[&str], check: &mut Check<'_>) {
        if self.every.is_some_and(|every| every.get().is_zero()) {
            let keys: Vec<&str> = keys.iter().copied().chain(["every"]).collect();
            check.problem(&keys, "must be above zero", None);
        }
    }
}

/// Checks that an agent's budget has no window.
pub(super) fn check_agent(name: &str, budget: &SpendSettings, check: &mut Check<'_>) {
    if budget.every.is_some() {
        check.problem(&["agents", name, "budget", "every"], "the budget of a run never begins anew", None);
    }
}
