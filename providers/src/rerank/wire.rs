//! The one wire format of rankings.

use beluga_core::{CallNotes, Error, Extra, Ranked, Ranking, RerankRequest, Result, Usage};
use serde::Deserialize;
use serde_json::Value;

use super::profile::RerankProfile;
use crate::llm::fault;

#[derive(Deserialize)]
struct Answer {
    #[serde(alias = "data")]
    results: Vec<Item>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default, alias = "meta")]
    usage: Option<Value>,
    #[serde(flatten)]
    rest: Extra,
}

#[derive(Deserialize)]
struct Item {
    index: usize,
    relevance_score: f64,
    #[serde(flatten)]
    rest: Extra,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    model: Option<String>,
    query: String,
    documents: Vec<Value>,
    #[serde(flatten)]
    rest: Extra,
}

/// Encodes a request.
pub(super) fn encode(profile: &RerankProfile, model: &str, request: &RerankRequest) -> Vec<u8> {
    let mut body = request.extra.clone();
    let mut put = |name: &str, value: Value| {
        body.entry(name).or_insert(value);
    };
    put("model", model.into());
    put("query", request.query.as_str().into());
    put("documents", request.documents.as_slice().into());
    if let Some(top) = request.top_n {
        put(profile.top_field, top.into());
    }
    if profile.tells_documents {
        // The caller has them.
        put("return_documents", false.into());
    }
    Value::Object(body).to_string().into_bytes()
}

/// Decodes an answer.
pub(super) fn decode(body: &[u8]) -> Result<Ranking> {
    let Answer { results, id, model, usage, mut rest } =
        serde_json::from_slice(body).map_err(|error| fault::garbage(&error))?;
    rest.shift_remove("object");
    rest.retain(|_, value| !value.is_null());
    let tokens = |place: &str| usage.as_ref()?.pointer(place)?.as_u64();
    let input_tokens = ["/prompt_tokens", "/total_tokens", "/tokens/input_tokens", "/billed_units/input_tokens"]
        .iter()
        .find_map(|place| tokens(place));
    let ranked = results.into_iter().map(|Item { index, relevance_score, mut rest }| {
        rest.retain(|_, value| !value.is_null());
        Ranked { index, score: relevance_score, extra: rest }
    });
    Ok(Ranking {
        ranked: ranked.collect(),
        usage: Usage { input_tokens: input_tokens.unwrap_or_default(), ..Usage::default() },
        notes: CallNotes { id, model, raw_usage: usage, extra: rest },
    })
}

/// Decodes a request.
pub(super) fn decode_request(profile: &RerankProfile, body: &[u8]) -> Result<RerankRequest> {
    let Request { model, query, documents, mut rest } = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Error::invalid_input(format!("the request cannot be read: {:?} error at {place}", error.classify()))
    })?;
    let text = |document| match document {
        Value::String(text) => Ok(text),
        _ => Err(Error::unsupported("a document is no text")),
    };
    let documents = documents.into_iter().map(text).collect::<Result<Vec<_>>>()?;
    rest.retain(|_, value| !value.is_null());
    let top = rest.get(profile.top_field).and_then(Value::as_u64).and_then(|top| usize::try_from(top).ok());
    if top.is_some() {
        rest.shift_remove(profile.top_field);
    }
    Ok(RerankRequest { query, documents, top_n: top, model, extra: rest })
}
