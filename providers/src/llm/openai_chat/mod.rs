//! OpenAI's chat completions, the dialect most vendors speak (API reference, read 2026-11).

mod assembler;
mod body;
mod citation;
mod decode;
mod details;
mod encode;
mod lane;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Target};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect.
#[derive(Debug)]
pub(super) struct Chat;

static FACTS: DialectFacts = DialectFacts {
    name: "openai-chat",
    headers: &[],
    framing: Framing::Sse,
    pass_through: &[],
    implied: &[],
    ignored: &[],
};

impl Grammar for Chat {
    fn facts(&self) -> &'static DialectFacts {
        &FACTS
    }

    fn target(&self, _model: &str, _stream: bool) -> Target {
        Target::fixed("/chat/completions")
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::ChatDecoder::new(profile, seed))
    }
}
