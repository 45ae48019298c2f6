//! Embedders: vendors' behind HTTP, and one that needs nothing.
//!
//! A *dialect* is a wire format ([`EmbedDialect`]), a *profile* what is known of one vendor, as data ([`EmbedProfile`]).
//! One implementation drives them all: it cuts a request into batches of the vendor's bounds, sends at most
//! [`BATCHES_AT_ONCE`] at a time, puts the vectors together in the order of the texts and checks their number and
//! length. Retries, rate limits and breakers are not here: they belong to the embedder's actor above.
//!
//! [`LocalEmbedder`] counts words and pieces of words. It is for offline work and for tests, and compares spelling, not
//! meaning.
//!
//! A new vendor is a row in `profiles.rs`; a new wire format a file beside `openai.rs` with a variant of
//! [`EmbedDialect`]. Limits: [`EMBED_TEXTS_MAX`](beluga_core::EMBED_TEXTS_MAX),
//! [`EMBED_MAX_BYTES`](beluga_core::EMBED_MAX_BYTES), [`VENDOR_ANSWER_MAX_BYTES`](crate::vendor::VENDOR_ANSWER_MAX_BYTES)
//! per batch.

mod batch;
mod cohere;
mod dialect;
mod embedder;
mod factory;
mod google;
mod local;
mod ollama;
mod openai;
mod profile;
mod profiles;
mod vector;

pub use dialect::{EmbedDialect, EmbedFacts};
pub use embedder::BATCHES_AT_ONCE;
pub use factory::{register, register_with};
pub use local::{LOCAL_DIMENSIONS, LOCAL_DIMENSIONS_MAX, LOCAL_MODEL, LocalEmbedder};
pub use profile::{EmbedProfile, KindWords, Truncation};
pub use profiles::{COHERE, EMBED_PROFILES, GOOGLE, JINA, OLLAMA, OPENAI, OPENAI_COMPATIBLE, VOYAGE};
