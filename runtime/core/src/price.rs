//! What tokens cost: prices by family of models, and the cost of a call in whole millionths of a dollar.

use serde::{Deserialize, Serialize};

use crate::family::{self, OfFamily};
use crate::usage::Usage;

/// How many tokens a price is for.
pub const PRICED_TOKENS: u64 = 1_000_000;

/// The prices of one family of models, in millionths of a US dollar per [`PRICED_TOKENS`] tokens: $2.50 is 2,500,000.
///
/// ```
/// use beluga_core::{Price, Usage};
///
/// let price = Price { input: 2_500_000, cached_input: 250_000, cache_write: 2_500_000, output: 15_000_000 };
/// let usage = Usage { input_tokens: 1_000, cached_tokens: 800, output_tokens: 100, ..Usage::default() };
/// assert_eq!(price.cost_micro_usd(&usage), 500 + 200 + 1_500);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Price {
    /// Prompt tokens that came from no cache and went to none.
    pub input: u64,
    /// Prompt tokens read from the vendor's cache.
    pub cached_input: u64,
    /// Prompt tokens written to the vendor's cache, for the shortest time it offers.
    pub cache_write: u64,
    /// Tokens of the answer, reasoning included.
    pub output: u64,
}

impl Price {
    /// The price of what costs nothing: a model on one's own machine.
    pub const FREE: Self = Self { input: 0, cached_input: 0, cache_write: 0, output: 0 };

    /// Returns the cost of a call in millionths of a US dollar, rounded up once.
    #[must_use]
    pub fn cost_micro_usd(&self, usage: &Usage) -> u64 {
        let special = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
        let parts = [
            (usage.input_tokens.saturating_sub(special), self.input),
            (usage.cached_tokens, self.cached_input),
            (usage.cache_write_tokens, self.cache_write),
            (usage.output_tokens, self.output),
        ];
        rounded_up(parts)
    }

    /// Returns the most a call can cost: no token of the prompt comes from a cache, and all may be written to one.
    #[must_use]
    pub fn most_micro_usd(&self, prompt_tokens: u64, output_tokens: u64) -> u64 {
        rounded_up([(prompt_tokens, self.input.max(self.cache_write)), (output_tokens, self.output)])
    }
}

fn rounded_up(parts: impl IntoIterator<Item = (u64, u64)>) -> u64 {
    // A sum of four products of 64-bit numbers may pass 128 bits; such a bill is out of any range.
    let sum = parts
        .into_iter()
        .fold(0_u128, |sum, (tokens, price)| sum.saturating_add(u128::from(tokens) * u128::from(price)));
    u64::try_from(sum.div_ceil(u128::from(PRICED_TOKENS))).unwrap_or(u64::MAX)
}

/// The price of one family of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceRow {
    /// The provider as OpenTelemetry names it; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The family: a model id without its date. `*` is every model of the provider that has no row of its own.
    pub family: String,
    /// The prices.
    pub price: Price,
    /// When the price was read, `2026-11-05`; or who gave it.
    pub read: String,
}

impl OfFamily for PriceRow {
    fn provider(&self) -> Option<&str> {
        self.provider.as_deref()
    }

    fn family(&self) -> &str {
        &self.family
    }
}

/// Prices by provider and family. A model no row names has an unknown price, which is not zero.
///
/// A row stands for a model id that is its family, or its family and a date: `gpt-x-2026-01-31`, `claude-x-20260131`,
/// `gemini-x-001`, `x-latest`, `x@20260131`. It does not stand for `gpt-x-mini`.
///
/// ```
/// use beluga_core::{Price, PriceRow, PriceTable};
///
/// let price = Price { input: 250_000, cached_input: 25_000, cache_write: 250_000, output: 2_000_000 };
/// let row = |family: &str| PriceRow { provider: Some("acme".into()), family: family.into(), price, read: "2026-11-01".into() };
/// let table = PriceTable::new([row("large")]);
/// assert_eq!(table.find("acme", "large-2026-01-31").map(|row| row.price), Some(price));
/// assert!(table.find("acme", "large-mini").is_none() && table.find("other", "large").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PriceTable {
    rows: Vec<PriceRow>,
}

impl PriceTable {
    /// Makes a table; of two rows for one model the earlier counts.
    pub fn new(rows: impl IntoIterator<Item = PriceRow>) -> Self {
        Self { rows: rows.into_iter().collect() }
    }

    /// Puts rows before those there are, so that they count.
    #[must_use]
    pub fn overridden_by(mut self, rows: impl IntoIterator<Item = PriceRow>) -> Self {
        self.rows = rows.into_iter().chain(self.rows).collect();
        self
    }

    /// Returns the row for a model of a provider; `None` if its price is unknown.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<&PriceRow> {
        family::find(&self.rows, provider, model)
    }

    /// Returns the rows, those that count first.
    #[must_use]
    pub fn rows(&self) -> &[PriceRow] {
        &self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: Price = Price { input: 3_000_000, cached_input: 300_000, cache_write: 3_750_000, output: 15_000_000 };

    #[test]
    fn a_cost_is_rounded_up_once() {
        let usage = Usage { input_tokens: 1, output_tokens: 1, ..Usage::default() };
        assert_eq!(PRICE.cost_micro_usd(&usage), 18);
        let cheap = Price { input: 1, cached_input: 1, cache_write: 1, output: 1 };
        assert_eq!(cheap.cost_micro_usd(&usage), 1, "a part of a millionth is a millionth, not two");
        assert_eq!(Price::FREE.cost_micro_usd(&usage), 0);
        let huge = Usage { input_tokens: u64::MAX, output_tokens: u64::MAX, ..Usage::default() };
        assert_eq!(Price { input: u64::MAX, output: u64::MAX, ..PRICE }.cost_micro_usd(&huge), u64::MAX);
    }

    #[test]
    fn cached_and_written_tokens_are_part_of_the_input() {
        let usage = Usage { input_tokens: 1_000, cached_tokens: 600, cache_write_tokens: 300, ..Usage::default() };
        assert_eq!(PRICE.cost_micro_usd(&usage), (100 * 3_000_000 + 600 * 300_000 + 300 * 3_750_000) / 1_000_000);
        assert!(PRICE.most_micro_usd(1_000, 0) >= PRICE.cost_micro_usd(&usage));
        assert_eq!(PRICE.most_micro_usd(1_000, 10), 3_750 + 150);
    }

    #[test]
    fn the_earlier_row_counts_and_any_model_comes_last() {
        let row = |provider: Option<&str>, family: &str, input| PriceRow {
            provider: provider.map(str::to_owned),
            family: family.to_owned(),
            price: Price { input, ..Price::FREE },
            read: String::new(),
        };
        let table = PriceTable::new([row(Some("local"), "*", 1), row(Some("local"), "big", 2)]);
        let input = |table: &PriceTable, model| table.find("local", model).map(|row| row.price.input);
        assert_eq!((input(&table, "big"), input(&table, "other")), (Some(2), Some(1)));
        let table = table.overridden_by([row(None, "big", 3)]);
        assert_eq!(
            (input(&table, "big"), table.find("elsewhere", "big-001").map(|row| row.price.input)),
            (Some(3), Some(3))
        );
        assert!(table.find("elsewhere", "other").is_none());
    }
}
