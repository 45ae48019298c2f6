//! Whole answers kept for requests that come again exactly.
//!
//! An [`ExactCache`] goes round a model, a router or all models of an agent as a layer. Its key is the tenant, the model,
//! the version of the policy in force, and everything of the request that can change the answer; what cannot (labels,
//! hints, what earlier answers cost) is left out. Only whole answers are kept: never an error, never one that was cut by
//! its length or a filter, never one its reader left. A hit is given as a stream, costs nothing, and says so in its usage.
//!
//! Limits: entries, bytes and age ([`CacheSettings`]); the least recently used leaves first. Not here: similar requests
//! (a semantic cache needs an embedder), sharing between nodes.

mod key;
mod layer;
mod store;

#[cfg(test)]
mod tests;

pub use store::{CacheSettings, CacheStats, ExactCache};
