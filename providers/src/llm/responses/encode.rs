//! Requests of the Responses dialect, on their way out.

use beluga_core::{
    ChatMessage, Error, GenerateOptions, Layout, Media, MediaSource, Part, PartNotes, Reasoning, ResponseFormat,
    Result, Role, Thinking, ToolCall, ToolChoice, ToolDefinition, ToolResult,
};
use serde::Serializer;
use serde_json::{Map, Value, json};

use super::super::dialect::Call;
use super::super::json::{Fields, arguments_object};
use super::super::media::media_url;
use super::super::profile::Profile;
use super::INSTRUCTIONS;

/// What makes reasoning come back to a vendor that does not store it.
const ENCRYPTED: &str = "reasoning.encrypted_content";

/// Encodes a request. A request that says nothing of storing is not stored: the conversation is sent whole each time.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let failed = |error| Error::internal("the request is no JSON").with_source(error);
    let Call { profile, request, .. } = *call;
    let options = &request.options;
    let (mut instructions, mut input) = (None, Vec::new());
    for message in &request.messages {
        push_message(profile, message, options, &mut instructions, &mut input)?;
    }
    let tools: Vec<Value> = request.tools.iter().filter_map(|tool| wire_tool(profile, tool)).collect();
    let has_tools = !tools.is_empty();
    let include = (options.store.is_none() && options.reasoning.is_some()).then(|| json!([ENCRYPTED]));
    let store = (options.store != Some(true)).then_some(false);
    let mut body = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut body);
    let map = serializer.serialize_map(None).map_err(failed)?;
    let mut fields = Fields::new(map, &options.extra, profile.unsupported);
    let mut put = |name: &'static str, value: Option<Value>| fields.put_some(name, value.as_ref()).map_err(failed);
    put("model", Some(json!(call.model())))?;
    put("instructions", instructions.map(Value::from))?;
    put("input", Some(Value::Array(input)))?;
    put("stream", call.stream.then(|| json!(true)))?;
    put("tools", has_tools.then_some(Value::Array(tools)))?;
    put("tool_choice", if has_tools { tool_choice(&options.tool_choice) } else { None })?;
    put("parallel_tool_calls", options.parallel_tool_calls.filter(|_| has_tools).map(Value::from))?;
    put("max_output_tokens", options.max_tokens.or(call.max_tokens).map(Value::from))?;
    put("temperature", options.temperature.map(Value::from))?;
    put("top_p", options.top_p.map(Value::from))?;
    put("top_logprobs", options.top_logprobs.map(Value::from))?;
    put("reasoning", options.reasoning.as_ref().and_then(reasoning))?;
    put("text", text(options))?;
    put("metadata", (!options.metadata.is_empty()).then(|| json!(options.metadata)))?;
    put("user", options.user.as_deref().map(Value::from))?;
    put("service_tier", options.service_tier.as_deref().map(Value::from))?;
    put("prompt_cache_key", options.cache_key.as_deref().map(Value::from))?;
    put("include", include)?;
    put("store", store.map(Value::from))?;
    fields.end().map_err(failed)?;
    Ok(body)
}

fn reasoning(reasoning: &Reasoning) -> Option<Value> {
    let fields = [
        ("effort", reasoning.effort.as_ref().map(|effort| json!(effort.as_str()))),
        ("summary", reasoning.summary.as_deref().map(Value::from)),
    ];
    let told: Map<String, Value> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    (!told.is_empty()).then_some(Value::Object(told))
}

fn text(options: &GenerateOptions) -> Option<Value> {
    let format = options.format.as_ref().map(|format| match format {
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema { name, schema, strict, description } => {
            let mut format = json!({"type": "json_schema", "name": name, "schema": schema, "strict": strict});
            if let (Some(text), Some(fields)) = (description, format.as_object_mut()) {
                fields.insert("description".to_owned(), json!(text));
            }
            format
        }
    });
    let fields = [("format", format), ("verbosity", options.verbosity.as_deref().map(Value::from))];
    let told: Map<String, Value> =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    (!told.is_empty()).then_some(Value::Object(told))
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    let function = |name: &String| json!({"type": "function", "name": name});
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Tool(name) => Some(function(name)),
        ToolChoice::Among { tools, required } => {
            let mode = if *required { "required" } else { "auto" };
            let tools: Vec<Value> = tools.iter().map(function).collect();
            Some(json!({"type": "allowed_tools", "mode": mode, "tools": tools}))
        }
    }
}

