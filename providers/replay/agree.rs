//! Streamed and unstreamed forms of one answer, made of each other by the vendors' rules and not by the decoders'.

use beluga_providers::llm::Profile;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Outcome};
use super::clouds;
use super::documents::Documents;
use super::request::difference;
use super::{natives, responses};

/// Checks that an answer is the same in its other form.
///
/// `None` if the dialect has no other form to make, or the answer none.
pub(crate) fn check(
    profile: &Profile,
    answer: &Answer,
    documents: &Documents,
    outcome: &Outcome,
) -> Option<Result<(), String>> {
    let dialect = profile.dialect.facts().name;
    if let ("bedrock-converse", Documents::Whole(whole)) = (dialect, documents) {
        let stream = clouds::converse_stream(whole)?;
        return Some(check_other(profile, answer, outcome, stream, "application/vnd.amazon.eventstream"));
    }
    let (body, content_type) = match (dialect, documents) {
        ("openai-chat" | "mistral", Documents::Stream(events)) => (chat_whole(events)?.to_string(), "application/json"),
        ("openai-chat" | "mistral", Documents::Whole(whole)) => (chat_stream(whole)?, "text/event-stream"),
        ("anthropic", Documents::Stream(events)) => (messages_whole(events)?.to_string(), "application/json"),
        ("anthropic", Documents::Whole(whole)) => (messages_stream(whole)?, "text/event-stream"),
        ("gemini", Documents::Stream(events)) => (clouds::gemini_whole(events)?.to_string(), "application/json"),
        ("gemini", Documents::Whole(whole)) => (clouds::gemini_stream(whole)?, "text/event-stream"),
        ("gemini-interactions", Documents::Stream(events)) => {
            (clouds::interaction_whole(events)?.to_string(), "application/json")
        }
        ("gemini-interactions", Documents::Whole(whole)) => (clouds::interaction_stream(whole)?, "text/event-stream"),
        ("bedrock-converse", Documents::Stream(events)) => {
            (clouds::converse_whole(events)?.to_string(), "application/json")
        }
        ("openai-responses", Documents::Stream(events)) => (responses::whole(events)?.to_string(), "application/json"),
        ("openai-responses", Documents::Whole(whole)) => (responses::stream(whole)?, "text/event-stream"),
        ("cohere", Documents::Stream(events)) => (natives::cohere_whole(events)?.to_string(), "application/json"),
        ("cohere", Documents::Whole(whole)) => (natives::cohere_stream(whole)?, "text/event-stream"),
        ("ollama", Documents::Stream(events)) => (natives::ollama_whole(events)?.to_string(), "application/json"),
        ("ollama", Documents::Whole(whole)) => (natives::ollama_stream(whole)?, "application/x-ndjson"),
        _ => return None,
    };
    Some(check_other(profile, answer, outcome, body.into_bytes(), content_type))
}

fn check_other(
    profile: &Profile,
    answer: &Answer,
    outcome: &Outcome,
    body: Vec<u8>,
    content_type: &str,
) -> Result<(), String> {
    let mut other = Answer { body, ..answer.clone() };
    if let Ok(value) = http::HeaderValue::from_str(content_type) {
        other.headers.insert(http::header::CONTENT_TYPE, value);
    }
    let decoded = other.decode(profile, [other.body.as_slice()]);
    compare(outcome, &decoded)
}

