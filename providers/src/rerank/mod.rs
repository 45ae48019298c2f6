//! Rerankers of vendors behind HTTP: one wire format, one row of facts per vendor.
//!
//! All vendors take a query and documents and give places with scores; they differ in the names of two fields and in
//! what they take at once. A request beyond a vendor's bound is refused before it is sent: whoever ranks a thousand
//! documents wants a better search first. Retries, rate limits and breakers belong to the reranker's actor above.

mod factory;
mod profile;
mod profiles;
mod reranker;
mod wire;

pub use factory::{register, register_with};
pub use profile::{RERANK_FACTS, RerankFacts, RerankProfile};
pub use profiles::{COHERE, JINA, LLAMA_CPP, RERANK_PROFILES, VOYAGE};
