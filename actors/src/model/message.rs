//! What may be said to a model.

use std::sync::Arc;

use beluga_core::{ModelChunk, ModelRequest};
use beluga_runtime::{Message, protocol};

/// Asks for an answer, as a stream.
#[derive(Debug, Message)]
#[message(name = "model.generate", version = 1, stream = ModelChunk)]
pub(crate) struct Generate(pub(crate) Arc<ModelRequest>);

protocol!(
    /// What may be said to a model.
    pub(crate) ModelProtocol: ; stream Generate
);
