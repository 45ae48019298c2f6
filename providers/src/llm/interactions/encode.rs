//! Requests of the Interactions dialect: the whole conversation as steps, with nothing kept at the vendor unless asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beluga_core::{
    ChatMessage, Effort, Error, Extra, GenerateOptions, Media, MediaSource, Part, ResponseFormat, Result, Role,
    ToolChoice, ToolDefinition, ToolResult,
};
use serde::ser::Serializer;
use serde_json::{Map, Value, json};

use super::super::dialect::Call;
use super::super::json::{Fields, arguments_object};
use super::super::profile::Profile;

/// Encodes a request.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let failed = |error: serde_json::Error| Error::internal("the request is no JSON").with_source(error);
    let (profile, options) = (call.profile, &call.request.options);
    let mut system: Vec<String> = Vec::new();
    let mut steps = Vec::new();
    for message in &call.request.messages {
        match message.role {
            Role::System => system.push(message.text()),
            Role::Assistant => push_answer(profile, message, &mut steps)?,
            Role::User | Role::Tool => push_input(profile, message, &mut steps)?,
        }
    }
    let mut own = options.extra.clone();
    let tools: Vec<Value> = call.request.tools.iter().filter_map(|tool| wire_tool(profile, tool)).collect();
    let mut config = config(options, call.max_tokens, !tools.is_empty());
    if let Some(Value::Object(theirs)) = own.get("generation_config") {
        config.extend(theirs.clone());
        own.shift_remove("generation_config");
    }
    let mut body = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut body);
    let map = serializer.serialize_map(None).map_err(failed)?;
    let mut fields = Fields::new(map, &own, profile.unsupported);
    let mut put = |name: &'static str, value: Option<Value>| value.map_or(Ok(()), |value| fields.put(name, &value));
    put("model", Some(json!(call.model()))).map_err(failed)?;
    put("system_instruction", (!system.is_empty()).then(|| json!(system.join("\n\n")))).map_err(failed)?;
    put("input", Some(Value::Array(steps))).map_err(failed)?;
    put("tools", (!tools.is_empty()).then_some(Value::Array(tools))).map_err(failed)?;
    put("generation_config", (!config.is_empty()).then_some(Value::Object(config))).map_err(failed)?;
    put("response_mime_type", options.format.as_ref().map(|_| json!("application/json"))).map_err(failed)?;
    if let Some(ResponseFormat::JsonSchema { schema, .. }) = &options.format {
        put("response_format", Some(schema.clone())).map_err(failed)?;
    }
    put("stream", call.stream.then(|| json!(true))).map_err(failed)?;
    put("store", Some(json!(options.store.unwrap_or(false)))).map_err(failed)?;
    fields.end().map_err(failed)?;
    Ok(body)
}

