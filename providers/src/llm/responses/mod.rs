//! OpenAI's Responses (API reference, responses and their streaming events, reasoning, as of 2026-11): an answer is a list of
//! items.

mod decode;
mod encode;
mod request;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Ignored, Implied, Target, WireRequest};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect.
#[derive(Debug)]
pub(super) struct Responses;

/// The word for the role of a system message that stands beside the conversation.
const INSTRUCTIONS: &str = "instructions";

const SORT: &str = "the sort of an item, a part or an event is what it became";
const PLACE: &str = "items and parts follow in order";
const ECHO: &str = "it repeats the request";
const AGAIN: &str = "it repeats what came piece by piece";

static FACTS: DialectFacts = DialectFacts {
    name: "openai-responses",
    headers: &[],
    framing: Framing::Sse,
    pass_through: &[
        "background",
        "context_management",
        "conversation",
        "include",
        "item",
        "max_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_retention",
        "safety_identifier",
        "status",
        "stream_options",
        "truncation",
    ],
    implied: &[
        Implied { path: "stream", value: "false" },
        Implied { path: "store", value: "true" },
        Implied { path: "tools", value: "[]" },
        Implied { path: "tool_choice", value: "\"auto\"" },
        Implied { path: "tools[].description", value: "\"\"" },
        Implied { path: "input[].type", value: "\"message\"" },
        Implied { path: "text.format", value: r#"{"type":"text"}"# },
        Implied { path: "text", value: "{}" },
    ],
    ignored: &[
        Ignored { path: "type", value: None, why: SORT },
        Ignored { path: "sequence_number", value: None, why: PLACE },
        Ignored { path: "output_index", value: None, why: PLACE },
        Ignored { path: "content_index", value: None, why: PLACE },
        Ignored { path: "summary_index", value: None, why: PLACE },
        Ignored { path: "annotation_index", value: None, why: PLACE },
        Ignored { path: "item_id", value: None, why: "the item itself tells its id" },
        Ignored { path: "obfuscation", value: None, why: "it hides the length from eavesdroppers" },
        Ignored { path: "created_at", value: None, why: "it is kept as the time of the answer" },
        Ignored { path: "response.created_at", value: None, why: "each event tells it; the first is kept" },
        Ignored { path: "object", value: None, why: "it names the sort of document" },
        Ignored { path: "response.object", value: None, why: "it names the sort of document" },
        Ignored { path: "output_text", value: None, why: "it repeats the items' text" },
        Ignored { path: "instructions", value: None, why: ECHO },
        Ignored { path: "response.instructions", value: None, why: ECHO },
        Ignored { path: "tools[].**", value: None, why: ECHO },
        Ignored { path: "response.tools[].**", value: None, why: ECHO },
        Ignored { path: "response.status", value: Some("\"in_progress\""), why: "it goes on" },
        Ignored { path: "response.status", value: Some("\"queued\""), why: "it goes on" },
        Ignored { path: "item.type", value: None, why: SORT },
        Ignored { path: "item.role", value: Some("\"assistant\""), why: "who answers is the assistant" },
        Ignored { path: "item.status", value: Some("\"in_progress\""), why: "it goes on" },
        Ignored { path: "item.status", value: Some("\"completed\""), why: "an item that is there is whole" },
        Ignored { path: "item.content[].type", value: None, why: SORT },
        Ignored { path: "item.summary[].type", value: Some("\"summary_text\""), why: SORT },
        Ignored { path: "part.type", value: None, why: SORT },
        Ignored { path: "item.encrypted_content", value: None, why: "the item is told again when it is whole" },
        Ignored { path: "response.output[].**", value: None, why: AGAIN },
        Ignored { path: "output[].type", value: None, why: SORT },
        Ignored { path: "output[].role", value: Some("\"assistant\""), why: "who answers is the assistant" },
        Ignored { path: "output[].status", value: Some("\"completed\""), why: "an item that is there is whole" },
        Ignored { path: "output[].content[].type", value: None, why: SORT },
        Ignored { path: "output[].summary[].type", value: Some("\"summary_text\""), why: SORT },
    ],
};

impl Grammar for Responses {
    fn facts(&self) -> &'static DialectFacts {
        &FACTS
    }

    fn target(&self, _model: &str, _stream: bool) -> Target {
        Target::fixed("/responses")
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decode_request(&self, profile: &Profile, _path: &str, body: &[u8]) -> Result<WireRequest> {
        request::decode_request(profile, body)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::ResponseDecoder::new(profile, seed))
    }
}
