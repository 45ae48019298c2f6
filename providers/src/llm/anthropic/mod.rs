//! Anthropic's Messages (API reference, Messages and streaming, read 2026-11).

mod block;
mod block_in;
mod block_out;
mod body;
mod citation;
mod decode;
mod encode;
mod request;
mod turn;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Ignored, Implied, Target, WireRequest};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect.
#[derive(Debug)]
pub(super) struct Messages;

/// The version of the API every request names.
const VERSION: &str = "2023-06-01";

static FACTS: DialectFacts = DialectFacts {
    name: "anthropic",
    headers: &[("anthropic-version", VERSION)],
    framing: Framing::Sse,
    pass_through: &[
        "allowed_callers",
        "anthropic_beta",
        "anthropic_version",
        "caller",
        "citations",
        "container",
        "context",
        "context_management",
        "defer_loading",
        "inference_geo",
        "input_examples",
        "mcp_servers",
        "metadata",
        "output_config",
        "speed",
        "thinking",
        "tool_choice",
    ],
    implied: &[
        Implied { path: "stream", value: "false" },
        Implied { path: "stop_sequences", value: "[]" },
        Implied { path: "tools", value: "[]" },
        Implied { path: "tools[].type", value: "\"custom\"" },
        Implied { path: "tools[].description", value: "\"\"" },
        Implied { path: "tool_choice", value: r#"{"type":"auto"}"# },
        Implied { path: "tool_choice.disable_parallel_tool_use", value: "false" },
        Implied { path: "messages[].content[].is_error", value: "false" },
        Implied { path: "messages[].content[].content", value: "[]" },
        Implied { path: "messages[].content[].citations", value: "[]" },
    ],
    ignored: &[
        Ignored { path: "type", value: None, why: "it names the sort of event, or of document" },
        Ignored { path: "message.type", value: Some("\"message\""), why: "an answer is a message" },
        Ignored { path: "index", value: None, why: "blocks follow in order" },
        Ignored { path: "delta.type", value: None, why: "the field beside it says the same" },
        Ignored { path: "content_block.type", value: Some("\"text\""), why: "text is text" },
        Ignored { path: "content_block.type", value: Some("\"thinking\""), why: "thinking is thinking" },
        Ignored { path: "content_block.type", value: Some("\"redacted_thinking\""), why: "it is marked as withheld" },
        Ignored { path: "content_block.type", value: Some("\"tool_use\""), why: "a call is a call" },
        Ignored { path: "content[].type", value: Some("\"text\""), why: "text is text" },
        Ignored { path: "content[].type", value: Some("\"thinking\""), why: "thinking is thinking" },
        Ignored { path: "content[].type", value: Some("\"redacted_thinking\""), why: "it is marked as withheld" },
        Ignored { path: "content[].type", value: Some("\"tool_use\""), why: "a call is a call" },
    ],
};

impl Grammar for Messages {
    fn facts(&self) -> &'static DialectFacts {
        &FACTS
    }

    fn target(&self, _model: &str, _stream: bool) -> Target {
        Target::fixed("/v1/messages")
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decode_request(&self, profile: &Profile, _path: &str, body: &[u8]) -> Result<WireRequest> {
        request::decode_request(profile, body)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::MessagesDecoder::new(profile, seed))
    }
}