fn compare(one: &Outcome, other: &Outcome) -> Result<(), String> {
    let form = |outcome: &Outcome| match outcome.answer() {
        Ok(answer) => serde_json::to_value(&answer).map(in_order).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let (one, other) = (form(one)?, form(other).map_err(|error| format!("in its other form: {error}"))?);
    match difference(&one, &other, &mut String::new()) {
        Some(difference) => Err(format!("in its other form: {difference}")),
        None => Ok(()),
    }
}

/// Puts thinking first, and reads arguments: where it stands among texts is the stream's accident in dialects that give it a field of its own.
fn in_order(mut answer: Value) -> Value {
    if let Some(Value::Array(parts)) = answer.pointer_mut("/message/parts") {
        for call in parts.iter_mut().filter_map(|part| part.get_mut("arguments")) {
            // Blanks between arguments are the form's.
            if let Some(arguments) = call.as_str().and_then(|text| serde_json::from_str(text).ok()) {
                *call = arguments;
            }
        }
        parts.sort_by_key(|part| match part.get("type").and_then(Value::as_str) {
            Some("thinking") => 0,
            Some("tool_call") => 2,
            _ => 1,
        });
    }
    answer
}

/// Puts the chunks of a chat completion together.
fn chat_whole(events: &[Value]) -> Option<Value> {
    let mut whole = Map::new();
    let mut choices: Vec<Map<String, Value>> = Vec::new();
    for event in events {
        let Value::Object(fields) = event else { return None };
        for (name, value) in fields {
            if name == "error" {
                return None;
            }
            if name != "choices" {
                merge(&mut whole, name, value);
                continue;
            }
            for choice in value.as_array()? {
                let index = usize::try_from(choice.get("index").and_then(Value::as_u64).unwrap_or(0)).ok()?;
                if index >= choices.len() {
                    choices.resize(index + 1, Map::new());
                }
                chat_choice(choices.get_mut(index)?, choice.as_object()?)?;
            }
        }
    }
    for (index, choice) in choices.iter_mut().enumerate() {
        choice.insert("index".to_owned(), json!(index));
        // Calls are told apart by ids in vendors' streams that give every one the same index: not made here.
        let calls = choice.get("message").and_then(|message| message.get("tool_calls"));
        let is_clear = |call: &Value| call.pointer("/function/name").or(call.pointer("/custom/name")).is_some();
        if !calls.and_then(Value::as_array).is_none_or(|calls| calls.iter().all(is_clear)) {
            return None;
        }
    }
    whole.insert("choices".to_owned(), Value::Array(choices.into_iter().map(Value::Object).collect()));
    Some(Value::Object(whole))
}

fn chat_choice(whole: &mut Map<String, Value>, choice: &Map<String, Value>) -> Option<()> {
    for (name, value) in choice {
        match (name.as_str(), value) {
            ("delta", Value::Object(delta)) => {
                let message = whole.entry("message").or_insert_with(|| json!({})).as_object_mut()?;
                for (name, value) in delta {
                    chat_piece(message, name, value)?;
                }
            }
            ("logprobs", Value::Object(fields)) => {
                let have = whole.entry("logprobs").or_insert_with(|| json!({})).as_object_mut()?;
                for (name, value) in fields {
                    match (have.get_mut(name), value) {
                        (Some(Value::Array(have)), Value::Array(more)) => have.extend(more.iter().cloned()),
                        (_, Value::Null) => {}
                        (_, value) => drop(have.insert(name.clone(), value.clone())),
                    }
                }
            }
            _ => merge(whole, name, value),
        }
    }
    Some(())
}

fn chat_piece(message: &mut Map<String, Value>, name: &str, value: &Value) -> Option<()> {
    match (name, value) {
        (_, Value::Null) => {}
        ("content", Value::String(piece)) if message.get("content").is_some_and(Value::is_array) => {
            if !piece.is_empty() {
                message.get_mut("content")?.as_array_mut()?.push(json!({"type": "text", "text": piece}));
            }
        }
        ("content", Value::Array(parts)) => {
            let before = message.shift_remove("content");
            let mut list = match before {
                Some(Value::Array(list)) => list,
                Some(Value::String(text)) if !text.is_empty() => vec![json!({"type": "text", "text": text})],
                _ => Vec::new(),
            };
            list.extend(parts.iter().cloned());
            message.insert("content".to_owned(), Value::Array(list));
        }
        ("content" | "refusal" | "reasoning" | "reasoning_content", Value::String(piece)) => {
            append(message, name, piece);
        }
        ("tool_calls", Value::Array(deltas)) => {
            let calls = message.entry("tool_calls").or_insert_with(|| json!([])).as_array_mut()?;
            for delta in deltas {
                let index = delta.get("index").and_then(Value::as_u64)?;
                let new_id = delta.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
                let known = calls.iter_mut().find(|call| call.get("index").and_then(Value::as_u64) == Some(index));
                // An index that is taken twice is the decoder's business.
                match known {
                    Some(call) if new_id.is_some_and(|id| call.get("id").is_some_and(|have| have != id)) => {
                        return None;
                    }
                    Some(call) => chat_call(call.as_object_mut()?, delta.as_object()?)?,
                    None => calls.push(delta.clone()),
                }
            }
        }
        ("reasoning_details", Value::Array(deltas)) => {
            let details = message.entry("reasoning_details").or_insert_with(|| json!([])).as_array_mut()?;
            for delta in deltas {
                let same = |have: &&mut Value| {
                    have.get("index").is_some()
                        && have.get("index") == delta.get("index")
                        && have.get("type") == delta.get("type")
                        && !(is_sealed(have) && is_sealed(delta))
                };
                match details.iter_mut().rfind(same) {
                    Some(Value::Object(have)) => {
                        for (name, value) in delta.as_object()? {
                            match (name.as_str(), value) {
                                ("text" | "summary", Value::String(piece)) => append(have, name, piece),
                                (name, value) => merge(have, name, value),
                            }
                        }
                    }
                    _ => details.push(delta.clone()),
                }
            }
        }
        ("annotations" | "images", Value::Array(more)) => {
            let have = message.entry(name).or_insert_with(|| json!([])).as_array_mut()?;
            have.extend(more.iter().cloned());
        }
        ("content" | "audio", Value::Array(_) | Value::Object(_)) => return None,
        (name, value) => merge(message, name, value),
    }
    Some(())
}

fn is_sealed(detail: &Value) -> bool {
    ["signature", "data"]
        .iter()
        .any(|name| detail.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty()))
}