fn wire_tool(profile: &Profile, tool: &ToolDefinition) -> Option<Value> {
    let notes = tool.notes.as_deref();
    if let Some((kind, notes)) = notes.and_then(|notes| Some((notes.kind.as_deref()?, notes))) {
        return (notes.family == profile.name).then(|| typed(kind, notes.extra.clone()));
    }
    let mut fields =
        Map::from_iter([("name".to_owned(), json!(tool.name)), ("description".to_owned(), json!(tool.description))]);
    if !tool.input_schema.is_null() {
        fields.insert("parameters".to_owned(), tool.input_schema.clone());
    }
    // Absent it is true here, and a schema that is not strict would be refused.
    let strict = notes.map_or(Some(false), |notes| notes.strict);
    fields.extend(strict.map(|strict| ("strict".to_owned(), json!(strict))));
    fields.extend(notes.and_then(|notes| notes.extra_of(profile.name)).cloned().unwrap_or_default());
    Some(typed("function", fields))
}

/// Puts the sort before the fields of an object.
fn typed(kind: &str, fields: Map<String, Value>) -> Value {
    let mut object = Map::from_iter([("type".to_owned(), json!(kind))]);
    object.extend(fields);
    Value::Object(object)
}

/// Writes a message as items.
fn push_message(
    profile: &Profile,
    message: &ChatMessage,
    options: &GenerateOptions,
    instructions: &mut Option<String>,
    input: &mut Vec<Value>,
) -> Result<()> {
    let notes = message.notes.as_deref();
    let word = notes.filter(|notes| notes.family == profile.name).and_then(|notes| notes.role_word.as_deref());
    match message.role {
        Role::System if word == Some(INSTRUCTIONS) && instructions.is_none() => *instructions = Some(message.text()),
        Role::System | Role::User => {
            let habit = if message.role == Role::User { "user" } else { "system" };
            let mut fields = Map::from_iter([("role".to_owned(), json!(word.unwrap_or(habit)))]);
            fields.insert("content".to_owned(), said(profile, notes.and_then(|notes| notes.layout), &message.parts)?);
            fields.extend(notes.and_then(|notes| notes.extra_of(profile.name)).cloned().unwrap_or_default());
            input.push(typed("message", fields));
        }
        Role::Assistant => push_answer(profile, message, options, input),
        Role::Tool => {
            for result in message.results() {
                input.push(told(profile, result)?);
            }
        }
    }
    Ok(())
}

/// Writes what a user or a tool says: text alone as a text.
fn said(profile: &Profile, layout: Option<Layout>, parts: &[Part]) -> Result<Value> {
    let is_text = parts.iter().all(|part| part.as_text().is_some());
    if is_text && layout != Some(Layout::Listed) {
        return Ok(json!(parts.iter().filter_map(Part::as_text).collect::<String>()));
    }
    let refused = |what: &str| Err(Error::unsupported(format!("{} takes no {what}", profile.name)));
    let mut list = Vec::new();
    for part in parts {
        let (kind, mut fields) = match part {
            Part::Text { text, .. } => ("input_text", fields_of([("text", json!(text))])),
            Part::Image(media) => ("input_image", image(media)),
            Part::File(media) => match file(media) {
                Some(fields) => ("input_file", fields),
                None => return refused("file of that sort"),
            },
            Part::Foreign(foreign) if foreign.family == profile.name => {
                (foreign.kind.as_str(), foreign.value.as_object().cloned().unwrap_or_default())
            }
            Part::Audio(_) => return refused("sound"),
            Part::Video(_) => return refused("video"),
            _ => continue,
        };
        fields.extend(part.notes().and_then(|notes| notes.extra_of(profile.name)).cloned().unwrap_or_default());
        list.push(typed(kind, fields));
    }
    Ok(Value::Array(list))
}

fn fields_of<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn image(media: &Media) -> Map<String, Value> {
    let mut fields = match &media.source {
        MediaSource::Id(id) => fields_of([("file_id", json!(id))]),
        _ => fields_of([("image_url", json!(media_url(media, "image/png")))]),
    };
    fields.extend(media.detail.map(|detail| ("detail".to_owned(), json!(detail))));
    fields
}

fn file(media: &Media) -> Option<Map<String, Value>> {
    let mut fields = match &media.source {
        MediaSource::Id(id) => fields_of([("file_id", json!(id))]),
        MediaSource::Url(url) => fields_of([("file_url", json!(url))]),
        MediaSource::Base64(_) => {
            let name = media.name.as_deref().unwrap_or("file");
            return Some(fields_of([
                ("filename", json!(name)),
                ("file_data", json!(media_url(media, "application/pdf")?)),
            ]));
        }
        MediaSource::Text(_) => return None,
    };
    fields.extend(media.name.as_deref().map(|name| ("filename".to_owned(), json!(name))));
    Some(fields)
}

