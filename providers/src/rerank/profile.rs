//! What is known of a vendor of rankings, as data.

use beluga_core::{ProviderVariables, Ranking, RerankRequest, Result};

use super::wire;
use crate::llm::{Ignored, Implied};

/// A vendor: where it is, how it is called, and what it takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RerankProfile {
    /// The kind in the configuration.
    pub name: &'static str,
    /// The value of `gen_ai.provider.name`.
    pub otel_name: &'static str,
    /// The address without a trailing slash.
    pub base_url: &'static str,
    /// The path of a call below it.
    pub path: &'static str,
    /// The environment variables the vendor's own tools read, and whether a key is needed.
    pub variables: ProviderVariables,
    /// The model used where the configuration names none; `None` if it must.
    pub default_model: Option<&'static str>,
    /// The field of how many documents are wanted.
    pub top_field: &'static str,
    /// The most documents of one call.
    pub documents_max: usize,
    /// Whether documents come back unless told not to.
    pub tells_documents: bool,
}

/// What is known of the wire format, as data: what a replay of recorded exchanges needs.
#[derive(Debug, Clone, Copy)]
pub struct RerankFacts {
    /// Its name.
    pub name: &'static str,
    /// Leaves of an answer that say nothing.
    pub ignored: &'static [Ignored],
    /// Values of a request that mean the same as their absence.
    pub implied: &'static [Implied],
    /// Fields of a request that pass through, sorted.
    pub pass_through: &'static [&'static str],
}

/// The facts of the one wire format.
pub static RERANK_FACTS: RerankFacts = RerankFacts {
    name: "rerank",
    ignored: &[
        Ignored { path: "object", value: Some("\"list\""), why: "it is always this" },
        Ignored { path: "results[].relevance_score", value: None, why: "compared as a score" },
        Ignored { path: "data[].relevance_score", value: None, why: "compared as a score" },
    ],
    implied: &[],
    pass_through: &["max_tokens_per_doc", "priority", "rank_fields", "return_documents", "truncation"],
};

impl RerankProfile {
    /// Encodes a request as the body of the vendor's HTTP request; `model` where the request names none.
    #[must_use]
    pub fn encode(&self, model: &str, request: &RerankRequest) -> Vec<u8> {
        wire::encode(self, request.model.as_deref().unwrap_or(model), request)
    }

    /// Decodes the body of a successful answer, in the order it came.
    ///
    /// # Errors
    /// `provider_unavailable` if it is no ranking.
    pub fn decode(&self, body: &[u8]) -> Result<Ranking> {
        wire::decode(body)
    }

    /// Decodes the body of a request somebody else encoded for this vendor.
    ///
    /// # Errors
    /// `invalid_input` if it is no request; `unsupported` if a document is no text.
    pub fn decode_request(&self, body: &[u8]) -> Result<RerankRequest> {
        wire::decode_request(self, body)
    }
}
