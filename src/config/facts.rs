//! `[models]`: what models read and write, where the built-in table does not say it or not as a deployment has it.

use beluga_core::Code;
use beluga_providers::tokenizer::{TOKENIZERS, tokenizer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::hint;

/// The smallest context there is, in tokens.
const CONTEXT_TOKENS_MIN: u64 = 256;

/// What is known of a family of models. It counts before the facts that are built in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FactsSettings {
    /// Only of this provider, named as usage names it: "openai", "anthropic"; of any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The most tokens of prompt and answer together.
    #[schemars(range(min = 256))]
    pub context_tokens: u64,
    /// The most tokens of an answer, thinking included; a quarter of the context where absent.
    #[schemars(range(min = 1))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// What counts the tokens: "estimate", "cl100k_base", "o200k_base"; the estimate where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
}

impl FactsSettings {
    pub(super) fn check(&self, family: &str, check: &mut Check<'_>) {
        let at = |field| ["models", family, field];
        if self.context_tokens < CONTEXT_TOKENS_MIN {
            check.problem(&at("context_tokens"), format!("is below {CONTEXT_TOKENS_MIN}"), None);
        }
        if self.output_tokens.is_some_and(|most| most == 0 || most > self.context_tokens) {
            check.problem(&at("output_tokens"), "is at least 1 and at most context_tokens", None);
        }
        check_tokenizer(self.tokenizer.as_deref(), &at("tokenizer"), check);
    }
}

/// Checks the name of a tokenizer.
pub(super) fn check_tokenizer(name: Option<&str>, at: &[&str], check: &mut Check<'_>) {
    match name.map(|name| (name, tokenizer(name))) {
        Some((name, Err(error))) if error.code() == Code::NotFound => {
            check.problem(at, "is no tokenizer", hint::unknown(name, &TOKENIZERS));
        }
        Some((_, Err(error))) => check.problem(at, error.message().to_owned(), None),
        _ => {}
    }
}
