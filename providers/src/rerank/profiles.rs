//! The vendors of rankings, one row each.

use beluga_core::ProviderVariables;

use super::profile::RerankProfile;
use crate::llm;

/// Cohere (API reference, rerank v2, as known in 2026-11): 10,000 documents at most, 1,000 recommended.
pub const COHERE: RerankProfile = RerankProfile {
    name: "cohere",
    otel_name: "cohere",
    base_url: "https://api.cohere.com",
    path: "/v2/rerank",
    variables: llm::COHERE.variables,
    default_model: Some("rerank-v3.5"),
    top_field: "top_n",
    documents_max: 10_000,
    tells_documents: false,
};

/// Jina AI (reranker API, as known in 2026-11): no bound is known here; ours is Voyage's.
pub const JINA: RerankProfile = RerankProfile {
    name: "jina",
    otel_name: "jina",
    base_url: "https://api.jina.ai",
    path: "/v1/rerank",
    variables: ProviderVariables { api_key: &["JINA_API_KEY"], base_url: &["JINA_BASE_URL"], key_optional: false },
    default_model: Some("jina-reranker-v2-base-multilingual"),
    documents_max: 1000,
    tells_documents: true,
    ..COHERE
};

/// Voyage AI (API reference, rerankers, as known in 2026-11): 1,000 documents at most.
pub const VOYAGE: RerankProfile = RerankProfile {
    name: "voyage",
    otel_name: "voyageai",
    base_url: "https://api.voyageai.com",
    path: "/v1/rerank",
    variables: ProviderVariables { api_key: &["VOYAGE_API_KEY"], base_url: &["VOYAGE_BASE_URL"], key_optional: false },
    default_model: Some("rerank-2.5"),
    top_field: "top_k",
    documents_max: 1000,
    ..COHERE
};

/// llama.cpp's server, started with `--reranking` (its documentation, as known in 2026-11). The model is the one it has loaded.
pub const LLAMA_CPP: RerankProfile = RerankProfile {
    name: "llama-cpp",
    otel_name: "llama-cpp",
    base_url: "http://127.0.0.1:8080",
    path: "/v1/rerank",
    variables: llm::LLAMA_CPP.variables,
    default_model: None,
    documents_max: 1000,
    ..COHERE
};

/// Every vendor of rankings.
pub const RERANK_PROFILES: [&RerankProfile; 4] = [&COHERE, &JINA, &VOYAGE, &LLAMA_CPP];
