//! The rows.

use beluga_core::{FactsRow, FactsTable, ModelFacts};

/// One row: provider, family, the most tokens of prompt and answer together, the most of an answer, what counts them, and
/// when it was read.
struct Row(&'static str, &'static str, u64, Option<u64>, Option<&'static str>, &'static str);

/// Anthropic, models overview (platform.claude.com/docs/en/about-claude/models); without the switch for long contexts.
const ANTHROPIC: &str = "anthropic";
/// Cerebras, models (inference-docs.cerebras.ai/models/overview); of paid accounts but for the smallest.
const CEREBRAS: &str = "cerebras";
/// DeepSeek, models and pricing (api-docs.deepseek.com/quick_start/pricing).
const DEEPSEEK: &str = "deepseek";
/// Google, Gemini models (ai.google.dev/gemini-api/docs/models).
const GEMINI: &str = "gcp.gemini";
/// Groq, supported models (console.groq.com/docs/models).
const GROQ: &str = "groq";
/// Mistral, as its own list of models says (`GET /v1/models`); older models of a family read less.
const MISTRAL: &str = "mistral_ai";
/// OpenAI, models (developers.openai.com/api/docs/models).
const OPENAI: &str = "openai";
/// xAI, models (docs.x.ai/docs/models).
const XAI: &str = "x_ai";

/// OpenAI's encoding since GPT-4o; its open models differ in special tokens alone.
const O200K: Option<&str> = Some("o200k_base");
/// OpenAI's encoding of GPT-4 and GPT-3.5.
const CL100K: Option<&str> = Some("cl100k_base");

