//! Requests of the Responses dialect, on their way in.

use std::sync::Arc;

use beluga_core::{
    ChatMessage, Detail, Effort, Error, Foreign, GenerateOptions, Layout, Media, MediaSource, MessageNotes,
    ModelRequest, Part, PartNotes, Reasoning, ResponseFormat, Result, Role, Thinking, ToolCall, ToolChoice,
    ToolDefinition, ToolNotes, ToolResult,
};
use serde_json::{Value, json};

use super::super::dialect::WireRequest;
use super::super::media::data_url;
use super::super::profile::Profile;
use super::super::request::{Taken, content};
use super::INSTRUCTIONS;
use super::decode::thought;

/// The most items of one request.
const ITEMS_MAX: usize = 100_000;

/// Decodes a request. What the assistant said, thought and called in a row is one message.
///
/// # Errors
/// `invalid_input` if it is no request of the dialect.
pub(super) fn decode_request(profile: &Profile, body: &[u8]) -> Result<WireRequest> {
    let mut body = Taken::body(body)?;
    let mut messages = Vec::new();
    if let Some(text) = body.text("instructions")? {
        let mut message = ChatMessage::new(Role::System, vec![Part::text(text)]);
        message.notes =
            MessageNotes { role_word: Some(INSTRUCTIONS.to_owned()), ..MessageNotes::of(profile.name) }.boxed();
        messages.push(message);
    }
    match body.take("input") {
        None => {}
        Some(Value::String(text)) => messages.push(ChatMessage::user(text)),
        Some(Value::Array(items)) if items.len() <= ITEMS_MAX => {
            for item in items {
                push_item(profile, item, &mut messages)?;
            }
        }
        Some(Value::Array(_)) => {
            return Err(Error::invalid_input(format!("the request has more than {ITEMS_MAX} items")));
        }
        Some(_) => return Err(Error::invalid_input("the input of the request is neither text nor a list")),
    }
    let messages = messages.into_iter().map(Arc::new).collect();
    let mut request = ModelRequest { messages, ..ModelRequest::default() };
    let tools = body.list("tools")?.into_iter().map(|value| tool(profile, value));
    request.tools = tools.collect::<Result<Vec<_>>>()?.into();
    let stream = body.flag("stream")?.unwrap_or(false);
    let options = &mut request.options;
    read_options(&mut body, options)?;
    if !request.tools.is_empty() {
        options.tool_choice = tool_choice(&mut body);
        options.parallel_tool_calls = body.flag("parallel_tool_calls")?;
    }
    options.extra = body.rest();
    Ok(WireRequest { request, stream })
}

fn read_options(body: &mut Taken, options: &mut GenerateOptions) -> Result<()> {
    options.model = body.text("model")?;
    options.temperature = body.number("temperature")?;
    options.top_p = body.number("top_p")?;
    options.top_logprobs = body.count("top_logprobs")?;
    options.max_tokens = body.count("max_output_tokens")?;
    options.user = body.text("user")?;
    options.service_tier = body.text("service_tier")?;
    options.cache_key = body.text("prompt_cache_key")?;
    // Whoever says nothing has it stored.
    options.store = Some(body.flag("store")?.unwrap_or(true));
    options.metadata = body.labels().unwrap_or_default();
    options.reasoning = reasoning(body)?;
    text(body, options)
}

fn reasoning(body: &mut Taken) -> Result<Option<Reasoning>> {
    let known = ["effort", "summary"];
    let is_known = body
        .peek("reasoning")
        .and_then(Value::as_object)
        .is_some_and(|fields| fields.iter().all(|(name, value)| value.is_null() || known.contains(&name.as_str())));
    // One that says more passes through whole.
    if !is_known {
        return Ok(None);
    }
    let Some(mut fields) = body.object("reasoning")? else { return Ok(None) };
    let effort = fields.text("effort")?.as_deref().map(Effort::from_word);
    Ok(Some(Reasoning { effort, summary: fields.text("summary")?, ..Reasoning::default() }))
}

fn text(body: &mut Taken, options: &mut GenerateOptions) -> Result<()> {
    let Some(whole) = body.peek("text").cloned() else { return Ok(()) };
    let mut fields = Taken::open("text", whole)?;
    let verbosity = fields.text("verbosity")?;
    let format = match fields.take("format") {
        None => None,
        Some(value) => match format(value)? {
            Some(format) => format,
            // One that says more passes through whole.
            None => return Ok(()),
        },
    };
    if fields.rest().is_empty() {
        body.take("text");
        (options.verbosity, options.format) = (verbosity, format);
    }
    Ok(())
}

