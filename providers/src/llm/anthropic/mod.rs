//! Anthropic's Messages (API reference, Messages and streaming, read 2026-11).

mod block;
mod body;
mod citation;
mod decode;
mod encode;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Target};
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
    pass_through: &[],
    implied: &[],
    ignored: &[],
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

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::MessagesDecoder::new(profile, seed))
    }
}
