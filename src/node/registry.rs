//! Which kinds of providers this binary knows.

use beluga_core::{EmbedderRegistry, Error, ModelRegistry, RerankerRegistry, Result};
use beluga_providers::{embed, llm, offline, rerank};

/// Returns the factories of every kind that is compiled in.
///
/// # Errors
/// `internal` if TLS cannot be set up.
pub(crate) fn model_registry() -> Result<ModelRegistry> {
    let mut registry = ModelRegistry::new("provider kind");
    offline::register(&mut registry)
        .and_then(|()| llm::register(&mut registry))
        .map_err(|error| Error::internal("the providers cannot be set up").with_source(error))?;
    Ok(registry)
}

/// Returns the factories of every kind of embedder that is compiled in.
///
/// # Errors
/// `internal` if TLS cannot be set up.
pub(crate) fn embedder_registry() -> Result<EmbedderRegistry> {
    let mut registry = EmbedderRegistry::new("embedder kind");
    embed::register(&mut registry)
        .map_err(|error| Error::internal("the embedders cannot be set up").with_source(error))?;
    Ok(registry)
}

/// Returns the factories of every kind of reranker that is compiled in.
///
/// # Errors
/// `internal` if TLS cannot be set up.
pub(crate) fn reranker_registry() -> Result<RerankerRegistry> {
    let mut registry = RerankerRegistry::new("reranker kind");
    rerank::register(&mut registry)
        .map_err(|error| Error::internal("the rerankers cannot be set up").with_source(error))?;
    Ok(registry)
}
