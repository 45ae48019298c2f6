//! Requests: decoded, and written back from the normal form alone.

use beluga_providers::llm::{Implied, Profile};
use serde_json::Value;

use super::exchange::Exchange;
use super::leaves::{matches, same};

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// It came back, with the names that passed through, each time they did.
    Same(Vec<String>),
    /// Neither we nor the vendor take it.
    Refused,
    /// The dialect decodes no requests.
    NotDecoded,
}

/// Decodes a request and encodes it again.
pub(crate) fn round_trip(profile: &Profile, exchange: &Exchange) -> Result<RequestOutcome, String> {
    let decoded = match profile.decode_request(&exchange.path, &exchange.request) {
        Ok(decoded) => decoded,
        Err(error) if error.code() == beluga_core::Code::Unsupported => return Ok(RequestOutcome::NotDecoded),
        Err(error) if (400..500).contains(&exchange.status) => {
            return match error.code() {
                beluga_core::Code::InvalidInput => Ok(RequestOutcome::Refused),
                _ => Err(format!("request: {error}")),
            };
        }
        Err(error) => return Err(format!("request: {error}")),
    };
    // What is written back goes through the normal form's own JSON: nothing else is kept aside.
    let kept = serde_json::to_value(&decoded.request).and_then(serde_json::from_value);
    let request = kept.map_err(|error| format!("the normal form is no JSON: {error}"))?;
    let encoded =
        profile.encode("", &request, decoded.stream, None).map_err(|error| format!("request: encode: {error}"))?;
    let facts = profile.dialect.facts();
    same_request(json(&exchange.request)?, json(&encoded)?, facts.implied)?;
    let mut passed = Vec::new();
    let normal = serde_json::to_value(&request).map_err(|error| error.to_string())?;
    names(&normal, &mut passed);
    match passed.iter().find(|name| !facts.pass_through.contains(&name.as_str())) {
        // A fixture of our own may show that anything passes.
        Some(name) if exchange.status != 0 => Err(format!("request: {name} passes through and is not on the list")),
        _ => Ok(RequestOutcome::Same(passed)),
    }
}

/// Compares two requests but for nulls and what is implied.
pub(crate) fn same_request(want: Value, have: Value, implied: &[Implied]) -> Result<(), String> {
    let want = plain(want, &mut String::new(), implied).unwrap_or_default();
    let have = plain(have, &mut String::new(), implied).unwrap_or_default();
    match difference(&want, &have, &mut String::new()) {
        Some(difference) => Err(format!("request: {difference}")),
        None => Ok(()),
    }
}

pub(crate) fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("request: no JSON: {error}"))
}

/// Leaves out nulls, and what the dialect implies.
fn plain(value: Value, path: &mut String, implied: &[Implied]) -> Option<Value> {
    let is_implied = |value: &Value, path: &str| {
        implied.iter().any(|entry| {
            matches(entry.path, path)
                && serde_json::from_str::<Value>(entry.value).is_ok_and(|implied| same(&implied, value))
        })
    };
    let value = match value {
        Value::Null => return None,
        Value::Object(fields) => {
            let mut kept = serde_json::Map::new();
            for (name, field) in fields {
                let length = path.len();
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&name);
                if let Some(field) = plain(field, path, implied) {
                    kept.insert(name, field);
                }
                path.truncate(length);
            }
            Value::Object(kept)
        }
        Value::Array(items) => {
            let length = path.len();
            path.push_str("[]");
            let items = items.into_iter().map(|item| plain(item, path, implied).unwrap_or_default()).collect();
            path.truncate(length);
            Value::Array(items)
        }
        value => value,
    };
    (!is_implied(&value, path)).then_some(value)
}

/// Returns the first place where two documents differ.
pub(crate) fn difference(want: &Value, have: &Value, path: &mut String) -> Option<String> {
    let shown = |value: &Value| {
        let text = value.to_string();
        text.char_indices().nth(100).map_or(text.clone(), |(at, _)| format!("{}…", text.get(..at).unwrap_or_default()))
    };
    match (want, have) {
        (Value::Object(want), Value::Object(have)) => {
            for (name, value) in want {
                let Some(other) = have.get(name) else {
                    return Some(format!("{path}.{name} is missing, was {}", shown(value)));
                };
                let length = path.len();
                path.push('.');
                path.push_str(name);
                if let Some(found) = difference(value, other, path) {
                    return Some(found);
                }
                path.truncate(length);
            }
            let new = have.iter().find(|(name, _)| !want.contains_key(*name));
            new.map(|(name, value)| format!("{path}.{name} was added: {}", shown(value)))
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => {
            want.iter().zip(have).enumerate().find_map(|(at, (want, have))| {
                let length = path.len();
                path.push_str(&format!("[{at}]"));
                let found = difference(want, have, path);
                path.truncate(length);
                found
            })
        }
        (want, have) if same(want, have) => None,
        (want, have) => Some(format!("{path} is {}, was {}", shown(have), shown(want))),
    }
}

/// Collects the names that passed through a normal form's `extra` fields. What belongs to a tool that runs at the vendor
/// is the vendor's own, kept whole.
fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let is_own = fields.get("kind").is_some_and(Value::is_string);
            for (name, field) in fields {
                match field {
                    Value::Object(extra) if name == "extra" && !is_own => found.extend(extra.keys().cloned()),
                    Value::Object(_) | Value::Array(_)
                        if !matches!(name.as_str(), "extra" | "value" | "schema" | "input_schema") =>
                    {
                        names(field, found);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}