fn chat_call(call: &mut Map<String, Value>, delta: &Map<String, Value>) -> Option<()> {
    for (name, value) in delta {
        match (name.as_str(), value) {
            ("function" | "custom", Value::Object(fields)) => {
                let have = call.entry(name).or_insert_with(|| json!({})).as_object_mut()?;
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("arguments" | "input", Value::String(piece)) => append(have, name, piece),
                        (name, value) if have.get(name).is_none_or(Value::is_null) => merge(have, name, value),
                        _ => {}
                    }
                }
            }
            (name, value) if call.get(name).is_none_or(|have| have.is_null() || have == "") => merge(call, name, value),
            _ => {}
        }
    }
    Some(())
}

pub(super) fn append(fields: &mut Map<String, Value>, name: &str, piece: &str) {
    match fields.get_mut(name) {
        Some(Value::String(have)) => have.push_str(piece),
        _ => drop(fields.insert(name.to_owned(), json!(piece))),
    }
}

/// Takes the newer value; objects are merged, lists that go on are joined, and null and nothing change nothing.
pub(super) fn merge(fields: &mut Map<String, Value>, name: &str, value: &Value) {
    match (fields.get_mut(name), value) {
        (_, Value::Null) => {}
        (Some(Value::Object(have)), Value::Object(more)) => {
            more.iter().for_each(|(name, value)| merge(have, name, value))
        }
        (Some(Value::Array(have)), Value::Array(more)) if !more.starts_with(have) => have.extend(more.iter().cloned()),
        (Some(Value::String(_)), Value::String(text)) if text.is_empty() => {}
        (_, value) => drop(fields.insert(name.to_owned(), value.clone())),
    }
}

