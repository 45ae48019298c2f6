//! What is known of models: the built-in table and `[models]` over it.

use beluga_core::{FactsRow, FactsTable, ModelFacts, ModelInfo};
use beluga_providers::facts;

use crate::config::{Config, FactsSettings};

/// Returns the facts that are built in, overridden by those of a configuration.
pub(super) fn table(config: &Config) -> FactsTable {
    facts::table().overridden_by(config.models.iter().map(|(family, settings)| row(family, settings)))
}

fn row(family: &str, settings: &FactsSettings) -> FactsRow {
    FactsRow {
        provider: settings.provider.clone(),
        family: family.to_owned(),
        facts: ModelFacts {
            context_tokens: settings.context_tokens,
            output_tokens: settings.output_tokens,
            tokenizer: settings.tokenizer.clone(),
        },
        read: "configuration".to_owned(),
    }
}

/// What is known of all models an agent may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Common {
    /// The most tokens of a prompt each of them reads.
    pub(super) prompt_tokens: u64,
    /// What counts them, if it is the same for all.
    pub(super) tokenizer: Option<String>,
}

/// Returns what is known of all these models; no models have no bound.
///
/// # Errors
/// The first model of which nothing is known.
pub(super) fn common(table: &FactsTable, models: &[ModelInfo]) -> Result<Common, ModelInfo> {
    let facts = |info: &ModelInfo| table.find(&info.provider, &info.model).ok_or_else(|| info.clone());
    let all = models.iter().map(facts).collect::<Result<Vec<&ModelFacts>, _>>()?;
    let first = all.first().and_then(|facts| facts.tokenizer.as_ref());
    let is_of_all = |name: &&String| all.iter().all(|facts| facts.tokenizer.as_ref() == Some(*name));
    Ok(Common {
        prompt_tokens: all.iter().map(|facts| facts.prompt_tokens()).min().unwrap_or(u64::MAX),
        tokenizer: first.filter(is_of_all).cloned(),
    })
}
