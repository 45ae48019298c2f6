//! The vendors of embeddings, one row each.

use beluga_core::ProviderVariables;

use super::dialect::EmbedDialect;
use super::profile::{EmbedProfile, KindWords, Truncation};
use crate::llm;

/// What most vendors have in common: OpenAI's form, no word for what a text is for.
const COMMON: EmbedProfile = EmbedProfile {
    name: "openai-compatible",
    otel_name: "openai-compatible",
    dialect: EmbedDialect::OpenAi,
    base_url: None,
    is_ollamas_address: false,
    key_header: None,
    variables: ProviderVariables { api_key: &[], base_url: &[], key_optional: true },
    default_model: None,
    // Nobody knows the server's bound: ours, small enough for one without a GPU.
    batch_texts_max: 256,
    batch_tokens_max: None,
    kind: None,
    dimensions_field: Some("dimensions"),
    truncation: Truncation::Untold,
    base64: None,
    normalises_shortened: false,
    model_dimensions: &[],
};

/// Any server with OpenAI's `/embeddings`; the configuration names address and model.
pub const OPENAI_COMPATIBLE: EmbedProfile = COMMON;

/// OpenAI (API reference, create embeddings, as known in 2026-11): 2,048 texts and 300,000 tokens at once.
pub const OPENAI: EmbedProfile = EmbedProfile {
    name: "openai",
    otel_name: "openai",
    base_url: llm::OPENAI.base_url,
    variables: llm::OPENAI.variables,
    default_model: Some("text-embedding-3-large"),
    batch_texts_max: 2048,
    batch_tokens_max: Some(300_000),
    base64: Some(("encoding_format", "base64")),
    model_dimensions: &[
        ("text-embedding-3-large", 3072),
        ("text-embedding-3-small", 1536),
        ("text-embedding-ada-002", 1536),
    ],
    ..COMMON
};

/// Google AI Studio (Gemini API reference, embeddings, as known in 2026-11): 100 texts at once. Only vectors of full length
/// come at length one.
pub const GOOGLE: EmbedProfile = EmbedProfile {
    name: "google",
    otel_name: "gcp.gemini",
    dialect: EmbedDialect::Google,
    base_url: llm::GOOGLE.base_url,
    key_header: Some("x-goog-api-key"),
    variables: llm::GOOGLE.variables,
    default_model: Some("gemini-embedding-001"),
    batch_texts_max: 100,
    kind: Some(KindWords {
        field: "taskType",
        document: "RETRIEVAL_DOCUMENT",
        query: "RETRIEVAL_QUERY",
        is_needed: false,
    }),
    dimensions_field: Some("outputDimensionality"),
    normalises_shortened: true,
    model_dimensions: &[
        ("gemini-embedding-001", 3072),
        ("gemini-embedding-2", 3072),
        ("text-embedding-004", 768),
        ("text-embedding-005", 768),
    ],
    ..COMMON
};

/// Ollama (API documentation, generate embeddings, as known in 2026-11): no bound on texts; ours, as a small machine answers.
pub const OLLAMA: EmbedProfile = EmbedProfile {
    name: "ollama",
    otel_name: "ollama",
    dialect: EmbedDialect::Ollama,
    base_url: llm::OLLAMA.base_url,
    is_ollamas_address: true,
    variables: llm::OLLAMA.variables,
    default_model: Some("nomic-embed-text"),
    truncation: Truncation::Flag("truncate"),
    model_dimensions: &[("nomic-embed-text", 768), ("mxbai-embed-large", 1024), ("all-minilm", 384)],
    ..COMMON
};