/// Makes the shortest stream of a whole chat completion.
fn chat_stream(whole: &Value) -> Option<String> {
    let mut event = whole.clone();
    for choice in event.get_mut("choices")?.as_array_mut()? {
        let fields = choice.as_object_mut()?;
        let message = fields.shift_remove("message")?;
        fields.insert("delta".to_owned(), message);
    }
    // A whole answer may do without a reason; a stream that ends says so.
    Some(format!("data: {event}\n\ndata: [DONE]\n\n"))
}

/// Puts the events of a message together.
fn messages_whole(events: &[Value]) -> Option<Value> {
    let mut whole = Map::new();
    let mut blocks: Vec<Value> = Vec::new();
    for event in events {
        match event.get("type")?.as_str()? {
            "message_start" => whole = event.get("message")?.as_object()?.clone(),
            "content_block_start" => blocks.push(event.get("content_block")?.clone()),
            "content_block_delta" => {
                let index = usize::try_from(event.get("index")?.as_u64()?).ok()?;
                messages_piece(blocks.get_mut(index)?.as_object_mut()?, event.get("delta")?)?;
            }
            "message_delta" => {
                event.get("delta")?.as_object()?.iter().for_each(|(name, value)| merge(&mut whole, name, value));
                for (name, value) in
                    event.as_object()?.iter().filter(|(name, _)| !matches!(name.as_str(), "type" | "delta"))
                {
                    match (whole.get_mut(name), value) {
                        // Counters are replaced one by one.
                        (Some(Value::Object(have)), Value::Object(more)) if name == "usage" => {
                            let told = more.iter().filter(|(_, value)| !value.is_null());
                            have.extend(told.map(|(name, value)| (name.clone(), value.clone())));
                        }
                        _ => merge(&mut whole, name, value),
                    }
                }
            }
            "error" => return None,
            "content_block_stop" | "message_stop" | "ping" => {}
            // What later versions tell stands beside the rest.
            kind => merge(&mut whole, kind, event),
        }
    }
    for block in &mut blocks {
        let fields = block.as_object_mut()?;
        if let Some(Value::String(pieces)) = fields.shift_remove("partial_json") {
            // What the limit cut has no whole form.
            fields.insert("input".to_owned(), serde_json::from_str(&pieces).ok()?);
        }
    }
    let is_cut = whole.get("stop_reason") == Some(&json!("max_tokens"));
    if is_cut && blocks.last().is_some_and(|block| block.get("type") == Some(&json!("tool_use"))) {
        return None;
    }
    whole.insert("content".to_owned(), Value::Array(blocks));
    Some(Value::Object(whole))
}

fn messages_piece(block: &mut Map<String, Value>, delta: &Value) -> Option<()> {
    for (name, value) in delta.as_object()? {
        match (name.as_str(), value) {
            ("type", _) => {}
            ("citation", citation) => match block.get_mut("citations") {
                Some(Value::Array(have)) => have.push(citation.clone()),
                _ => drop(block.insert("citations".to_owned(), json!([citation]))),
            },
            (name, Value::String(piece)) => append(block, name, piece),
            (name, value) => merge(block, name, value),
        }
    }
    Some(())
}

/// Makes the shortest stream of a whole message.
fn messages_stream(whole: &Value) -> Option<String> {
    let mut start = whole.as_object()?.clone();
    let Some(Value::Array(blocks)) = start.insert("content".to_owned(), json!([])) else { return None };
    let reason = start.insert("stop_reason".to_owned(), Value::Null)?;
    if reason == "max_tokens" && blocks.last().is_some_and(|block| block.get("type") == Some(&json!("tool_use"))) {
        return None;
    }
    let mut events = vec![json!({"type": "message_start", "message": start})];
    for (index, block) in blocks.into_iter().enumerate() {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}}));
    events.push(json!({"type": "message_stop"}));
    Some(events.iter().map(|event| format!("data: {event}\n\n")).collect())
}
