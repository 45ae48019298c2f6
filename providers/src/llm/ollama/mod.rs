//! Ollama's own chat (API documentation, generate a chat completion, thinking, tool calling, as of 2026-11): a JSON document a
//! line, whole tool calls, pictures beside the text.

mod decode;
mod encode;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Ignored, Target};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect. It asks and never serves: a request is not decoded.
#[derive(Debug)]
pub(super) struct Ollama;

static FACTS: DialectFacts = DialectFacts {
    name: "ollama",
    headers: &[],
    framing: Framing::Lines,
    pass_through: &["keep_alive", "options", "shift", "truncate"],
    implied: &[],
    ignored: &[
        Ignored { path: "created_at", value: None, why: "each line tells its own time; the first is kept" },
        Ignored { path: "done", value: None, why: "the answer ends with it" },
        Ignored { path: "message.role", value: Some("\"assistant\""), why: "who answers is the assistant" },
        Ignored { path: "message.tool_calls[].function.index", value: None, why: "calls follow in order" },
        Ignored { path: "message.tool_calls[].type", value: Some("\"function\""), why: "a call is one of a function" },
    ],
};

impl Grammar for Ollama {
    fn facts(&self) -> &'static DialectFacts {
        &FACTS
    }

    fn target(&self, _model: &str, _stream: bool) -> Target {
        Target::fixed("/api/chat")
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::OllamaDecoder::new(profile, seed))
    }
}
