//! Requests of Ollama's chat.

use beluga_core::{
    ChatMessage, Effort, Error, GenerateOptions, MediaSource, Part, Reasoning, ResponseFormat, Result, Role,
    ThinkingSwitch, ToolCall, ToolChoice, ToolResult,
};
use serde::Serializer;
use serde_json::{Map, Value, json};

use super::super::dialect::Call;
use super::super::function_tool::function_tool;
use super::super::json::{Fields, arguments_object};
use super::super::profile::Profile;

/// Encodes a request.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let failed = |error| Error::internal("the request is no JSON").with_source(error);
    let Call { profile, request, .. } = *call;
    let options = &request.options;
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        push_message(profile, message, &mut messages)?;
    }
    // It has no word for a choice; who must take none is offered none.
    let is_offered = options.tool_choice != ToolChoice::None;
    let tools: Vec<Value> =
        request.tools.iter().filter(|_| is_offered).filter_map(|tool| function_tool(profile, tool)).collect();
    let mut own = options.extra.clone();
    let mut sampling = sampling(options, call.max_tokens);
    if let Some(Value::Object(theirs)) = own.shift_remove("options") {
        sampling.extend(theirs);
    }
    let mut body = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut body);
    let map = serializer.serialize_map(None).map_err(failed)?;
    let mut fields = Fields::new(map, &own, profile.unsupported);
    fields.put("model", call.model()).map_err(failed)?;
    fields.put("messages", &messages).map_err(failed)?;
    fields.put("stream", &call.stream).map_err(failed)?;
    let mut put = |name: &'static str, value: Option<Value>| fields.put_some(name, value.as_ref()).map_err(failed);
    put("think", options.reasoning.as_ref().and_then(think))?;
    put("tools", (!tools.is_empty()).then_some(Value::Array(tools)))?;
    put("format", options.format.as_ref().map(format))?;
    put("logprobs", options.logprobs.map(Value::from))?;
    put("top_logprobs", options.top_logprobs.map(Value::from))?;
    put("options", (!sampling.is_empty()).then_some(Value::Object(sampling)))?;
    fields.end().map_err(failed)?;
    Ok(body)
}

fn sampling(options: &GenerateOptions, max_tokens: Option<u32>) -> Map<String, Value> {
    let fields = [
        ("temperature", options.temperature.map(Value::from)),
        ("top_p", options.top_p.map(Value::from)),
        ("top_k", options.top_k.map(Value::from)),
        ("min_p", options.min_p.map(Value::from)),
        ("seed", options.seed.map(Value::from)),
        ("frequency_penalty", options.frequency_penalty.map(Value::from)),
        ("presence_penalty", options.presence_penalty.map(Value::from)),
        ("num_predict", options.max_tokens.or(max_tokens).map(Value::from)),
        ("stop", (!options.stop.is_empty()).then(|| json!(options.stop))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Returns the switch, or the level for models that know levels.
fn think(reasoning: &Reasoning) -> Option<Value> {
    match (&reasoning.effort, reasoning.switch) {
        (_, Some(ThinkingSwitch::Disabled)) | (Some(Effort::None), _) => Some(json!(false)),
        (Some(Effort::Minimal), _) => Some(json!("low")),
        (Some(Effort::ExtraHigh | Effort::Max), _) => Some(json!("high")),
        (Some(effort), _) => Some(json!(effort.as_str())),
        (None, Some(_)) => Some(json!(true)),
        (None, None) => None,
    }
}

fn format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::JsonObject => json!("json"),
        ResponseFormat::JsonSchema { schema, .. } => schema.clone(),
    }
}

/// Writes a message; results of tools are a message each.
fn push_message(profile: &Profile, message: &ChatMessage, out: &mut Vec<Value>) -> Result<()> {
    match message.role {
        Role::System => out.push(json!({"role": "system", "content": message.text()})),
        Role::User => out.push(said(profile, "user", &message.parts)?),
        Role::Assistant => out.push(answer(profile, message)?),
        Role::Tool => {
            for result in message.results() {
                out.push(told(profile, result)?);
            }
        }
    }
    Ok(())
}

fn answer(profile: &Profile, message: &ChatMessage) -> Result<Value> {
    let calls: Vec<Value> = message.tool_calls().map(wire_call).collect();
    let mut fields = said(profile, "assistant", &message.parts)?;
    let goes_back = profile.reasoning_back.goes_back(!calls.is_empty());
    let thinking: String = message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::Thinking(thinking) if goes_back && thinking.family == profile.name => Some(thinking.text.as_str()),
            _ => None,
        })
        .collect();
    if let Some(fields) = fields.as_object_mut() {
        if !thinking.is_empty() {
            fields.insert("thinking".to_owned(), json!(thinking));
        }
        if !calls.is_empty() {
            fields.insert("tool_calls".to_owned(), Value::Array(calls));
        }
    }
    Ok(fields)
}

fn wire_call(call: &ToolCall) -> Value {
    let arguments: Value = serde_json::from_str(&arguments_object(&call.arguments)).unwrap_or_default();
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn told(profile: &Profile, result: &ToolResult) -> Result<Value> {
    let mut fields = said(profile, "tool", &result.parts)?;
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("tool_name".to_owned(), json!(result.name));
        fields.insert("tool_call_id".to_owned(), json!(result.call_id));
    }
    Ok(fields)
}

/// Writes text, and the pictures beside it.
fn said(profile: &Profile, role: &str, parts: &[Part]) -> Result<Value> {
    let refused = |what: &str| Err(Error::unsupported(format!("{} takes no {what}", profile.name)));
    let (mut text, mut images) = (String::new(), Vec::new());
    for part in parts {
        match part {
            Part::Text { text: said, .. } | Part::Refusal { text: said, .. } => text.push_str(said),
            Part::Image(media) => match &media.source {
                MediaSource::Base64(data) => images.push(json!(&**data)),
                _ => return refused("picture by address"),
            },
            Part::Audio(_) => return refused("sound"),
            Part::Video(_) => return refused("video"),
            Part::File(_) => return refused("file"),
            // Thinking, calls and what belongs to other families.
            _ => {}
        }
    }
    let mut fields = json!({"role": role, "content": text});
    if let (false, Some(fields)) = (images.is_empty(), fields.as_object_mut()) {
        fields.insert("images".to_owned(), Value::Array(images));
    }
    Ok(fields)
}
