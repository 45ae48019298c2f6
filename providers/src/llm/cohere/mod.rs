//! Cohere's chat, version 2 (API reference, chat and its streamed events, tool use, citations, reasoning, as of 2026-11).

mod decode;
mod encode;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Ignored, Target};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect. It asks and never serves: a request is not decoded.
#[derive(Debug)]
pub(super) struct Cohere;

/// The field of a plan that comes before calls of tools; it is thinking with this word.
const PLAN: &str = "tool_plan";

/// Why the sort of a piece is ignored.
const SORT: &str = "the sort of a piece or an event is what it became";

static FACTS: DialectFacts = DialectFacts {
    name: "cohere",
    headers: &[],
    framing: Framing::Sse,
    pass_through: &["citation_options", "documents", "priority", "safety_mode", "strict_tools"],
    implied: &[],
    ignored: &[
        Ignored { path: "type", value: None, why: SORT },
        Ignored { path: "index", value: None, why: "pieces and calls follow in order" },
        Ignored { path: "message.role", value: Some("\"assistant\""), why: "who answers is the assistant" },
        Ignored { path: "message.content[].type", value: None, why: SORT },
        Ignored { path: "message.tool_calls[].type", value: Some("\"function\""), why: "a call is one of a function" },
        Ignored { path: "delta.message.role", value: Some("\"assistant\""), why: "who answers is the assistant" },
        Ignored { path: "delta.message.content.type", value: None, why: SORT },
        Ignored {
            path: "delta.message.tool_calls.type",
            value: Some("\"function\""),
            why: "a call is one of a function",
        },
    ],
};

impl Grammar for Cohere {
    fn facts(&self) -> &'static DialectFacts {
        &FACTS
    }

    fn target(&self, _model: &str, _stream: bool) -> Target {
        Target::fixed("/v2/chat")
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::CohereDecoder::new(profile, seed))
    }
}
