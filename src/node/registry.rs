//! Which kinds of providers this binary knows.

use beluga_core::{Error, ModelRegistry, Result};
use beluga_providers::{llm, offline};

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
