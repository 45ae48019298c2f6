//! What is known of models beside their answers: how much they read and write, and what counts it.

use serde::{Deserialize, Serialize};

use crate::family::{self, OfFamily};

/// What is known of one family of models.
///
/// ```
/// use beluga_core::ModelFacts;
///
/// let facts = ModelFacts { context_tokens: 400_000, output_tokens: Some(128_000), tokenizer: None };
/// assert_eq!(facts.prompt_tokens(), 272_000);
/// assert_eq!(ModelFacts { output_tokens: None, ..facts }.prompt_tokens(), 300_000, "a quarter is the answer's");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// The most tokens of prompt and answer together.
    pub context_tokens: u64,
    /// The most tokens of an answer, thinking included; not known where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// What counts the tokens, by the name of a tokenizer; no public one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
}

/// The part of a context that is left to an answer whose bound is not known: one in so many.
const ANSWER_SHARE: u64 = 4;

impl ModelFacts {
    /// Returns the most tokens of a prompt that leaves room for the longest answer: some vendors refuse more, however
    /// short an answer is asked for.
    #[must_use]
    pub fn prompt_tokens(&self) -> u64 {
        let quarter = self.context_tokens / ANSWER_SHARE;
        // Where an answer may fill the whole context, it and the prompt share it.
        let answer = self.output_tokens.filter(|most| *most <= self.context_tokens / 2).unwrap_or(quarter);
        self.context_tokens.saturating_sub(answer)
    }
}

/// What is known of one family of models, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsRow {
    /// The provider as OpenTelemetry names it; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The family: a model id without its date. `*` is every model of the provider that has no row of its own.
    pub family: String,
    /// The facts.
    pub facts: ModelFacts,
    /// When they were read, `2026-11-05`; or who gave them.
    pub read: String,
}

impl OfFamily for FactsRow {
    fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    fn family(&self) -> &str {
        &self.family
    }
}

/// Facts by provider and family, found as prices are: see [`PriceTable`](crate::PriceTable).
///
/// ```
/// use beluga_core::{FactsRow, FactsTable, ModelFacts};
///
/// let facts = ModelFacts { context_tokens: 8_192, output_tokens: None, tokenizer: None };
/// let row = |family: &str, facts: &ModelFacts| FactsRow {
///     provider: None, family: family.into(), facts: facts.clone(), read: "2026-11-01".into(),
/// };
/// let table = FactsTable::new([row("large", &facts)]);
/// assert_eq!(table.find("acme", "large-2026-01-31"), Some(&facts));
/// let wider = ModelFacts { context_tokens: 32_768, ..facts };
/// assert_eq!(table.overridden_by([row("large", &wider)]).find("acme", "large"), Some(&wider));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FactsTable {
    rows: Vec<FactsRow>,
}

impl FactsTable {
    /// Makes a table; of two rows for one model the earlier counts.
    pub fn new(rows: impl IntoIterator<Item = FactsRow>) -> Self {
        Self { rows: rows.into_iter().collect() }
    }

    /// Puts rows before those there are, so that they count.
    #[must_use]
    pub fn overridden_by(mut self, rows: impl IntoIterator<Item = FactsRow>) -> Self {
        self.rows = rows.into_iter().chain(self.rows).collect();
        self
    }

    /// Returns what is known of a model of a provider.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<&ModelFacts> {
        family::find(&self.rows, provider, model).map(|row| &row.facts)
    }

    /// Returns the rows, those that count first.
    #[must_use]
    pub fn rows(&self) -> &[FactsRow] {
        &self.rows
    }
}
