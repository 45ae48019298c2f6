//! Gemini's Interactions (Gemini API reference, interactions, read 2026-11): an answer is a list of steps.

mod decode;
mod encode;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Ignored, Target};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect. It asks and never serves: a request is not decoded.
#[derive(Debug)]
pub(super) struct Interactions;

/// What a field that is ignored says.
const SORT: &str = "the sort of a step, a piece or an event is what it became";

static FACTS: DialectFacts = DialectFacts {
    name: "gemini-interactions",
    headers: &[],
    framing: Framing::Sse,
    pass_through: &["agent", "background", "previous_interaction_id", "response_modalities", "speech_config"],
    implied: &[],
    ignored: &[
        Ignored { path: "event_type", value: None, why: SORT },
        Ignored { path: "event_id", value: None, why: "the place of an event in a stream that is not resumed" },
        Ignored { path: "index", value: None, why: "steps are told in their order" },
        Ignored { path: "status", value: Some("\"in_progress\""), why: "it goes on" },
        Ignored { path: "interaction.status", value: Some("\"in_progress\""), why: "it goes on" },
        Ignored { path: "step.type", value: None, why: SORT },
        Ignored { path: "delta.type", value: None, why: SORT },
        Ignored { path: "delta.content.type", value: Some("\"text\""), why: SORT },
        Ignored { path: "steps[].type", value: None, why: SORT },
        Ignored { path: "steps[].content[].type", value: None, why: SORT },
        Ignored { path: "steps[].summary[].type", value: Some("\"text\""), why: SORT },
    ],
};

impl Grammar for Interactions {
    fn facts(&self) -> &'static DialectFacts {
        &FACTS
    }

    fn target(&self, _model: &str, _stream: bool) -> Target {
        Target::fixed("/interactions")
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::InteractionDecoder::new(profile, seed))
    }
}