/// Cohere (API reference, embed v2, as known in 2026-11): 96 texts at once; what a text is for must be told.
pub const COHERE: EmbedProfile = EmbedProfile {
    name: "cohere",
    otel_name: "cohere",
    dialect: EmbedDialect::Cohere,
    base_url: llm::COHERE.base_url,
    variables: llm::COHERE.variables,
    default_model: Some("embed-v4.0"),
    batch_texts_max: 96,
    kind: Some(KindWords { field: "input_type", document: "search_document", query: "search_query", is_needed: true }),
    dimensions_field: Some("output_dimension"),
    truncation: Truncation::EndOrNone,
    model_dimensions: &[
        ("embed-v4.0", 1536),
        ("embed-english-v3.0", 1024),
        ("embed-multilingual-v3.0", 1024),
        ("embed-english-light-v3.0", 384),
        ("embed-multilingual-light-v3.0", 384),
    ],
    ..COMMON
};

/// Voyage AI (API reference, text embeddings, as known in 2026-11): 1,000 texts at once, 120,000 tokens of the model with the
/// least.
pub const VOYAGE: EmbedProfile = EmbedProfile {
    name: "voyage",
    otel_name: "voyageai",
    base_url: Some("https://api.voyageai.com/v1"),
    variables: ProviderVariables { api_key: &["VOYAGE_API_KEY"], base_url: &["VOYAGE_BASE_URL"], key_optional: false },
    default_model: Some("voyage-3-large"),
    batch_texts_max: 1000,
    batch_tokens_max: Some(120_000),
    kind: Some(KindWords { field: "input_type", document: "document", query: "query", is_needed: false }),
    dimensions_field: Some("output_dimension"),
    truncation: Truncation::Flag("truncation"),
    base64: Some(("encoding_format", "base64")),
    model_dimensions: &[
        ("voyage-3-large", 1024),
        ("voyage-3.5", 1024),
        ("voyage-3.5-lite", 1024),
        ("voyage-4", 1024),
        ("voyage-code-3", 1024),
    ],
    ..COMMON
};

/// Jina AI (embeddings API, as known in 2026-11): no bound on texts is known here; ours.
pub const JINA: EmbedProfile = EmbedProfile {
    name: "jina",
    otel_name: "jina",
    base_url: Some("https://api.jina.ai/v1"),
    variables: ProviderVariables { api_key: &["JINA_API_KEY"], base_url: &["JINA_BASE_URL"], key_optional: false },
    default_model: Some("jina-embeddings-v3"),
    kind: Some(KindWords { field: "task", document: "retrieval.passage", query: "retrieval.query", is_needed: false }),
    truncation: Truncation::Flag("truncate"),
    model_dimensions: &[
        ("jina-embeddings-v3", 1024),
        ("jina-embeddings-v4", 2048),
        ("jina-embeddings-v2-base-en", 768),
    ],
    ..COMMON
};

/// Every vendor of embeddings.
pub const EMBED_PROFILES: [&EmbedProfile; 7] = [&OPENAI, &OPENAI_COMPATIBLE, &GOOGLE, &OLLAMA, &COHERE, &VOYAGE, &JINA];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_are_where_their_documents_say() {
        for (name, address) in [
            ("openai", "https://api.openai.com/v1/embeddings"),
            ("google", "https://generativelanguage.googleapis.com/v1beta/models/m:batchEmbedContents"),
            ("ollama", "http://127.0.0.1:11434/api/embed"),
            ("cohere", "https://api.cohere.com/v2/embed"),
            ("voyage", "https://api.voyageai.com/v1/embeddings"),
            ("jina", "https://api.jina.ai/v1/embeddings"),
        ] {
            let profile = EMBED_PROFILES.iter().find(|profile| profile.name == name).unwrap();
            let base = crate::vendor::parse(name, profile.base_url.unwrap()).unwrap();
            assert_eq!(crate::vendor::below(&base, &profile.path("m")).as_str(), address);
            assert!(profile.dimensions_of(profile.default_model.unwrap()).is_some(), "{name}");
        }
    }

    #[test]
    fn a_tag_is_no_part_of_a_models_name() {
        assert_eq!(OLLAMA.dimensions_of("nomic-embed-text:v1.5"), Some(768));
        assert_eq!(OLLAMA.dimensions_of("bge-m3"), None);
    }
}
