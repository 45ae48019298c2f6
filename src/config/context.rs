//! `[agents.X.context]`: how a long conversation is fitted to the model.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent::wrong_provider;
use super::check::Check;
use super::facts::check_tokenizer;
use super::settings::Config;

/// The least budget of a prompt, in tokens: below it hardly a question fits beside the system prompt.
const CONTEXT_TOKENS_MIN: u64 = 256;

/// How many turns slide, unless told.
pub const SLIDING_TURNS_DEFAULT: u32 = 16;

/// How a long conversation is fitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContextSettings {
    /// What is done with what does not fit.
    #[serde(default)]
    pub strategy: ContextStrategy,
    /// The most tokens of a prompt: system prompt, tools and conversation. The answer comes on top of it. What the models
    /// of the agent are known to read where absent.
    #[schemars(range(min = 256))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// The most turns that are kept; for "sliding" alone; 16 where absent.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<u32>,
    /// The provider or router that summarises; for "summarise" and "adaptive"; the agent's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What counts the tokens: "estimate", "cl100k_base", "o200k_base". Where absent, what the models of the agent are known to
    /// count by if it is compiled in, else the estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
}

/// What is done with what does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContextStrategy {
    /// The oldest is left out.
    #[default]
    Truncate,
    /// The newest turns are kept, of these what fits.
    Sliding,
    /// A model says the oldest shorter.
    Summarise,
    /// What belongs to the question is kept, by words in common.
    Semantic,
    /// The oldest is left out up to twice the budget; above it a model says it shorter.
    Adaptive,
}

impl ContextStrategy {
    /// Returns whether a model is asked.
    #[must_use]
    pub fn asks_model(self) -> bool {
        matches!(self, ContextStrategy::Summarise | ContextStrategy::Adaptive)
    }
}

impl ContextSettings {
    pub(super) fn check(&self, name: &str, config: &Config, check: &mut Check<'_>) {
        let at = |field| ["agents", name, "context", field];
        if self.tokens.is_some_and(|tokens| tokens < CONTEXT_TOKENS_MIN) {
            check.problem(&at("tokens"), format!("is below {CONTEXT_TOKENS_MIN}"), None);
        }
        match self.turns {
            Some(0) => check.problem(&at("turns"), "is at least 1", None),
            Some(_) if self.strategy != ContextStrategy::Sliding => {
                check.problem(&at("turns"), "is for the strategy \"sliding\" alone", None);
            }
            _ => {}
        }
        if let Some(model) = &self.model {
            if !self.strategy.asks_model() {
                check.problem(&at("model"), "is for the strategies \"summarise\" and \"adaptive\" alone", None);
            } else if let Some((message, hint)) = wrong_provider(model, config) {
                check.problem(&at("model"), message, hint);
            }
        }
        check_tokenizer(self.tokenizer.as_deref(), &at("tokenizer"), check);
    }
}
