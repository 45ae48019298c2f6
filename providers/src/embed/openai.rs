//! OpenAI's embeddings (API reference, create embeddings, as known in 2026-11), and those of everybody who follows it.

use beluga_core::{CallNotes, EmbedRequest, Embeddings, Error, Extra, Result, Usage};
use serde::Deserialize;
use serde_json::Value;

use super::dialect::{Body, EmbedFacts, Grammar, WireCall, take_request};
use super::profile::EmbedProfile;
use super::vector::{Vector, keep_items, placed};
use crate::llm::fault;
use crate::llm::{Ignored, Implied};

/// The one value of the dialect.
pub(super) struct OpenAi;

static FACTS: EmbedFacts = EmbedFacts {
    name: "openai-embeddings",
    ignored: &[
        Ignored { path: "object", value: Some("\"list\""), why: "it is always this" },
        Ignored { path: "data[].object", value: Some("\"embedding\""), why: "it is always this" },
        Ignored { path: "data[].index", value: None, why: "the vector stands there" },
        Ignored { path: "data[].embedding", value: None, why: "compared as a vector" },
        Ignored { path: "data[].embedding[]", value: None, why: "compared as a vector" },
    ],
    implied: &[Implied { path: "encoding_format", value: "\"float\"" }],
    pass_through: &[
        "embedding_type",
        "encoding_format",
        "input_type",
        "late_chunking",
        "normalized",
        "output_dimension",
        "output_dtype",
        "provider",
        "task",
        "truncate",
        "truncation",
        "user",
    ],
};

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<Value>,
    #[serde(flatten)]
    rest: Extra,
}

#[derive(Deserialize)]
struct Item {
    embedding: Vector,
    #[serde(default)]
    index: Option<usize>,
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

impl Grammar for OpenAi {
    fn facts(&self) -> &'static EmbedFacts {
        &FACTS
    }

    fn path(&self, _model: &str) -> String {
        "/embeddings".to_owned()
    }

    fn encode(&self, call: &WireCall<'_>) -> Vec<u8> {
        let mut body = Body::new(&call.request.extra);
        body.put("model", call.model);
        body.put("input", call.texts);
        body.put_request(call);
        body.into_bytes()
    }

    fn decode(&self, body: &[u8]) -> Result<Embeddings> {
        let Answer { data, id, model, usage, mut rest } =
            serde_json::from_slice(body).map_err(|error| fault::garbage(&error))?;
        rest.shift_remove("object");
        let (vectors, items): (Vec<_>, Vec<_>) = data
            .into_iter()
            .map(|Item { embedding, index, mut rest }| {
                rest.shift_remove("object");
                ((index, embedding.0), rest)
            })
            .unzip();
        keep_items(&mut rest, "data", items);
        rest.retain(|_, value| !value.is_null());
        let tokens = |field: &str| usage.as_ref()?.get(field)?.as_u64();
        // Voyage tells the total alone.
        let input_tokens = tokens("prompt_tokens").or_else(|| tokens("total_tokens")).unwrap_or_default();
        Ok(Embeddings {
            vectors: placed(vectors)?,
            usage: Usage { input_tokens, ..Usage::default() },
            calls: vec![CallNotes { id, model, raw_usage: usage, extra: rest }],
        })
    }

    fn decode_request(&self, profile: &EmbedProfile, _path: &str, body: &[u8]) -> Result<EmbedRequest> {
        let Request { model, input, mut rest } = parse(body)?;
        let mut request = EmbedRequest { texts: texts(input)?, model, ..EmbedRequest::default() };
        take_request(profile, &mut rest, &mut request);
        Ok(EmbedRequest { extra: rest, ..request })
    }
}

/// Parses the body of a request.
///
/// # Errors
/// `invalid_input` tells the place; the parser's own words may repeat content.
pub(super) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Error::invalid_input(format!("the request cannot be read: {:?} error at {place}", error.classify()))
    })
}

/// Reads what is embedded: a text, or a list of texts.
///
/// # Errors
/// `unsupported` for anything else, such as tokens or pictures.
pub(super) fn texts(input: Value) -> Result<Vec<String>> {
    let text = |value| match value {
        Value::String(text) => Ok(text),
        _ => Err(Error::unsupported("input is neither a text nor a list of texts")),
    };
    match input {
        Value::Array(items) => items.into_iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}