/// Reads the form of an answer: `None` if it says more than the normal form has a word for.
fn format(value: Value) -> Result<Option<Option<ResponseFormat>>> {
    let mut fields = Taken::open("the format of the text", value)?;
    let format = match fields.text("type")?.as_deref() {
        Some("text") => None,
        Some("json_object") => Some(ResponseFormat::JsonObject),
        Some("json_schema") => {
            let name = fields.text("name")?.unwrap_or_default();
            let strict = fields.flag("strict")?.unwrap_or(false);
            let description = fields.text("description")?;
            let Some(schema) = fields.take("schema") else { return Ok(None) };
            Some(ResponseFormat::JsonSchema { name, schema, strict, description })
        }
        _ => return Ok(None),
    };
    Ok(fields.rest().is_empty().then_some(format))
}

fn tool_choice(body: &mut Taken) -> ToolChoice {
    let Some(value) = body.take("tool_choice") else { return ToolChoice::Auto };
    let function = |value: &Value| {
        let is_function = value.get("type").is_some_and(|kind| kind == "function");
        is_function.then(|| value.get("name")?.as_str().map(str::to_owned))?
    };
    let read = match (&value, value.get("type").and_then(Value::as_str)) {
        (Value::String(word), _) => match word.as_str() {
            "auto" => Some(ToolChoice::Auto),
            "none" => Some(ToolChoice::None),
            "required" => Some(ToolChoice::Required),
            _ => None,
        },
        (_, Some("function")) => function(&value).map(ToolChoice::Tool),
        (_, Some("allowed_tools")) => {
            let tools = value.get("tools").and_then(Value::as_array);
            let tools: Option<Vec<String>> = tools.and_then(|tools| tools.iter().map(function).collect());
            let required = value.get("mode").is_some_and(|mode| mode == "required");
            tools.map(|tools| ToolChoice::Among { tools, required })
        }
        _ => None,
    };
    read.unwrap_or_else(|| {
        body.put_back("tool_choice", value);
        ToolChoice::Auto
    })
}

fn tool(profile: &Profile, value: Value) -> Result<ToolDefinition> {
    let mut wire = Taken::open("a tool", value)?;
    let kind = wire.needed("type")?;
    let mut notes = ToolNotes::of(profile.name);
    let mut tool = ToolDefinition::default();
    if kind == "function" {
        tool.name = wire.needed("name")?;
        tool.description = wire.text("description")?.unwrap_or_default();
        tool.input_schema = wire.take("parameters").unwrap_or_default();
        notes.strict = wire.flag("strict")?;
    } else {
        notes.kind = Some(kind);
    }
    notes.extra = wire.rest();
    // Always: a tool without notes is one that nobody called strict.
    tool.notes = Some(Box::new(notes));
    Ok(tool)
}

/// Reads an item of the input.
fn push_item(profile: &Profile, value: Value, messages: &mut Vec<ChatMessage>) -> Result<()> {
    let mut wire = Taken::open("an item of the input", value)?;
    let kind = wire.text("type")?.unwrap_or_else(|| "message".to_owned());
    let part = match kind.as_str() {
        "message" => return push_said(profile, wire, messages),
        "function_call_output" => {
            let call_id = wire.needed("call_id")?;
            let mut parts = Vec::new();
            let layout = content(wire.take("output"), &mut parts, |item| part(profile, item))?;
            let mut result = ToolResult::new(call_id, "", parts);
            result.notes = PartNotes { layout, extra: wire.rest(), ..PartNotes::of(profile.name) }.boxed();
            messages.push(ChatMessage::new(Role::Tool, vec![Part::ToolResult(result)]));
            return Ok(());
        }
        "reasoning" => {
            let (id, signature) = (wire.text("id")?, wire.text("encrypted_content")?);
            let mut extra = wire.rest();
            let text = thought(&mut extra);
            let notes = PartNotes { id, extra, ..PartNotes::of(profile.name) }.boxed();
            Part::Thinking(Thinking { signature, notes, ..Thinking::new(text, profile.name) })
        }
        "function_call" => {
            let (call_id, name) = (wire.needed("call_id")?, wire.needed("name")?);
            let arguments = wire.text("arguments")?.unwrap_or_default();
            let id = wire.text("id")?;
            let notes = PartNotes { id, extra: wire.rest(), ..PartNotes::of(profile.name) }.boxed();
            Part::ToolCall(ToolCall { notes, ..ToolCall::new(call_id, name, arguments) })
        }
        _ => {
            let value = Value::Object(wire.rest());
            Part::Foreign(Foreign { family: profile.name.to_owned(), kind, value, notes: None })
        }
    };
    push_part(part, messages);
    Ok(())
}

