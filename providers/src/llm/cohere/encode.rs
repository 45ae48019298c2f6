//! Requests of Cohere's chat.

use beluga_core::{
    ChatMessage, Effort, Error, Part, Reasoning, ResponseFormat, Result, Role, ThinkingSwitch, ToolCall, ToolChoice,
    ToolDefinition, ToolResult,
};
use serde::Serializer;
use serde_json::{Map, Value, json};

use super::super::dialect::Call;
use super::super::function_tool::function_tool;
use super::super::json::{Fields, arguments_object};
use super::super::media::media_url;
use super::super::profile::Profile;
use super::PLAN;

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
    let offered = match &options.tool_choice {
        // It can choose among what it is offered, and no narrower.
        ToolChoice::Tool(name) => Some(std::slice::from_ref(name)),
        ToolChoice::Among { tools, .. } => Some(tools.as_slice()),
        ToolChoice::Auto | ToolChoice::None | ToolChoice::Required => None,
    };
    let is_offered = |tool: &&ToolDefinition| offered.is_none_or(|names| names.contains(&tool.name.to_string()));
    let tools: Vec<Value> =
        request.tools.iter().filter(is_offered).filter_map(|tool| function_tool(profile, tool)).collect();
    let choice = match &options.tool_choice {
        _ if tools.is_empty() => None,
        ToolChoice::Required | ToolChoice::Tool(_) | ToolChoice::Among { required: true, .. } => Some("REQUIRED"),
        ToolChoice::None => Some("NONE"),
        ToolChoice::Auto | ToolChoice::Among { .. } => None,
    };
    let mut body = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut body);
    let map = serializer.serialize_map(None).map_err(failed)?;
    let mut fields = Fields::new(map, &options.extra, profile.unsupported);
    let mut put = |name: &'static str, value: Option<Value>| fields.put_some(name, value.as_ref()).map_err(failed);
    put("model", Some(json!(call.model())))?;
    put("messages", Some(Value::Array(messages)))?;
    put("stream", call.stream.then(|| json!(true)))?;
    put("tools", (!tools.is_empty()).then_some(Value::Array(tools)))?;
    put("tool_choice", choice.map(Value::from))?;
    put("max_tokens", options.max_tokens.or(call.max_tokens).map(Value::from))?;
    put("temperature", options.temperature.map(Value::from))?;
    put("p", options.top_p.map(Value::from))?;
    put("k", options.top_k.map(Value::from))?;
    put("seed", options.seed.map(Value::from))?;
    put("frequency_penalty", options.frequency_penalty.map(Value::from))?;
    put("presence_penalty", options.presence_penalty.map(Value::from))?;
    put("logprobs", options.logprobs.map(Value::from))?;
    put("stop_sequences", (!options.stop.is_empty()).then(|| json!(options.stop)))?;
    put("thinking", options.reasoning.as_ref().and_then(thinking))?;
    put("response_format", options.format.as_ref().map(format))?;
    fields.end().map_err(failed)?;
    Ok(body)
}

fn thinking(reasoning: &Reasoning) -> Option<Value> {
    let is_off = reasoning.switch == Some(ThinkingSwitch::Disabled) || reasoning.effort == Some(Effort::None);
    match (is_off, reasoning.budget_tokens) {
        (true, _) => Some(json!({"type": "disabled"})),
        (false, Some(budget)) => Some(json!({"type": "enabled", "token_budget": budget})),
        (false, None) if reasoning.switch.is_some() || reasoning.effort.is_some() => Some(json!({"type": "enabled"})),
        (false, None) => None,
    }
}

fn format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema { schema, .. } => json!({"type": "json_object", "json_schema": schema}),
    }
}

/// Writes a message; results of tools are a message each.
fn push_message(profile: &Profile, message: &ChatMessage, out: &mut Vec<Value>) -> Result<()> {
    match message.role {
        Role::System => out.push(json!({"role": "system", "content": message.text()})),
        Role::User => out.push(json!({"role": "user", "content": said(profile, &message.parts)?})),
        Role::Assistant => out.push(answer(profile, message)),
        Role::Tool => {
            for result in message.results() {
                out.push(told(profile, result)?);
            }
        }
    }
    Ok(())
}

/// Writes text alone as a text, anything else as a list.
fn said(profile: &Profile, parts: &[Part]) -> Result<Value> {
    if parts.iter().all(|part| part.as_text().is_some()) {
        return Ok(json!(parts.iter().filter_map(Part::as_text).collect::<String>()));
    }
    let refused = |what: &str| Err(Error::unsupported(format!("{} takes no {what}", profile.name)));
    let mut list = Vec::new();
    for part in parts {
        match part {
            Part::Text { text, .. } => list.push(json!({"type": "text", "text": text})),
            Part::Image(media) => {
                let Some(url) = media_url(media, "image/png") else { return refused("picture by id") };
                let mut address = json!({"url": url});
                if let (Some(detail), Some(fields)) = (media.detail, address.as_object_mut()) {
                    fields.insert("detail".to_owned(), json!(detail));
                }
                list.push(json!({"type": "image_url", "image_url": address}));
            }
            Part::Audio(_) => return refused("sound"),
            Part::Video(_) => return refused("video"),
            Part::File(_) => return refused("file"),
            _ => {}
        }
    }
    Ok(Value::Array(list))
}

fn answer(profile: &Profile, message: &ChatMessage) -> Value {
    let calls: Vec<Value> = message.tool_calls().map(wire_call).collect();
    let goes_back = profile.reasoning_back.goes_back(!calls.is_empty());
    let (mut plan, mut content) = (String::new(), Vec::new());
    for part in &message.parts {
        match part {
            Part::Thinking(thinking) if goes_back && thinking.family == profile.name => {
                let is_plan = thinking.notes.as_ref().is_some_and(|notes| notes.word.as_deref() == Some(PLAN));
                if is_plan {
                    plan.push_str(&thinking.text);
                } else {
                    content.push(json!({"type": "thinking", "thinking": thinking.text}));
                }
            }
            Part::Text { text, .. } | Part::Refusal { text, .. } if !text.is_empty() => {
                content.push(json!({"type": "text", "text": text}));
            }
            _ => {}
        }
    }
    let mut fields = Map::from_iter([("role".to_owned(), json!("assistant"))]);
    if !content.is_empty() {
        fields.insert("content".to_owned(), Value::Array(content));
    }
    if !plan.is_empty() {
        fields.insert(PLAN.to_owned(), json!(plan));
    }
    if !calls.is_empty() {
        fields.insert("tool_calls".to_owned(), Value::Array(calls));
    }
    Value::Object(fields)
}

fn wire_call(call: &ToolCall) -> Value {
    let arguments = arguments_object(&call.arguments);
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn told(profile: &Profile, result: &ToolResult) -> Result<Value> {
    // Its tools answer in text and documents; a picture cannot be shown.
    let Value::String(content) = said(profile, &result.parts)? else {
        return Err(Error::unsupported(format!("{} takes no picture from a tool", profile.name)));
    };
    Ok(json!({"role": "tool", "tool_call_id": result.call_id, "content": content}))
}