fn config(options: &GenerateOptions, max_tokens: Option<u32>, has_tools: bool) -> Map<String, Value> {
    let reasoning = options.reasoning.as_ref();
    let level = reasoning.and_then(|reasoning| reasoning.effort.as_ref()).map(|effort| match effort {
        Effort::None => Effort::Minimal.as_str().to_owned(),
        Effort::ExtraHigh | Effort::Max => Effort::High.as_str().to_owned(),
        effort => effort.as_str().to_owned(),
    });
    let summaries = reasoning.and_then(|reasoning| reasoning.shown.or(level.is_some().then_some(true)));
    let choice = match &options.tool_choice {
        _ if !has_tools => None,
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("any")),
        ToolChoice::Tool(name) => Some(json!({"allowed_tools": {"mode": "any", "tools": [name]}})),
        ToolChoice::Among { tools, required } => {
            let mode = if *required { "any" } else { "auto" };
            Some(json!({"allowed_tools": {"mode": mode, "tools": tools}}))
        }
    };
    let fields = [
        ("temperature", options.temperature.map(Value::from)),
        ("top_p", options.top_p.map(Value::from)),
        ("seed", options.seed.map(Value::from)),
        ("max_output_tokens", options.max_tokens.or(max_tokens).map(Value::from)),
        ("stop_sequences", (!options.stop.is_empty()).then(|| json!(options.stop))),
        ("thinking_level", level.map(Value::from)),
        ("thinking_summaries", summaries.map(|are_shown| json!(if are_shown { "auto" } else { "none" }))),
        ("tool_choice", choice),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn wire_tool(profile: &Profile, tool: &ToolDefinition) -> Option<Value> {
    let notes = tool.notes.as_deref();
    match notes.and_then(|notes| Some((notes.kind.as_deref()?, notes))) {
        Some((kind, notes)) => (notes.family == profile.name).then(|| typed(kind, notes.extra.clone())),
        None => Some(json!({
            "type": "function", "name": tool.name, "description": tool.description, "parameters": tool.input_schema,
        })),
    }
}

/// Puts the sort before the fields of an object.
fn typed(kind: &str, fields: Extra) -> Value {
    let mut object = Map::from_iter([("type".to_owned(), json!(kind))]);
    object.extend(fields);
    Value::Object(object)
}

/// What the user and tools say is one step.
fn push_input(profile: &Profile, message: &ChatMessage, steps: &mut Vec<Value>) -> Result<()> {
    let content: Vec<Value> = contents(profile, &message.parts)?;
    if !content.is_empty() {
        steps.push(json!({"type": "user_input", "content": content}));
    }
    Ok(())
}

/// An answer is a step for each sort of what it says, in order.
fn push_answer(profile: &Profile, message: &ChatMessage, steps: &mut Vec<Value>) -> Result<()> {
    for part in &message.parts {
        match part {
            Part::Thinking(thinking) if thinking.family == profile.name => {
                let mut step = typed("thought", Extra::new());
                if let (Some(signature), Some(fields)) = (&thinking.signature, step.as_object_mut()) {
                    fields.insert("signature".to_owned(), json!(signature));
                }
                if let (false, Some(fields)) = (thinking.text.is_empty(), step.as_object_mut()) {
                    fields.insert("summary".to_owned(), json!([{"type": "text", "text": thinking.text}]));
                }
                steps.push(step);
            }
            Part::Thinking(_) => {}
            Part::ToolCall(call) => {
                let notes = call.notes.as_deref().filter(|notes| notes.family == profile.name);
                let arguments: Value = serde_json::from_str(&arguments_object(&call.arguments)).unwrap_or_default();
                let mut fields = notes.map(|notes| notes.extra.clone()).unwrap_or_default();
                fields.insert("id".to_owned(), json!(call.id));
                fields.insert("name".to_owned(), json!(call.name));
                fields.insert("arguments".to_owned(), arguments);
                let signature = notes.and_then(|notes| notes.signature.as_ref());
                fields.extend(signature.map(|signature| ("signature".to_owned(), json!(signature))));
                steps.push(typed("function_call", fields));
            }
            Part::Foreign(foreign) if foreign.family == profile.name => {
                let fields = foreign.value.as_object().cloned().unwrap_or_default();
                steps.push(typed(&foreign.kind, fields));
            }
            Part::Foreign(_) => {}
            part => {
                let content = contents(profile, std::slice::from_ref(part))?;
                if !content.is_empty() {
                    steps.push(json!({"type": "model_output", "content": content}));
                }
            }
        }
    }
    Ok(())
}

fn contents(profile: &Profile, parts: &[Part]) -> Result<Vec<Value>> {
    parts.iter().filter_map(|part| content(profile, part).transpose()).collect()
}

fn content(profile: &Profile, part: &Part) -> Result<Option<Value>> {
    Ok(match part {
        Part::Text { text, .. } | Part::Refusal { text, .. } => {
            (!text.is_empty()).then(|| json!({"type": "text", "text": text}))
        }
        Part::Image(media) => Some(wire_media("image", media, "image/png")),
        Part::Audio(media) => Some(wire_media("audio", media, "audio/wav")),
        Part::Video(media) => Some(wire_media("video", media, "video/mp4")),
        Part::File(media) => Some(wire_media("document", media, "application/pdf")),
        Part::ToolResult(result) => Some(wire_result(profile, result)?),
        Part::Thinking(_) | Part::Foreign(_) | Part::ToolCall(_) => None,
        _ => return Err(Error::unsupported(format!("{} takes no part of that sort", profile.name))),
    })
}

fn wire_result(profile: &Profile, result: &ToolResult) -> Result<Value> {
    let has_text_alone = result.parts.iter().all(|part| part.as_text().is_some());
    let told = match has_text_alone {
        true => json!(result.text()),
        false => Value::Array(contents(profile, &result.parts)?),
    };
    let mut fields = json!({"type": "function_result", "call_id": result.call_id, "name": result.name, "result": told});
    if let (true, Some(fields)) = (result.is_error(), fields.as_object_mut()) {
        fields.insert("is_error".to_owned(), json!(true));
    }
    Ok(fields)
}

fn wire_media(kind: &str, media: &Media, default: &str) -> Value {
    let mime = if media.mime.is_empty() { default } else { &media.mime };
    match &media.source {
        MediaSource::Base64(data) => json!({"type": kind, "data": &**data, "mime_type": mime}),
        MediaSource::Text(text) => {
            json!({"type": kind, "data": STANDARD.encode(text.as_bytes()), "mime_type": "text/plain"})
        }
        MediaSource::Url(place) | MediaSource::Id(place) => json!({"type": kind, "uri": place, "mime_type": mime}),
    }
}
