//! The rows.

use beluga_core::{Price, PriceRow, PriceTable};

/// One row: provider, family, then millionths of a dollar per million tokens, and when it was read.
struct Row(&'static str, &'static str, Price, &'static str);

/// Makes a price of prompt, cached prompt, prompt written to the cache, and answer.
const fn price(input: u64, cached_input: u64, cache_write: u64, output: u64) -> Price {
    Price { input, cached_input, cache_write, output }
}

/// Makes a price without a charge for what is written to the cache, as most vendors have it.
const fn plain(input: u64, cached_input: u64, output: u64) -> Price {
    price(input, cached_input, input, output)
}

/// Anthropic, pricing (platform.claude.com/docs/en/about-claude/pricing); writes are those of five minutes.
const ANTHROPIC: &str = "anthropic";
/// DeepSeek, models and pricing (api-docs.deepseek.com/quick_start/pricing); the rate of peak hours.
const DEEPSEEK: &str = "deepseek";
/// Google, Gemini Developer API pricing (ai.google.dev/gemini-api/docs/pricing); prompts up to 200,000 tokens.
const GEMINI: &str = "gcp.gemini";
/// Groq, pricing (groq.com/pricing).
const GROQ: &str = "groq";
/// OpenAI, pricing (developers.openai.com/api/docs/pricing, and its earlier pages for models no longer listed there).
const OPENAI: &str = "openai";

const ROWS: [Row; 48] = [
    Row(ANTHROPIC, "claude-fable-5-1", price(10_000_000, 250_000, 12_500_000, 50_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-fable-5", price(10_000_000, 1_000_000, 12_500_000, 50_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-opus-5", price(5_000_000, 500_000, 6_250_000, 25_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-opus-4-8", price(5_000_000, 500_000, 6_250_000, 25_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-opus-4-7", price(5_000_000, 500_000, 6_250_000, 25_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-opus-4-6", price(5_000_000, 500_000, 6_250_000, 25_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-opus-4-5", price(5_000_000, 500_000, 6_250_000, 25_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-opus-4-1", price(15_000_000, 1_500_000, 18_750_000, 75_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-opus-4", price(15_000_000, 1_500_000, 18_750_000, 75_000_000), "2026-11"),
    Row(ANTHROPIC, "claude-sonnet-4-6", price(3_000_000, 300_000, 3_750_000, 15_000_000), "2026-07-29"),
    Row(ANTHROPIC, "claude-sonnet-4-5", price(3_000_000, 300_000, 3_750_000, 15_000_000), "2026-07-29"),
    Row(ANTHROPIC, "claude-sonnet-4", price(3_000_000, 300_000, 3_750_000, 15_000_000), "2026-07-29"),
    Row(ANTHROPIC, "claude-3-7-sonnet", price(3_000_000, 300_000, 3_750_000, 15_000_000), "2026-07-29"),
    Row(ANTHROPIC, "claude-haiku-4-5", price(1_000_000, 100_000, 1_250_000, 5_000_000), "2026-07-29"),
    Row(ANTHROPIC, "claude-3-5-haiku", price(800_000, 80_000, 1_000_000, 4_000_000), "2026-07-29"),
    Row(DEEPSEEK, "deepseek-flash", plain(300_000, 6_000, 1_200_000), "2026-11"),
    Row(DEEPSEEK, "deepseek-v4-flash", plain(300_000, 6_000, 1_200_000), "2026-11"),
    Row(DEEPSEEK, "deepseek-v4-pro", plain(1_320_000, 44_000, 3_960_000), "2026-11"),
    Row(GEMINI, "gemini-3.5-flash", plain(1_500_000, 150_000, 9_000_000), "2026-05-19"),
    Row(GEMINI, "gemini-3.5-flash-lite", plain(300_000, 30_000, 2_500_000), "2026-07-22"),
    Row(GEMINI, "gemini-3.1-pro-preview", plain(2_000_000, 200_000, 12_000_000), "2026-02-23"),
    Row(GEMINI, "gemini-3.1-flash-lite", plain(250_000, 25_000, 1_500_000), "2026-05-12"),
    Row(GEMINI, "gemini-3-flash-preview", plain(500_000, 50_000, 3_000_000), "2026-07-04"),
    Row(GEMINI, "gemini-2.5-pro", plain(1_250_000, 125_000, 10_000_000), "2025-10-31"),
    Row(GEMINI, "gemini-2.5-flash", plain(300_000, 30_000, 2_500_000), "2025-10-31"),
    Row(GEMINI, "gemini-2.5-flash-lite", plain(100_000, 10_000, 400_000), "2025-10-31"),
    Row(GROQ, "llama-3.3-70b-versatile", plain(590_000, 590_000, 790_000), "2025-08-12"),
    Row(GROQ, "llama-3.1-8b-instant", plain(50_000, 50_000, 80_000), "2025-08-12"),
    Row(GROQ, "openai/gpt-oss-120b", plain(150_000, 75_000, 600_000), "2026-11"),
    Row(GROQ, "openai/gpt-oss-20b", plain(75_000, 37_000, 300_000), "2026-11"),
    Row(GROQ, "qwen/qwen3-32b", plain(290_000, 290_000, 590_000), "2025-08-12"),
    Row(OPENAI, "gpt-5.5", plain(5_000_000, 500_000, 30_000_000), "2026-06-04"),
    Row(OPENAI, "gpt-5.4", plain(2_500_000, 250_000, 15_000_000), "2026-06-04"),
    Row(OPENAI, "gpt-5.4-mini", plain(750_000, 75_000, 4_500_000), "2026-06-04"),
    Row(OPENAI, "gpt-5.4-nano", plain(200_000, 20_000, 1_250_000), "2026-06-04"),
    Row(OPENAI, "gpt-5.2", plain(1_750_000, 175_000, 14_000_000), "2026-04-13"),
    Row(OPENAI, "gpt-5.1", plain(1_250_000, 125_000, 10_000_000), "2026-04-13"),
    Row(OPENAI, "gpt-5", plain(1_250_000, 125_000, 10_000_000), "2025-11-13"),
    Row(OPENAI, "gpt-5-mini", plain(250_000, 25_000, 2_000_000), "2025-11-13"),
    Row(OPENAI, "gpt-5-nano", plain(50_000, 5_000, 400_000), "2025-11-13"),
    Row(OPENAI, "gpt-4.1", plain(2_000_000, 500_000, 8_000_000), "2025-07-04"),
    Row(OPENAI, "gpt-4.1-mini", plain(400_000, 100_000, 1_600_000), "2025-07-04"),
    Row(OPENAI, "gpt-4.1-nano", plain(100_000, 25_000, 400_000), "2025-07-04"),
    Row(OPENAI, "gpt-4o", plain(2_500_000, 1_250_000, 10_000_000), "2025-07-04"),
    Row(OPENAI, "gpt-4o-mini", plain(150_000, 75_000, 600_000), "2025-07-04"),
    Row(OPENAI, "o3", plain(2_000_000, 500_000, 8_000_000), "2025-07-12"),
    Row(OPENAI, "o4-mini", plain(1_100_000, 275_000, 4_400_000), "2025-07-04"),
    Row(OPENAI, "o3-mini", plain(1_100_000, 550_000, 4_400_000), "2025-07-04"),
];

/// Providers whose every model runs on one's own machine.
const FREE: [&str; 2] = ["beluga.offline", "ollama"];

/// Returns the table.
///
/// ```
/// let table = beluga_providers::price::table();
/// let row = table.find("openai", "gpt-5-mini-2025-08-07").unwrap();
/// assert_eq!((row.price.input, row.price.output), (250_000, 2_000_000), "$0.25 and $2 a million tokens");
/// assert!(table.find("openai", "gpt-unheard-of").is_none());
/// assert_eq!(table.find("ollama", "anything").unwrap().price, beluga_core::Price::FREE);
/// ```
#[must_use]
pub fn table() -> PriceTable {
    let row = |Row(provider, family, price, read): &Row| PriceRow {
        provider: Some((*provider).to_owned()),
        family: (*family).to_owned(),
        price: *price,
        read: (*read).to_owned(),
    };
    let free = |provider: &&str| PriceRow {
        provider: Some((*provider).to_owned()),
        family: "*".to_owned(),
        price: Price::FREE,
        read: "own machine".to_owned(),
    };
    PriceTable::new(ROWS.iter().map(row).chain(FREE.iter().map(free)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_model_has_one_row_a_date_and_a_price_in_the_usual_order() {
        let mut seen = BTreeSet::new();
        for Row(provider, family, price, read) in &ROWS {
            assert!(seen.insert((provider, family)), "{family} twice");
            assert!(read.len() >= 7 && read.starts_with("202"), "{family}: {read}");
            assert!(price.cached_input <= price.input && price.input <= price.cache_write, "{family}");
            assert!(price.input < price.output && price.output < 1_000_000_000, "{family}");
        }
    }

    #[test]
    fn a_smaller_or_newer_sister_has_its_own_price_or_none() {
        let table = table();
        let input = |model| table.find(ANTHROPIC, model).map(|row| row.price.input);
        assert_eq!(input("claude-opus-4-20250514"), Some(15_000_000));
        assert_eq!(input("claude-opus-4-5-20251101"), Some(5_000_000));
        assert_eq!(input("claude-opus-4-9"), None);
        assert_eq!(table.find(OPENAI, "gpt-4.1-mini-2025-04-14").unwrap().price.input, 400_000);
        assert!(table.find(OPENAI, "gpt-5-codex").is_none());
    }
}
