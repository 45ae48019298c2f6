//! Gemini's generateContent, of AI Studio and of Vertex AI (Gemini API reference, generating content, and Vertex AI REST
//! reference, publishers.models, read 2026-11).

mod decode;
mod encode;
mod parts;
mod request;
mod settings;
mod spelling;
mod tools;

use std::borrow::Cow;

use beluga_core::Result;

use super::answer::Decode;
use super::dialect::{Call, DialectFacts, Grammar, Ignored, Implied, Target, WireRequest};
use super::framing::Framing;
use super::profile::Profile;

/// The dialect.
#[derive(Debug)]
pub(super) struct Gemini;

/// The name under which a request keeps how its fields were spelled.
const SPELLING: &str = "spelling";

static FACTS: DialectFacts = DialectFacts {
    name: "gemini",
    headers: &[],
    framing: Framing::Sse,
    // Of configurations and contents only what is left of them.
    pass_through: &[
        "behavior",
        "cachedContent",
        "fileData",
        "functionCall",
        "functionResponse",
        "generationConfig",
        "inlineData",
        "labels",
        "mediaResolution",
        "modelArmorConfig",
        "partMetadata",
        "response",
        "responseJsonSchema",
        "safetySettings",
        "serviceTier",
        SPELLING,
        "store",
        "thought",
        "toolConfig",
        "videoMetadata",
    ],
    implied: &[
        Implied { path: "contents[].parts[].thought", value: "false" },
        Implied { path: "systemInstruction.parts[].thought", value: "false" },
        Implied { path: "generationConfig", value: "{}" },
        Implied { path: "generationConfig.thinkingConfig", value: "{}" },
        Implied { path: "generationConfig.thinkingConfig.includeThoughts", value: "false" },
        Implied { path: "generationConfig.thinkingConfig.include_thoughts", value: "false" },
        Implied { path: "toolConfig.functionCallingConfig.mode", value: "\"AUTO\"" },
        Implied { path: "toolConfig.functionCallingConfig.allowedFunctionNames", value: "[]" },
        Implied { path: "toolConfig.functionCallingConfig", value: "{}" },
        Implied { path: "toolConfig", value: "{}" },
        Implied { path: "tools", value: "[]" },
        Implied { path: "tools[].functionDeclarations[].description", value: "\"\"" },
        Implied { path: "tools[].functionDeclarations[].parameters", value: "{}" },
        Implied { path: "tools[].functionDeclarations[].parametersJsonSchema", value: "{}" },
    ],
    ignored: &[
        Ignored { path: "candidates[].content.role", value: Some("\"model\""), why: "an answer is the model's" },
        Ignored { path: "candidates[].index", value: None, why: "the place among the answers is kept" },
        Ignored { path: "candidates[].content.parts[].thought", value: None, why: "the part is thinking, or none" },
        Ignored { path: "candidates[].content.parts[].text", value: Some("\"\""), why: "an empty piece adds nothing" },
    ],
};

impl Grammar for Gemini {
    fn facts(&self) -> &'static DialectFacts {
        &FACTS
    }

    fn target(&self, model: &str, stream: bool) -> Target {
        // The model may be written as the API lists it.
        let model = super::dialect::escaped_segment(model.strip_prefix("models/").unwrap_or(model));
        if stream {
            let path = format!("/models/{model}:streamGenerateContent");
            return Target { path: Cow::Owned(path), query: Some("alt=sse") };
        }
        Target { path: Cow::Owned(format!("/models/{model}:generateContent")), query: None }
    }

    fn encode(&self, call: &Call<'_>) -> Result<Vec<u8>> {
        encode::encode(call)
    }

    fn decode_request(&self, profile: &Profile, path: &str, body: &[u8]) -> Result<WireRequest> {
        request::decode(profile, path, body)
    }

    fn decoder(&self, profile: &Profile, seed: u64) -> Box<dyn Decode> {
        Box::new(decode::GeminiDecoder::new(profile, seed))
    }
}

/// Returns the id of a call the vendor gave none.
fn made_up_id(seed: u64, at: usize) -> String {
    format!("call_{seed:016x}_{at}")
}

/// Returns whether an id was made up here or by another dialect: a vendor that gives none is not told ours.
fn is_made_up(id: &str) -> bool {
    let Some((seed, at)) = id.strip_prefix("call_").and_then(|rest| rest.split_once('_')) else { return false };
    seed.len() == 16
        && seed.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && !at.is_empty()
        && at.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether the model takes a level of thinking; the older ones take a budget alone.
fn takes_levels(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    !["gemini-1", "gemini-2"].iter().any(|old| name.starts_with(old))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_ids_are_known_again() {
        assert!(is_made_up(&made_up_id(7, 0)) && is_made_up(&made_up_id(u64::MAX, 12)));
        for id in ["call_abc", "call_000000000000000g_1", "call_0000000000000007_", "gjl2yj5t", ""] {
            assert!(!is_made_up(id), "{id}");
        }
    }

    #[test]
    fn the_model_stands_in_the_path() {
        let target = Gemini.target("gemini-2.5-flash", true);
        assert_eq!((&*target.path, target.query), ("/models/gemini-2.5-flash:streamGenerateContent", Some("alt=sse")));
        assert_eq!(&*Gemini.target("models/tuned a", false).path, "/models/tuned%20a:generateContent");
    }

    #[test]
    fn levels_came_with_the_third_generation() {
        assert!(takes_levels("gemini-3-flash-preview") && takes_levels("publishers/google/models/gemini-3-pro"));
        assert!(!takes_levels("gemini-2.5-flash") && !takes_levels("models/gemini-1.5-pro"));
    }
}
