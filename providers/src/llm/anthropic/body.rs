//! The shapes of an answer's body.

use serde_json::value::RawValue;

use super::super::json::Text;
use super::super::wire::wire;

wire! {
    /// One event of a stream.
    pub(super) struct WireEvent<'a> {
        kind: Text<'a> = "type",
        index: i64 = "index",
        message: WireMessage<'a> = "message",
        content_block: &'a RawValue = "content_block",
        delta: WireDelta<'a> = "delta",
        usage: &'a RawValue = "usage",
        error: &'a RawValue = "error",
    }
}

wire! {
    /// A message: what a stream begins with, or a whole answer.
    pub(super) struct WireMessage<'a> {
        id: Text<'a> = "id",
        kind: Text<'a> = "type",
        role: Text<'a> = "role",
        model: Text<'a> = "model",
        content: Vec<&'a RawValue> = "content",
        stop_reason: Text<'a> = "stop_reason",
        usage: &'a RawValue = "usage",
        error: &'a RawValue = "error",
    }
}

wire! {
    /// A content block, as far as the normal form knows it.
    pub(super) struct WireBlock<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        citations: Vec<&'a RawValue> = "citations",
        thinking: Text<'a> = "thinking",
        signature: Text<'a> = "signature",
        data: Text<'a> = "data",
        id: Text<'a> = "id",
        name: Text<'a> = "name",
        input: &'a RawValue = "input",
    }
}

wire! {
    /// More of a block, or of the message.
    pub(super) struct WireDelta<'a> {
        kind: Text<'a> = "type",
        text: Text<'a> = "text",
        thinking: Text<'a> = "thinking",
        signature: Text<'a> = "signature",
        partial_json: Text<'a> = "partial_json",
        citation: &'a RawValue = "citation",
        stop_reason: Text<'a> = "stop_reason",
    }
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct WireUsage {
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) cache_creation_input_tokens: Option<u64>,
    pub(super) cache_read_input_tokens: Option<u64>,
    pub(super) output_tokens_details: Option<WireOutputDetails>,
}

#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct WireOutputDetails {
    pub(super) thinking_tokens: Option<u64>,
}
