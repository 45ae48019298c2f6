//! Requests of the Messages dialect, on their way in.

use std::collections::HashMap;
use std::sync::Arc;

use beluga_core::{
    ChatMessage, Effort, Error, GenerateOptions, Layout, MessageNotes, ModelRequest, Part, Reasoning, ResponseFormat,
    Result, Role, ThinkingSwitch, ToolChoice, ToolDefinition, ToolNotes,
};
use serde_json::Value;

use super::super::dialect::WireRequest;
use super::super::profile::Profile;
use super::super::request::Taken;
use super::block_in::block;

/// The most turns a request may have, as the vendor has it (API reference, read 2026-11).
const TURNS_MAX: usize = 100_000;

/// Decodes a request. A field that is not known passes through.
///
/// # Errors
/// `invalid_input` if it is no request of the dialect.
pub(super) fn decode_request(profile: &Profile, body: &[u8]) -> Result<WireRequest> {
    let mut body = Taken::body(body)?;
    let mut messages = Vec::new();
    system(profile, body.take("system"), &mut messages)?;
    let turns = body.list("messages")?;
    if turns.is_empty() || turns.len() > TURNS_MAX {
        return Err(Error::invalid_input("the request has no messages, or too many"));
    }
    // Results name the call and not the tool; the call, further up, names both.
    let mut names = HashMap::new();
    for value in turns {
        turn(profile, value, &mut names, &mut messages)?;
    }
    let tools = body.list("tools")?.into_iter().map(|value| tool(profile, value));
    let tools: Arc<[ToolDefinition]> = tools.collect::<Result<Vec<_>>>()?.into();
    let stream = body.flag("stream")?.unwrap_or(false);
    let mut options = GenerateOptions {
        model: body.text("model")?,
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.count("top_k")?,
        stop: body.texts("stop_sequences")?,
        service_tier: body.text("service_tier")?,
        ..GenerateOptions::default()
    };
    options.max_tokens = body.count(profile.max_tokens_field)?;
    if options.max_tokens.is_none() {
        return Err(Error::invalid_input("the request has no max_tokens"));
    }
    if profile.prompt_cache {
        options.cache = body.cache_control();
    }
    options.user = user(&mut body);
    if !tools.is_empty() {
        tool_choice(&mut body, &mut options)?;
    }
    options.reasoning = thinking(&mut body)?;
    output_config(&mut body, &mut options)?;
    options.extra = body.rest();
    let messages = messages.into_iter().map(Arc::new).collect();
    Ok(WireRequest { request: ModelRequest { messages, tools, options, ..ModelRequest::default() }, stream })
}

fn system(profile: &Profile, value: Option<Value>, messages: &mut Vec<ChatMessage>) -> Result<()> {
    match value {
        None => {}
        Some(Value::String(text)) => messages.push(ChatMessage::system(text)),
        Some(Value::Array(items)) => {
            let parts = items.into_iter().map(|item| block(profile, item, &mut HashMap::new()));
            let mut message = ChatMessage::new(Role::System, parts.collect::<Result<_>>()?);
            message.notes = MessageNotes { layout: Some(Layout::Listed), ..MessageNotes::default() }.boxed();
            messages.push(message);
        }
        Some(_) => return Err(Error::invalid_input("the system prompt is neither text nor a list")),
    }
    Ok(())
}

/// Reads a turn. Results of tools are a message of their own; what stands beside them in the turn follows, or comes first.
fn turn(
    profile: &Profile,
    value: Value,
    names: &mut HashMap<String, String>,
    messages: &mut Vec<ChatMessage>,
) -> Result<()> {
    let mut wire = Taken::open("a message", value)?;
    let word = wire.needed("role")?;
    let role = match word.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Error::invalid_input("a message of an unknown role")),
    };
    let mut notes = MessageNotes::of(profile.name);
    notes.role_word = (role == Role::System).then_some(word);
    let parts = match wire.take("content") {
        Some(Value::String(text)) => {
            notes.layout = Some(Layout::Joined);
            vec![Part::text(text)]
        }
        Some(Value::Array(items)) => {
            notes.layout = Some(Layout::Listed);
            let parts = items.into_iter().map(|item| block(profile, item, names));
            parts.collect::<Result<_>>()?
        }
        _ => return Err(Error::invalid_input("the content of a message is neither text nor a list")),
    };
    notes.extra = wire.rest();
    // The first message of a turn begins it; the others run into it.
    let mut notes = notes.boxed();
    let mut push = |role: Role, parts: Vec<Part>| {
        let mut message = ChatMessage::new(role, parts);
        message.notes = notes.take();
        messages.push(message);
    };
    if role != Role::User || parts.is_empty() {
        push(role, parts);
        return Ok(());
    }
    let mut run: Vec<Part> = Vec::new();
    let is_result = |part: &Part| matches!(part, Part::ToolResult(_));
    let of_run = |part: &Part| if is_result(part) { Role::Tool } else { Role::User };
    for part in parts {
        if run.first().is_some_and(|first| is_result(first) != is_result(&part)) {
            let done = std::mem::take(&mut run);
            push(done.first().map_or(role, of_run), done);
        }
        run.push(part);
    }
    push(run.first().map_or(role, of_run), run);
    Ok(())
}

