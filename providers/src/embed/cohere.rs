//! Cohere's embeddings (API reference, embed v2, as known in 2026-11). Answers of its first version are read too.

use std::fmt;

use beluga_core::{CallNotes, EmbedRequest, Embeddings, Extra, Result, Usage};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::dialect::{Body, EmbedFacts, Grammar, WireCall, take_request};
use super::openai::parse;
use super::profile::EmbedProfile;
use super::vector::Vector;
use crate::llm::{Ignored, Implied, fault};

/// The one value of the dialect.
pub(super) struct Cohere;

static FACTS: EmbedFacts = EmbedFacts {
    name: "cohere-embed",
    ignored: &[
        Ignored { path: "embeddings.float[][]", value: None, why: "compared as a vector" },
        Ignored { path: "embeddings.base64[]", value: None, why: "compared as a vector" },
        Ignored { path: "embeddings[][]", value: None, why: "compared as a vector" },
        Ignored { path: "texts[]", value: None, why: "the request's own texts, told again" },
    ],
    // Without a word the first version gives floats; the second wants the word.
    implied: &[Implied { path: "embedding_types", value: "[\"float\"]" }],
    pass_through: &["embedding_types", "images", "input_type", "inputs", "max_tokens", "priority", "truncate"],
};

#[derive(serde::Deserialize)]
struct Answer {
    embeddings: Rows,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    meta: Option<Value>,
    #[serde(flatten)]
    rest: Extra,
}

/// The vectors: a list, or lists by the type of their numbers.
#[derive(Default)]
struct Rows {
    floats: Vec<Vector>,
    /// What is no list of 32-bit floats.
    others: Extra,
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowsVisitor;
        impl<'de> Visitor<'de> for RowsVisitor {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("vectors")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rows, A::Error> {
                let mut rows = Rows::default();
                while let Some(vector) = list.next_element()? {
                    rows.floats.push(vector);
                }
                Ok(rows)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows, A::Error> {
                let mut rows = Rows::default();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "float" => rows.floats = map.next_value()?,
                        "base64" if rows.floats.is_empty() => rows.floats = map.next_value()?,
                        _ => drop(rows.others.insert(name, map.next_value()?)),
                    }
                }
                rows.others.retain(|_, value| !value.is_null());
                Ok(rows)
            }
        }
        deserializer.deserialize_any(RowsVisitor)
    }
}

#[derive(serde::Deserialize)]
struct Request {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    texts: Vec<String>,
    #[serde(flatten)]
    rest: Extra,
}

impl Grammar for Cohere {
    fn facts(&self) -> &'static EmbedFacts {
        &FACTS
    }

    fn path(&self, _model: &str) -> String {
        "/v2/embed".to_owned()
    }

    fn encode(&self, call: &WireCall<'_>) -> Vec<u8> {
        let mut body = Body::new(&call.request.extra);
        body.put("model", call.model);
        if !call.texts.is_empty() {
            body.put("texts", call.texts);
        }
        body.put_request(call);
        body.put("embedding_types", json!(["float"]));
        body.into_bytes()
    }

    fn decode(&self, body: &[u8]) -> Result<Embeddings> {
        let Answer { embeddings, id, meta, mut rest } =
            serde_json::from_slice(body).map_err(|error| fault::garbage(&error))?;
        rest.shift_remove("texts");
        rest.retain(|_, value| !value.is_null());
        if !embeddings.others.is_empty() {
            rest.insert("embeddings".to_owned(), Value::Object(embeddings.others));
        }
        let tokens = |place: &str| meta.as_ref()?.pointer(place)?.as_u64();
        let input_tokens = tokens("/tokens/input_tokens").or_else(|| tokens("/billed_units/input_tokens"));
        Ok(Embeddings {
            vectors: embeddings.floats.into_iter().map(|vector| vector.0).collect(),
            usage: Usage { input_tokens: input_tokens.unwrap_or_default(), ..Usage::default() },
            calls: vec![CallNotes { id, raw_usage: meta, extra: rest, ..CallNotes::default() }],
        })
    }

    fn decode_request(&self, profile: &EmbedProfile, _path: &str, body: &[u8]) -> Result<EmbedRequest> {
        let Request { model, texts, mut rest } = parse(body)?;
        let mut request = EmbedRequest { texts, model, ..EmbedRequest::default() };
        take_request(profile, &mut rest, &mut request);
        Ok(EmbedRequest { extra: rest, ..request })
    }
}
