//! Anthropic's Messages (API reference, Messages and streaming, read 2026-11).

mod decode;
mod encode;

pub(super) use decode::MessagesDecoder;
pub(super) use encode::encode;

/// The version of the API every request names.
pub(super) const VERSION: &str = "2023-06-01";

/// The family of thinking made here.
const FAMILY: &str = "anthropic";
