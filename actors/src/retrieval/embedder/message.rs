//! What may be said to an embedder.

use std::sync::Arc;

use beluga_core::{EmbedRequest, Embeddings};
use beluga_runtime::{Message, protocol};

/// Asks for the vectors of texts. The stream has one item.
#[derive(Debug, Message)]
#[message(name = "embedder.embed", version = 1, stream = Embeddings)]
pub(crate) struct Embed(pub(crate) Arc<EmbedRequest>);

protocol!(
    /// What may be said to an embedder.
    pub(crate) EmbedderProtocol: ; stream Embed
);
