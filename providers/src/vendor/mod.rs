//! What every caller of a vendor's HTTP API needs that asks once and is answered once: headers with the credential, the
//! address, one call with its limits, and the vendor's errors translated.
//!
//! Embedders and rerankers stand on it. Models do not: their answers come in pieces, see `llm/model.rs`.

mod address;
mod call;
mod headers;

pub use call::{VENDOR_ANSWER_MAX_BYTES, refusal};

pub(crate) use address::{below, parse, segment};
pub(crate) use call::{Connection, Posted};
pub(crate) use headers::{json_headers, option_headers};