/// Writes an answer: an item for each thing it says, in order.
fn push_answer(profile: &Profile, message: &ChatMessage, options: &GenerateOptions, input: &mut Vec<Value>) {
    // The id of the message item that is open, to which further parts of it go.
    let mut open: Option<&str> = None;
    for part in &message.parts {
        let notes = part.notes().filter(|notes| notes.family == profile.name);
        let id = notes.and_then(|notes| notes.id.as_deref());
        match part {
            Part::Text { text, .. } => {
                let part = json!({"type": "output_text", "text": text});
                push_said(part, text, notes, open.is_some() && open == id, input);
                open = id;
                continue;
            }
            Part::Refusal { text, .. } => {
                let part = json!({"type": "refusal", "refusal": text});
                push_said(part, text, notes, open.is_some() && open == id, input);
                open = id;
                continue;
            }
            // What was neither stored nor encrypted is unknown to the vendor.
            Part::Thinking(thinking)
                if thinking.family == profile.name && (thinking.signature.is_some() || options.store == Some(true)) =>
            {
                input.push(wire_thinking(thinking, notes));
            }
            Part::ToolCall(call) => input.push(wire_call(call, notes)),
            Part::Foreign(foreign) if foreign.family == profile.name => {
                input.push(typed(&foreign.kind, foreign.value.as_object().cloned().unwrap_or_default()));
            }
            _ => {}
        }
        open = None;
    }
}

/// Writes a part of a message the assistant said, into the item before if it is of the same.
fn push_said(part: Value, text: &str, notes: Option<&PartNotes>, goes_on: bool, input: &mut Vec<Value>) {
    if goes_on && let Some(Value::Array(content)) = input.last_mut().and_then(|item| item.get_mut("content")) {
        content.push(part);
        return;
    }
    let mut fields = Map::new();
    if let Some(id) = notes.and_then(|notes| notes.id.as_deref()) {
        fields.insert("id".to_owned(), json!(id));
    }
    fields.insert("role".to_owned(), json!("assistant"));
    let is_listed = notes.is_some_and(|notes| notes.layout != Some(Layout::Joined)) || part.get("refusal").is_some();
    let content = if is_listed { Value::Array(vec![part]) } else { json!(text) };
    fields.insert("content".to_owned(), content);
    let item = notes.and_then(|notes| notes.extra.get("item")).and_then(Value::as_object);
    fields.extend(item.cloned().unwrap_or_default());
    input.push(typed("message", fields));
}

fn wire_thinking(thinking: &Thinking, notes: Option<&PartNotes>) -> Value {
    let mut fields = notes.map(|notes| notes.extra.clone()).unwrap_or_default();
    fields.extend(notes.and_then(|notes| notes.id.as_deref()).map(|id| ("id".to_owned(), json!(id))));
    if !fields.contains_key("summary") {
        let has_summary = !thinking.text.is_empty() && !fields.contains_key("content");
        let summary = if has_summary { json!([{"type": "summary_text", "text": thinking.text}]) } else { json!([]) };
        fields.insert("summary".to_owned(), summary);
    }
    fields.extend(thinking.signature.as_deref().map(|text| ("encrypted_content".to_owned(), json!(text))));
    typed("reasoning", fields)
}

fn wire_call(call: &ToolCall, notes: Option<&PartNotes>) -> Value {
    let mut fields = notes.map(|notes| notes.extra.clone()).unwrap_or_default();
    fields.extend(notes.and_then(|notes| notes.id.as_deref()).map(|id| ("id".to_owned(), json!(id))));
    fields.insert("call_id".to_owned(), json!(call.id));
    fields.insert("name".to_owned(), json!(call.name));
    fields.insert("arguments".to_owned(), json!(arguments_object(&call.arguments)));
    typed("function_call", fields)
}

fn told(profile: &Profile, result: &ToolResult) -> Result<Value> {
    let notes = result.notes.as_deref();
    let output = said(profile, notes.and_then(|notes| notes.layout), &result.parts)?;
    let mut fields = notes.and_then(|notes| notes.extra_of(profile.name)).cloned().unwrap_or_default();
    fields.insert("call_id".to_owned(), json!(result.call_id));
    fields.insert("output".to_owned(), output);
    Ok(typed("function_call_output", fields))
}