/// Adds to what the assistant says in a row.
fn push_part(part: Part, messages: &mut Vec<ChatMessage>) {
    match messages.last_mut() {
        Some(last) if last.role == Role::Assistant => last.parts.push(part),
        _ => messages.push(ChatMessage::new(Role::Assistant, vec![part])),
    }
}

fn push_said(profile: &Profile, mut wire: Taken, messages: &mut Vec<ChatMessage>) -> Result<()> {
    let word = wire.needed("role")?;
    let mut parts = Vec::new();
    let layout = content(wire.take("content"), &mut parts, |item| part(profile, item))?;
    let role = match word.as_str() {
        "assistant" => {
            let id = wire.text("id")?;
            let item = wire.rest();
            for part in parts {
                let layout = Some(layout.unwrap_or(Layout::Joined));
                let mut notes = PartNotes { id: id.clone(), layout, ..PartNotes::of(profile.name) };
                if !item.is_empty() {
                    notes.extra.insert("item".to_owned(), Value::Object(item.clone()));
                }
                push_part(part.with_notes(notes), messages);
            }
            return Ok(());
        }
        "user" => Role::User,
        "system" | "developer" => Role::System,
        _ => return Err(Error::invalid_input("a message of an unknown role")),
    };
    let role_word = (word == "developer").then_some(word);
    let mut message = ChatMessage::new(role, parts);
    message.notes = MessageNotes { role_word, layout, extra: wire.rest(), ..MessageNotes::of(profile.name) }.boxed();
    messages.push(message);
    Ok(())
}

fn part(profile: &Profile, value: Value) -> Result<Part> {
    let mut wire = Taken::open("a content part", value)?;
    let kind = wire.needed("type")?;
    let part = match kind.as_str() {
        "input_text" | "output_text" => Part::text(wire.needed("text")?),
        "refusal" => Part::Refusal { text: wire.needed("refusal")?, notes: None },
        "input_image" => Part::Image(image(&mut wire)?),
        "input_file" => match file(&mut wire)? {
            Some(media) => Part::File(media),
            None => return Err(Error::invalid_input("a file with neither id, address nor data")),
        },
        _ => {
            let value = Value::Object(wire.rest());
            return Ok(Part::Foreign(Foreign { family: profile.name.to_owned(), kind, value, notes: None }));
        }
    };
    let mut extra = wire.rest();
    extra.retain(|_, value| *value != json!([]));
    Ok(part.with_notes(PartNotes { extra, ..PartNotes::of(profile.name) }))
}

fn image(wire: &mut Taken) -> Result<Media> {
    let mut media = match (wire.text("image_url")?, wire.text("file_id")?) {
        (Some(url), _) => data_url(&url),
        (None, Some(id)) => Media::new(MediaSource::Id(id), ""),
        (None, None) => return Err(Error::invalid_input("a picture with neither address nor id")),
    };
    media.detail = match wire.peek("detail").and_then(Value::as_str) {
        Some("low") => Some(Detail::Low),
        Some("high") => Some(Detail::High),
        Some("auto") => Some(Detail::Auto),
        // A word of later models stays as it is.
        _ => return Ok(media),
    };
    wire.take("detail");
    Ok(media)
}

fn file(wire: &mut Taken) -> Result<Option<Media>> {
    let (data, url, id) = (wire.text("file_data")?, wire.text("file_url")?, wire.text("file_id")?);
    let mut media = match (data, url, id) {
        (Some(data), ..) => data_url(&data),
        (None, Some(url), _) => Media::url(url),
        (None, None, Some(id)) => Media::new(MediaSource::Id(id), ""),
        (None, None, None) => return Ok(None),
    };
    media.name = wire.text("filename")?;
    Ok(Some(media))
}
