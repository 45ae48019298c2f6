//! The forms of answers of Gemini's two dialects and of Converse, made of each other by the vendors' rules.

use serde_json::{Map, Value, json};

use super::agree::{append, merge};
use super::frames;

/// Puts the documents of a streamed generateContent together.
pub(crate) fn gemini_whole(events: &[Value]) -> Option<Value> {
    let mut whole = Map::new();
    let mut candidates: Vec<Map<String, Value>> = Vec::new();
    for event in events {
        for (name, value) in event.as_object()? {
            match name.as_str() {
                "error" => return None,
                "candidates" => {
                    for candidate in value.as_array()? {
                        gemini_candidate(&mut candidates, candidate.as_object()?)?;
                    }
                }
                // Each document counts anew, and may leave a counter out.
                "usageMetadata" => {
                    let have = whole.entry("usageMetadata").or_insert_with(|| json!({})).as_object_mut()?;
                    have.extend(value.as_object()?.iter().map(|(name, value)| (name.clone(), value.clone())));
                }
                _ => merge(&mut whole, name, value),
            }
        }
    }
    if !candidates.is_empty() {
        let candidates = candidates.into_iter().map(Value::Object).collect();
        whole.insert("candidates".to_owned(), Value::Array(candidates));
    }
    Some(Value::Object(whole))
}

fn gemini_candidate(candidates: &mut Vec<Map<String, Value>>, candidate: &Map<String, Value>) -> Option<()> {
    let index = candidate.get("index").and_then(Value::as_u64).unwrap_or(0);
    let known = candidates.iter().position(|have| have.get("index").and_then(Value::as_u64) == Some(index));
    let at = known.unwrap_or_else(|| {
        candidates.push(Map::from_iter([("index".to_owned(), json!(index))]));
        candidates.len() - 1
    });
    let have = candidates.get_mut(at)?;
    for (name, value) in candidate.iter().filter(|(name, _)| *name != "index") {
        if name != "content" {
            merge(have, name, value);
            continue;
        }
        let content = have.entry("content").or_insert_with(|| json!({"role": "model"})).as_object_mut()?;
        let parts = content.entry("parts").or_insert_with(|| json!([])).as_array_mut()?;
        parts.extend(value.get("parts").and_then(Value::as_array).into_iter().flatten().cloned());
    }
    Some(())
}

/// Makes the shortest stream of a whole generateContent: itself.
pub(crate) fn gemini_stream(whole: &Value) -> Option<String> {
    whole.is_object().then(|| format!("data: {whole}\n\n"))
}

/// Puts the payloads of a ConverseStream together.
pub(crate) fn converse_whole(events: &[Value]) -> Option<Value> {
    let mut whole = Map::new();
    let mut blocks: Vec<(u64, Map<String, Value>)> = Vec::new();
    for event in events {
        let index = event.get("contentBlockIndex").and_then(Value::as_u64);
        let (Some(index), fields) = (index, event.as_object()?) else {
            for (name, value) in event.as_object()?.iter().filter(|(name, _)| !matches!(name.as_str(), "p" | "role")) {
                whole.insert(name.clone(), value.clone());
            }
            continue;
        };
        if !blocks.iter().any(|(have, _)| *have == index) {
            blocks.push((index, Map::new()));
        }
        let (_, block) = blocks.iter_mut().find(|(have, _)| *have == index)?;
        for pieces in [fields.get("start"), fields.get("delta")].into_iter().flatten() {
            for (name, piece) in pieces.as_object()? {
                converse_piece(block, name, piece)?;
            }
        }
    }
    // An exception has a message and no reason.
    whole.get("stopReason")?;
    let blocks: Option<Vec<Value>> = blocks.into_iter().map(|(_, block)| converse_block(block)).collect();
    let message = json!({"role": "assistant", "content": blocks?});
    whole.insert("output".to_owned(), json!({"message": message}));
    let whole = Value::Object(whole);
    (!is_cut(&whole)).then_some(whole)
}

fn converse_piece(block: &mut Map<String, Value>, name: &str, piece: &Value) -> Option<()> {
    match (name, piece) {
        ("text", Value::String(text)) => append(block, "text", text),
        ("citation", citation) => {
            block.entry("citations").or_insert_with(|| json!([])).as_array_mut()?.push(citation.clone());
        }
        ("toolResult", Value::Array(content)) => {
            let result = block.get_mut("toolResult")?.as_object_mut()?;
            let have = result.entry("content").or_insert_with(|| json!([]));
            have.as_array_mut()?.extend(content.iter().cloned());
        }
        (name, Value::Object(fields)) => {
            let have = block.entry(name).or_insert_with(|| json!({})).as_object_mut()?;
            for (name, value) in fields {
                match value {
                    Value::String(text) if matches!(name.as_str(), "input" | "text" | "signature") => {
                        append(have, name, text)
                    }
                    value => drop(have.insert(name.clone(), value.clone())),
                }
            }
        }
        _ => return None,
    }
    Some(())
}

fn converse_block(mut block: Map<String, Value>) -> Option<Value> {
    if let Some(citations) = block.shift_remove("citations") {
        let content = json!([{"text": block.shift_remove("text")?}]);
        return Some(json!({"citationsContent": {"content": content, "citations": citations}}));
    }
    if let Some(Value::Object(reasoning)) = block.get_mut("reasoningContent")
        && !reasoning.contains_key("redactedContent")
    {
        let text = Value::Object(std::mem::take(reasoning));
        reasoning.insert("reasoningText".to_owned(), text);
    }
    if let Some(Value::Object(call)) = block.get_mut("toolUse") {
        let input = match call.get("input").and_then(Value::as_str).unwrap_or_default() {
            "" => json!({}),
            // What the limit cut has no whole form.
            text => serde_json::from_str(text).ok()?,
        };
        call.insert("input".to_owned(), input);
    }
    Some(Value::Object(block))
}

