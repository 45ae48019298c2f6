//! Bedrock's Converse and ConverseStream (Amazon Bedrock API reference, runtime, read 2026-11).

mod decode;
mod encode;
mod family;
mod media;

use std::borrow::Cow;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Ignored, Target, escaped_segment};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect. It asks and never serves: a request is not decoded.
#[derive(Debug)]
pub(super) struct Converse;

static FACTS: DialectFacts = DialectFacts {
    name: "bedrock-converse",
    headers: &[],
    framing: Framing::EventStream,
    pass_through: &[
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "performanceConfig",
        "promptVariables",
    ],
    implied: &[],
    ignored: &[
        Ignored { path: "p", value: None, why: "padding that hides the length of what is said" },
        Ignored { path: "role", value: Some("\"assistant\""), why: "an answer is the model's" },
        Ignored { path: "output.message.role", value: Some("\"assistant\""), why: "an answer is the model's" },
        Ignored { path: "contentBlockIndex", value: None, why: "blocks are told in their order" },
        Ignored { path: "start.toolUse.type", value: Some("\"tool_use\""), why: "a call is one" },
        Ignored { path: "output.message.content[].toolUse.type", value: Some("\"tool_use\""), why: "a call is one" },
        Ignored { path: "delta.text", value: Some("\"\""), why: "an empty piece adds nothing" },
        Ignored { path: "output.message.content[].text", value: Some("\"\""), why: "an empty piece adds nothing" },
    ],
};

impl Grammar for Converse {
    fn facts(&self) -> &'static DialectFacts {
        &FACTS
    }

    fn target(&self, model: &str, stream: bool) -> Target {
        let verb = if stream { "converse-stream" } else { "converse" };
        Target { path: Cow::Owned(format!("/model/{}/{verb}", escaped_segment(model))), query: None }
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::ConverseDecoder::new(profile, seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_stands_escaped_in_the_path() {
        let path = |model: &str, stream| Converse.target(model, stream).path.into_owned();
        assert_eq!(path("amazon.nova-lite-v1:0", false), "/model/amazon.nova-lite-v1%3A0/converse");
        let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
        let want = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/converse-stream";
        assert_eq!(path(arn, true), want);
    }
}
