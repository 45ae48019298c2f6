//! Other forms of answers of Cohere's chat and of Ollama's.

use serde_json::{Map, Value, json};

use super::agree::{append, merge};

/// Puts the events of a Cohere answer together.
pub(crate) fn cohere_whole(events: &[Value]) -> Option<Value> {
    let (mut whole, mut message) = (Map::new(), Map::new());
    let (mut content, mut calls, mut citations, mut logprobs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for event in events {
        let kind = event.get("type")?.as_str()?;
        let piece = |name: &str| event.pointer(&format!("/delta/message/{name}")).cloned();
        logprobs.extend(event.get("logprobs").or_else(|| event.pointer("/delta/logprobs")).cloned());
        match kind {
            "message-start" => {
                whole.insert("id".to_owned(), event.get("id")?.clone());
                message.insert("role".to_owned(), piece("role")?);
            }
            "content-start" => content.push(piece("content")?),
            "content-delta" => {
                let fields = content.last_mut()?.as_object_mut()?;
                for (name, value) in piece("content")?.as_object()? {
                    append(fields, name, value.as_str()?);
                }
            }
            "tool-plan-delta" => append(&mut message, "tool_plan", piece("tool_plan")?.as_str()?),
            "tool-call-start" => calls.push(piece("tool_calls")?),
            "tool-call-delta" => {
                let more = piece("tool_calls")?;
                let function = calls.last_mut()?.get_mut("function")?.as_object_mut()?;
                append(function, "arguments", more.pointer("/function/arguments")?.as_str()?);
            }
            "citation-start" => citations.push(piece("citations")?),
            "message-end" => {
                for (name, value) in event.get("delta")?.as_object()? {
                    merge(&mut whole, name, value);
                }
            }
            "content-end" | "tool-call-end" | "citation-end" => {}
            _ => return None,
        }
    }
    for (name, list) in [("content", content), ("tool_calls", calls), ("citations", citations)] {
        if !list.is_empty() {
            message.insert(name.to_owned(), Value::Array(list));
        }
    }
    if !logprobs.is_empty() {
        whole.insert("logprobs".to_owned(), Value::Array(logprobs));
    }
    whole.insert("message".to_owned(), Value::Object(message));
    Some(Value::Object(whole))
}

/// Makes the shortest stream of a whole Cohere answer.
pub(crate) fn cohere_stream(whole: &Value) -> Option<String> {
    let message = whole.get("message")?;
    let list = |name: &str| message.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut events = vec![json!({
        "type": "message-start", "id": whole.get("id")?, "delta": {"message": {"role": "assistant", "content": []}},
    })];
    if let Some(plan) = message.get("tool_plan") {
        events.push(json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": plan}}}));
    }
    let told = [("content", "content-start"), ("tool_calls", "tool-call-start"), ("citations", "citation-start")];
    for (name, kind) in told {
        for (index, item) in list(name).into_iter().enumerate() {
            events.push(json!({"type": kind, "index": index, "delta": {"message": {name: item}}}));
        }
    }
    for logprobs in whole.get("logprobs").and_then(Value::as_array).into_iter().flatten() {
        events.push(json!({"type": "content-delta", "index": 0, "delta": {"logprobs": logprobs}}));
    }
    let end = json!({"finish_reason": whole.get("finish_reason")?, "usage": whole.get("usage")});
    events.push(json!({"type": "message-end", "delta": end}));
    Some(events.iter().map(|event| format!("data: {event}\n\n")).collect())
}

/// Puts the lines of an Ollama answer together.
pub(crate) fn ollama_whole(lines: &[Value]) -> Option<Value> {
    let (mut whole, mut message) = (Map::new(), Map::new());
    for line in lines {
        for (name, value) in line.as_object()? {
            match (name.as_str(), value) {
                ("error", _) => return None,
                ("message", Value::Object(said)) => {
                    for (name, value) in said {
                        match (name.as_str(), value) {
                            ("content" | "thinking", Value::String(piece)) => append(&mut message, name, piece),
                            (name, value) => merge(&mut message, name, value),
                        }
                    }
                }
                // Each line tells its own time.
                ("created_at", _) if whole.contains_key("created_at") => {}
                (name, value) => merge(&mut whole, name, value),
            }
        }
    }
    whole.insert("message".to_owned(), Value::Object(message));
    Some(Value::Object(whole))
}

/// Makes the shortest stream of a whole Ollama answer: what is said, and why it ends.
pub(crate) fn ollama_stream(whole: &Value) -> Option<String> {
    let mut last = whole.as_object()?.clone();
    let message = last.insert("message".to_owned(), json!({"role": "assistant", "content": ""}))?;
    let (model, time) = (whole.get("model"), whole.get("created_at"));
    let first = json!({"model": model, "created_at": time, "message": message, "done": false});
    Some(format!("{first}\n{}\n", Value::Object(last)))
}
