//! One reranker, as an actor: see the room's own page for who owns it and where its limits are.

mod actor;
mod handle;
mod message;

pub use handle::RerankerRef;