fn user(body: &mut Taken) -> Option<String> {
    let fields = body.peek("metadata")?.as_object()?;
    let user = fields.get("user_id").and_then(Value::as_str).filter(|_| fields.len() == 1)?.to_owned();
    body.take("metadata");
    Some(user)
}

fn tool_choice(body: &mut Taken, options: &mut GenerateOptions) -> Result<()> {
    let Some(value) = body.take("tool_choice") else { return Ok(()) };
    let mut wire = Taken::open("tool_choice", value.clone())?;
    let choice = match wire.needed("type")?.as_str() {
        "auto" => Some(ToolChoice::Auto),
        "none" => Some(ToolChoice::None),
        "any" => Some(ToolChoice::Required),
        "tool" => Some(ToolChoice::Tool(wire.needed("name")?)),
        _ => None,
    };
    let one_call = wire.flag("disable_parallel_tool_use")?;
    match choice {
        Some(choice) if wire.rest().is_empty() => {
            options.tool_choice = choice;
            options.parallel_tool_calls = one_call.map(|one_call| !one_call);
        }
        _ => body.put_back("tool_choice", value),
    }
    Ok(())
}

fn thinking(body: &mut Taken) -> Result<Option<Reasoning>> {
    let Some(value) = body.take("thinking") else { return Ok(None) };
    let mut wire = Taken::open("thinking", value.clone())?;
    let switch = match wire.needed("type")?.as_str() {
        "enabled" => Some(ThinkingSwitch::Enabled),
        "disabled" => Some(ThinkingSwitch::Disabled),
        "adaptive" => Some(ThinkingSwitch::Adaptive),
        _ => None,
    };
    let budget_tokens = match switch {
        Some(ThinkingSwitch::Enabled) => wire.count("budget_tokens")?,
        _ => None,
    };
    let summary = wire.text("display")?;
    if switch.is_none() || !wire.rest().is_empty() {
        body.put_back("thinking", value);
        return Ok(None);
    }
    Ok(Some(Reasoning { switch, budget_tokens, summary, ..Reasoning::default() }))
}

/// Reads effort and form of the answer. What says more, and an effort without thinking, passes through whole: written back
/// it would bring thinking along.
fn output_config(body: &mut Taken, options: &mut GenerateOptions) -> Result<()> {
    let Some(value) = body.take("output_config") else { return Ok(()) };
    let mut wire = Taken::open("output_config", value.clone())?;
    let effort = wire.text("effort")?.as_deref().map(Effort::from_word);
    let mut format = None;
    if let Some(mut wire) = wire.object("format")? {
        let is_schema = wire.text("type")?.as_deref() == Some("json_schema");
        format = wire.take("schema").filter(|_| is_schema && wire.rest().is_empty());
    }
    let has_format = value.get("format").is_some_and(|format| !format.is_null());
    let is_whole = wire.rest().is_empty() && has_format == format.is_some();
    options.format = format.map(|schema| ResponseFormat::JsonSchema {
        name: String::new(),
        schema,
        strict: true,
        description: None,
    });
    match (&mut options.reasoning, effort) {
        (_, None) if is_whole => {}
        (Some(reasoning), Some(effort)) if is_whole => reasoning.effort = Some(effort),
        _ => body.put_back("output_config", value),
    }
    Ok(())
}

fn tool(profile: &Profile, value: Value) -> Result<ToolDefinition> {
    let mut wire = Taken::open("a tool", value)?;
    let mut notes = ToolNotes::of(profile.name);
    notes.kind = wire.text("type")?.filter(|kind| kind != "custom");
    let mut tool = ToolDefinition { name: wire.text("name")?.unwrap_or_default(), ..ToolDefinition::default() };
    if profile.prompt_cache {
        notes.cache = wire.cache_control();
    }
    if notes.kind.is_none() {
        if tool.name.is_empty() {
            return Err(Error::invalid_input("a tool has no name"));
        }
        tool.description = wire.text("description")?.unwrap_or_default();
        tool.input_schema = wire.take("input_schema").unwrap_or_default();
        notes.strict = wire.flag("strict")?;
        notes.eager = wire.flag("eager_input_streaming")?;
    }
    notes.extra = wire.rest();
    tool.notes = notes.boxed();
    Ok(tool)
}
