//! What may be said to a reranker.

use std::sync::Arc;

use beluga_core::{Ranking, RerankRequest};
use beluga_runtime::{Message, protocol};

/// Asks for a ranking of documents. The stream has one item.
#[derive(Debug, Message)]
#[message(name = "reranker.rerank", version = 1, stream = Ranking)]
pub(crate) struct Rerank(pub(crate) Arc<RerankRequest>);

protocol!(
    /// What may be said to a reranker.
    pub(crate) RerankerProtocol: ; stream Rerank
);