const ROWS: [Row; 70] = [
    Row(ANTHROPIC, "claude-fable-5-1", 1_000_000, Some(128_000), None, "2026-11"),
    Row(ANTHROPIC, "claude-fable-5", 1_000_000, Some(128_000), None, "2026-11"),
    Row(ANTHROPIC, "claude-opus-5-5", 1_000_000, Some(128_000), None, "2026-11"),
    Row(ANTHROPIC, "claude-opus-5", 1_000_000, Some(128_000), None, "2026-11"),
    Row(ANTHROPIC, "claude-opus-4-8", 1_000_000, Some(128_000), None, "2026-11"),
    Row(ANTHROPIC, "claude-opus-4-7", 1_000_000, Some(128_000), None, "2026-11"),
    Row(ANTHROPIC, "claude-opus-4-6", 200_000, Some(128_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-opus-4-5", 200_000, Some(64_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-sonnet-4-6", 200_000, Some(64_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-sonnet-4-5", 200_000, Some(64_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-haiku-4-5", 200_000, Some(64_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-sonnet-4", 200_000, Some(64_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-3-7-sonnet", 200_000, Some(64_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-opus-4-1", 200_000, Some(32_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-opus-4", 200_000, Some(32_000), None, "2026-08-21"),
    Row(ANTHROPIC, "claude-3-5-haiku", 200_000, Some(8_192), None, "2026-08-21"),
    Row(CEREBRAS, "gpt-oss-120b", 131_072, None, O200K, "2026-08-21"),
    Row(CEREBRAS, "llama-3.3-70b", 128_000, None, None, "2026-08-21"),
    Row(CEREBRAS, "llama3.1-8b", 32_768, None, None, "2026-08-21"),
    Row(CEREBRAS, "qwen-3-32b", 131_072, None, None, "2026-08-21"),
    Row(DEEPSEEK, "deepseek-v4-flash", 1_000_000, None, None, "2026-08-21"),
    Row(DEEPSEEK, "deepseek-v4-pro", 1_000_000, None, None, "2026-08-21"),
    Row(GEMINI, "gemini-3.5-flash", 1_000_000, Some(65_536), None, "2026-08-21"),
    Row(GEMINI, "gemini-3.5-flash-lite", 1_000_000, Some(65_536), None, "2026-08-21"),
    Row(GEMINI, "gemini-3.1-pro-preview", 1_000_000, Some(65_536), None, "2026-08-21"),
    Row(GEMINI, "gemini-3.1-flash-lite", 1_000_000, Some(65_536), None, "2026-08-21"),
    Row(GEMINI, "gemini-3-flash-preview", 1_000_000, Some(65_536), None, "2026-08-21"),
    Row(GEMINI, "gemini-2.5-pro", 1_000_000, Some(65_536), None, "2026-08-21"),
    Row(GEMINI, "gemini-2.5-flash", 1_000_000, Some(65_536), None, "2026-08-21"),
    Row(GEMINI, "gemini-2.5-flash-lite", 1_000_000, Some(65_536), None, "2026-08-21"),
    Row(GROQ, "openai/gpt-oss-120b", 131_072, Some(65_536), O200K, "2026-08-21"),
    Row(GROQ, "openai/gpt-oss-20b", 131_072, Some(65_536), O200K, "2026-08-21"),
    Row(GROQ, "llama-3.3-70b-versatile", 131_072, Some(32_768), None, "2025-08-12"),
    Row(GROQ, "llama-3.1-8b-instant", 131_072, Some(131_072), None, "2025-08-12"),
    Row(GROQ, "qwen/qwen3-32b", 131_072, Some(40_960), None, "2025-08-12"),
    Row(MISTRAL, "codestral-2508", 256_000, None, None, "2026-07"),
    Row(MISTRAL, "codestral-latest", 256_000, None, None, "2026-07"),
    Row(MISTRAL, "devstral-2512", 262_144, None, None, "2026-07"),
    Row(MISTRAL, "devstral-latest", 262_144, None, None, "2026-07"),
    Row(MISTRAL, "magistral-small-latest", 262_144, None, None, "2026-07"),
    Row(MISTRAL, "mistral-large-2512", 262_144, None, None, "2026-07"),
    Row(MISTRAL, "mistral-large-latest", 262_144, None, None, "2026-07"),
    Row(MISTRAL, "mistral-medium-2505", 131_072, None, None, "2026-07"),
    Row(MISTRAL, "mistral-medium-2508", 131_072, None, None, "2026-07"),
    Row(MISTRAL, "mistral-small-2603", 262_144, None, None, "2026-07"),
    Row(MISTRAL, "mistral-small-latest", 262_144, None, None, "2026-07"),
    Row(OPENAI, "gpt-5.5", 1_000_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-5.4", 1_000_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-5.4-mini", 400_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-5.4-nano", 400_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-5.2", 400_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-5.1", 400_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-5", 400_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-5-mini", 400_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-5-nano", 400_000, Some(128_000), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-4.1", 1_000_000, Some(32_768), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-4.1-mini", 1_000_000, Some(32_768), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-4.1-nano", 1_000_000, Some(32_768), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-4o", 128_000, Some(16_384), O200K, "2026-08-21"),
    Row(OPENAI, "gpt-4o-mini", 128_000, Some(16_384), O200K, "2026-08-21"),
    Row(OPENAI, "o3", 200_000, Some(100_000), O200K, "2025-08-12"),
    Row(OPENAI, "o4-mini", 200_000, Some(100_000), O200K, "2025-08-12"),
    Row(OPENAI, "o3-mini", 200_000, Some(100_000), O200K, "2025-08-12"),
    Row(OPENAI, "gpt-4-turbo", 128_000, Some(4_096), CL100K, "2026-08-21"),
    Row(OPENAI, "gpt-4", 8_192, None, CL100K, "2026-08-21"),
    Row(OPENAI, "gpt-3.5-turbo", 16_385, Some(4_096), CL100K, "2026-08-21"),
    Row(XAI, "grok-4.5", 500_000, None, None, "2026-08-21"),
    Row(XAI, "grok-4", 256_000, None, None, "2026-08-21"),
    Row(XAI, "grok-3", 131_072, None, None, "2026-08-21"),
    Row(XAI, "grok-3-mini", 131_072, None, None, "2026-08-21"),
];

/// Returns the table.
///
/// ```
/// let table = beluga_providers::facts::table();
/// let facts = table.find("openai", "gpt-5-mini-2025-08-07").unwrap();
/// assert_eq!((facts.context_tokens, facts.prompt_tokens()), (400_000, 272_000));
/// assert_eq!(facts.tokenizer.as_deref(), Some("o200k_base"));
/// assert!(table.find("openai", "gpt-unheard-of").is_none());
/// ```
#[must_use]
pub fn table() -> FactsTable {
    FactsTable::new(ROWS.iter().map(|Row(provider, family, context_tokens, output_tokens, tokenizer, read)| FactsRow {
        provider: Some((*provider).to_owned()),
        family: (*family).to_owned(),
        facts: ModelFacts {
            context_tokens: *context_tokens,
            output_tokens: *output_tokens,
            tokenizer: tokenizer.map(str::to_owned),
        },
        read: (*read).to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::TOKENIZERS;

    #[test]
    fn no_family_has_two_rows_and_every_row_makes_sense() {
        let table = table();
        for (at, row) in table.rows().iter().enumerate() {
            let same = |other: &&FactsRow| other.provider == row.provider && other.family == row.family;
            assert!(!table.rows()[..at].iter().any(|other| same(&other)), "{} is there twice", row.family);
            let facts = &row.facts;
            assert!(facts.output_tokens.is_none_or(|most| most <= facts.context_tokens), "{}", row.family);
            assert!(facts.prompt_tokens() * 2 >= facts.context_tokens, "{}", row.family);
            let known = facts.tokenizer.as_deref().is_none_or(|name| TOKENIZERS.contains(&name));
            assert!(known && row.read.len() >= 7, "{}", row.family);
        }
    }

    #[test]
    fn every_provider_is_named_as_its_profile_names_it() {
        let known: Vec<&str> = crate::llm::PROFILES.iter().map(|profile| profile.otel_name).collect();
        for row in table().rows() {
            assert!(known.contains(&row.provider.as_deref().unwrap()), "{row:?}");
        }
    }
}