fn is_cut(whole: &Value) -> bool {
    let content = whole.pointer("/output/message/content").and_then(Value::as_array);
    let ends_in_call = content.and_then(|content| content.last()?.get("toolUse")).is_some();
    whole.get("stopReason") == Some(&json!("max_tokens")) && ends_in_call
}

/// Makes the shortest stream of a whole Converse.
pub(crate) fn converse_stream(whole: &Value) -> Option<Vec<u8>> {
    if is_cut(whole) {
        return None;
    }
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    for (index, block) in whole.pointer("/output/message/content")?.as_array()?.iter().enumerate() {
        for (name, value) in converse_pieces(block)? {
            let field = if name == "contentBlockStart" { "start" } else { "delta" };
            events.push((name, json!({"contentBlockIndex": index, field: value})));
        }
        events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
    }
    let (mut stop, mut last) = (Map::new(), Map::new());
    for (name, value) in whole.as_object()?.iter().filter(|(name, _)| *name != "output") {
        let event =
            if matches!(name.as_str(), "stopReason" | "additionalModelResponseFields") { &mut stop } else { &mut last };
        event.insert(name.clone(), value.clone());
    }
    events.extend([("messageStop", Value::Object(stop)), ("metadata", Value::Object(last))]);
    let lines: String = events.iter().map(|(name, event)| format!("{name} {event}\n")).collect();
    Some(frames::encode(&lines))
}

fn converse_pieces(block: &Value) -> Option<Vec<(&'static str, Value)>> {
    let (start, delta) = ("contentBlockStart", "contentBlockDelta");
    let (name, value) = block.as_object()?.iter().next()?;
    Some(match name.as_str() {
        "text" => vec![(delta, block.clone())],
        "reasoningContent" => match value.get("reasoningText").and_then(Value::as_object) {
            Some(fields) => {
                fields.iter().map(|(name, text)| (delta, json!({"reasoningContent": {name: text}}))).collect()
            }
            None => vec![(delta, block.clone())],
        },
        "toolUse" => {
            let mut call = value.as_object()?.clone();
            let input = call.shift_remove("input")?.to_string();
            vec![(start, json!({"toolUse": call})), (delta, json!({"toolUse": {"input": input}}))]
        }
        "citationsContent" => {
            let texts = value.get("content")?.as_array()?.iter().map(|text| (delta, text.clone()));
            let citations = value.get("citations")?.as_array()?.iter();
            texts.chain(citations.map(|citation| (delta, json!({"citation": citation})))).collect()
        }
        _ => vec![(start, block.clone())],
    })
}

/// Puts the events of a streamed interaction together.
pub(crate) fn interaction_whole(events: &[Value]) -> Option<Value> {
    let mut whole = Map::new();
    let mut steps: Vec<(u64, Map<String, Value>)> = Vec::new();
    for event in events {
        if event.get("error").is_some() {
            return None;
        }
        if let Some(interaction) = event.get("interaction") {
            interaction.as_object()?.iter().for_each(|(name, value)| merge(&mut whole, name, value));
        }
        let Some(index) = event.get("index").and_then(Value::as_u64) else { continue };
        if let Some(step) = event.get("step") {
            steps.push((index, step.as_object()?.clone()));
        }
        if let Some(delta) = event.get("delta") {
            let (_, step) = steps.iter_mut().rev().find(|(have, _)| *have == index)?;
            interaction_piece(step, delta)?;
        }
    }
    let steps = steps.into_iter().map(|(_, step)| Value::Object(step)).collect();
    whole.insert("steps".to_owned(), Value::Array(steps));
    (whole.get("status")? != "in_progress").then_some(Value::Object(whole))
}

fn interaction_piece(step: &mut Map<String, Value>, delta: &Value) -> Option<()> {
    let text = |name: &str| delta.get(name).and_then(Value::as_str);
    match delta.get("type")?.as_str()? {
        "text" => {
            let content =
                step.entry("content").or_insert_with(|| json!([{"type": "text", "text": ""}])).as_array_mut()?;
            append(content.last_mut()?.as_object_mut()?, "text", text("text")?);
        }
        "thought_signature" => append(step, "signature", text("signature")?),
        "thought_summary" => {
            let summary = step.entry("summary").or_insert_with(|| json!([])).as_array_mut()?;
            summary.push(delta.get("content")?.clone());
        }
        "arguments_delta" => {
            // It comes in one piece or in many; only what is whole has a whole form.
            let have = step.get("arguments").and_then(Value::as_str).unwrap_or_default();
            let joined = format!("{have}{}", text("arguments")?);
            let arguments = serde_json::from_str(&joined).unwrap_or(Value::String(joined));
            step.insert("arguments".to_owned(), arguments);
        }
        _ => return None,
    }
    Some(())
}

/// Makes the shortest stream of a whole interaction.
pub(crate) fn interaction_stream(whole: &Value) -> Option<String> {
    let mut end = whole.as_object()?.clone();
    let steps = end.shift_remove("steps")?;
    let start = json!({"id": end.get("id"), "model": end.get("model"), "status": "in_progress"});
    let mut events = vec![json!({"event_type": "interaction.created", "interaction": start})];
    for (index, step) in steps.as_array()?.iter().enumerate() {
        events.push(json!({"event_type": "step.start", "index": index, "step": step}));
        events.push(json!({"event_type": "step.stop", "index": index}));
    }
    events.push(json!({"event_type": "interaction.completed", "interaction": end}));
    let lines: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    Some(format!("{lines}data: [DONE]\n\n"))
}
