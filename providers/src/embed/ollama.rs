//! Ollama's embeddings (API documentation, generate embeddings, as known in 2026-11).

use beluga_core::{CallNotes, EmbedRequest, Embeddings, Extra, Result, Usage};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::dialect::{Body, EmbedFacts, Grammar, WireCall, take_request};
use super::openai::{parse, texts};
use super::profile::EmbedProfile;
use super::vector::Vector;
use crate::llm::{Ignored, fault};

/// The one value of the dialect.
pub(super) struct Ollama;

static FACTS: EmbedFacts = EmbedFacts {
    name: "ollama-embed",
    ignored: &[Ignored { path: "embeddings[][]", value: None, why: "compared as a vector" }],
    implied: &[],
    pass_through: &["keep_alive", "options"],
};

/// The counters that are its usage.
const COUNTERS: [&str; 3] = ["total_duration", "load_duration", "prompt_eval_count"];

#[derive(Deserialize)]
struct Answer {
    embeddings: Vec<Vector>,
    #[serde(default)]
    model: Option<String>,
    #[serde(flatten)]
    rest: Extra,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    model: Option<String>,
    input: Value,
    #[serde(flatten)]
    rest: Extra,
}

impl Grammar for Ollama {
    fn facts(&self) -> &'static EmbedFacts {
        &FACTS
    }

    fn path(&self, _model: &str) -> String {
        "/api/embed".to_owned()
    }

    fn encode(&self, call: &WireCall<'_>) -> Vec<u8> {
        let mut body = Body::new(&call.request.extra);
        body.put("model", call.model);
        body.put("input", call.texts);
        body.put_request(call);
        body.into_bytes()
    }

    fn decode(&self, body: &[u8]) -> Result<Embeddings> {
        let Answer { embeddings, model, mut rest } =
            serde_json::from_slice(body).map_err(|error| fault::garbage(&error))?;
        let counted = COUNTERS.iter().filter_map(|name| rest.shift_remove_entry(*name));
        let raw_usage: Map<String, Value> = counted.collect();
        let input_tokens = raw_usage.get("prompt_eval_count").and_then(Value::as_u64).unwrap_or_default();
        let raw_usage = (!raw_usage.is_empty()).then_some(Value::Object(raw_usage));
        Ok(Embeddings {
            vectors: embeddings.into_iter().map(|vector| vector.0).collect(),
            usage: Usage { input_tokens, ..Usage::default() },
            calls: vec![CallNotes { model, raw_usage, extra: rest, ..CallNotes::default() }],
        })
    }

    fn decode_request(&self, profile: &EmbedProfile, _path: &str, body: &[u8]) -> Result<EmbedRequest> {
        let Request { model, input, mut rest } = parse(body)?;
        let mut request = EmbedRequest { texts: texts(input)?, model, ..EmbedRequest::default() };
        take_request(profile, &mut rest, &mut request);
        Ok(EmbedRequest { extra: rest, ..request })
    }
}
