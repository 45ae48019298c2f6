//! Embeddings: the vectors are those of the answer, bit by bit, nothing beside them is lost, and the request comes back.

use beluga_core::{Code, Embeddings};
use beluga_providers::embed::{EmbedProfile, KindWords};
use serde_json::Value;

use super::answer;
use super::exchange::{self, Exchange};
use super::leaves::{Holdings, is_ignored, leaves};
use super::report::Report;
use super::request;

/// Replays one exchange.
pub(crate) fn replay(profile: &EmbedProfile, exchange: &Exchange, report: &mut Report) -> Result<(), String> {
    let mut texts = None;
    if !exchange.request.is_empty() {
        texts = replay_request(profile, exchange, report)?;
    }
    if exchange.status == 0 {
        return Ok(());
    }
    if !(200..300).contains(&exchange.status) {
        return answer::refusal(exchange, report);
    }
    let document: Value = serde_json::from_slice(&exchange.body).map_err(|error| format!("no JSON: {error}"))?;
    let decoded = profile.decode(&exchange.body).map_err(|error| error.to_string())?;
    let told = vectors(&document).ok_or("no vectors are found in the document")?;
    if decoded.vectors != told {
        return Err("the vectors are not those of the document".to_owned());
    }
    if let Some(texts) = texts.filter(|texts| *texts > 0 && *texts != told.len()) {
        return Err(format!("{} vectors for {texts} texts", told.len()));
    }
    report.vectors += told.len();
    account(profile, &document, decoded, report)
}

/// Decodes a request and encodes it again from the normal form alone; returns how many texts it has.
fn replay_request(profile: &EmbedProfile, exchange: &Exchange, report: &mut Report) -> Result<Option<usize>, String> {
    let facts = profile.dialect.facts();
    let decoded = match profile.decode_request(&exchange.path, &exchange.request) {
        Ok(decoded) => decoded,
        // Tokens and pictures have no normal form here.
        Err(error) if error.code() == Code::Unsupported => return Ok(None),
        Err(_) if (400..500).contains(&exchange.status) => {
            report.refused += 1;
            return Ok(None);
        }
        Err(error) => return Err(format!("request: {error}")),
    };
    let kept = serde_json::to_value(&decoded).and_then(serde_json::from_value);
    let kept = kept.map_err(|error| format!("the normal form is no JSON: {error}"))?;
    // How vectors are written is no part of what is asked, and what the recorded caller left out is not said for it.
    let kind = profile.kind.map(|words| KindWords { is_needed: false, ..words });
    let plain_profile = EmbedProfile { base64: None, kind, ..*profile };
    let mut want = request::json(&exchange.request)?;
    plain(&mut want);
    request::same_request(want, request::json(&plain_profile.encode("", &kept))?, facts.implied)?;
    *report.requests.entry(facts.name).or_default() += 1;
    for name in decoded.extra.keys() {
        if !facts.pass_through.contains(&name.as_str()) {
            return Err(format!("request: {name} passes through and is not on the list"));
        }
        *report.passed_through.entry((facts.name, name.clone())).or_default() += 1;
    }
    Ok(Some(kept.texts.len()))
}

/// Brings a document to the one of its spellings that is written: a text is a list of one, and Google takes the names of
/// protocol buffers in either case.
fn plain(document: &mut Value) {
    if let Some(input) = document.get_mut("input").filter(|input| input.is_string()) {
        *input = Value::Array(vec![input.take()]);
    }
    for single in document.get_mut("requests").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(fields) = single.as_object_mut() else { continue };
        for (snake, camel) in [("output_dimensionality", "outputDimensionality"), ("task_type", "taskType")] {
            if let Some(value) = fields.shift_remove(snake) {
                fields.insert(camel.to_owned(), value);
            }
        }
    }
}

/// Finds the vectors of a document by other means than the decoders'.
fn vectors(document: &Value) -> Option<Vec<Vec<f32>>> {
    let list = document.get("data").or_else(|| document.get("embeddings"))?;
    let list = ["float", "base64"].iter().find_map(|kind| list.get(kind)).unwrap_or(list).as_array()?;
    let mut rows = Vec::new();
    for (arrived, item) in list.iter().enumerate() {
        let vector = ["embedding", "values"].iter().find_map(|name| item.get(name)).unwrap_or(item);
        let place =
            item.get("index").and_then(Value::as_u64).map_or(Some(arrived), |index| usize::try_from(index).ok())?;
        rows.push((place, vector_of(vector)?));
    }
    rows.sort_by_key(|(place, _)| *place);
    Some(rows.into_iter().map(|(_, vector)| vector).collect())
}

#[allow(clippy::cast_possible_truncation, reason = "a vector's numbers have 32 bits")]
fn vector_of(value: &Value) -> Option<Vec<f32>> {
    match value {
        Value::String(text) => {
            let bytes = exchange::base64(text)?;
            let four = |four: &[u8]| Some(f32::from_le_bytes(four.try_into().ok()?));
            bytes.chunks(4).map(four).collect()
        }
        Value::Array(numbers) => numbers.iter().map(|number| Some(number.as_f64()? as f32)).collect(),
        _ => None,
    }
}

/// Checks that every leaf but the vectors' is held, or says nothing.
fn account(profile: &EmbedProfile, document: &Value, decoded: Embeddings, report: &mut Report) -> Result<(), String> {
    let facts = profile.dialect.facts();
    let rest = Embeddings { vectors: Vec::new(), ..decoded };
    let mut holdings = Holdings::default();
    holdings.take(&serde_json::to_value(rest).map_err(|error| error.to_string())?);
    for leaf in leaves(document) {
        if let Some(entry) = is_ignored(&leaf, facts.ignored) {
            *report.ignored.entry((facts.name, entry)).or_default() += 1;
        } else if holdings.has(&leaf) {
            report.held += 1;
        } else {
            return Err(format!("lost: {} = {}", leaf.path(), leaf.value));
        }
    }
    Ok(())
}
