//! Requests of the chat completions dialect, on their way in.

use std::sync::Arc;

use beluga_core::{
    CacheMark, Effort, Error, GenerateOptions, ModelRequest, Reasoning, ResponseFormat, Result, ThinkingSwitch,
    ToolChoice, ToolDefinition, ToolNotes,
};
use serde_json::Value;

use super::super::dialect::WireRequest;
use super::super::profile::{Profile, ReasoningParameter};
use super::super::request::Taken;
use super::request_message::message;

/// The most messages a request may have.
const MESSAGES_MAX: usize = 100_000;

/// Decodes a request. A field that is not known passes through.
///
/// # Errors
/// `invalid_input` if it is no request of the dialect.
pub(super) fn decode_request(profile: &Profile, body: &[u8]) -> Result<WireRequest> {
    let mut body = Taken::body(body)?;
    let messages = body.list("messages")?;
    if messages.len() > MESSAGES_MAX {
        return Err(Error::invalid_input(format!("the request has more than {MESSAGES_MAX} messages")));
    }
    let messages = messages.into_iter().map(|value| Ok(Arc::new(message(profile, value)?)));
    let mut request = ModelRequest { messages: messages.collect::<Result<_>>()?, ..ModelRequest::default() };
    let tools = body.list("tools")?.into_iter().map(|value| tool(profile, value));
    request.tools = tools.collect::<Result<Vec<_>>>()?.into();
    let stream = body.flag("stream")?.unwrap_or(false);
    let options = &mut request.options;
    options.model = body.text("model")?;
    sampling(profile, &mut body, options)?;
    service(profile, &mut body, options)?;
    options.reasoning = reasoning(profile, &mut body)?;
    options.format = response_format(&mut body)?;
    if !request.tools.is_empty() {
        // Without tools there is no choice: it passes through as it was said.
        options.tool_choice = tool_choice(profile, &mut body)?;
        options.parallel_tool_calls = body.flag("parallel_tool_calls")?;
    }
    options.max_tokens = body.count(profile.max_tokens_field)?;
    options.stream_usage = Some(stream_usage(&mut body));
    options.extra = body.rest();
    Ok(WireRequest { request, stream })
}

fn sampling(profile: &Profile, body: &mut Taken, options: &mut GenerateOptions) -> Result<()> {
    options.temperature = body.number("temperature")?;
    options.top_p = body.number("top_p")?;
    options.top_k = body.count("top_k")?;
    options.min_p = body.number("min_p")?;
    options.seed = body.typed(profile.seed_field, Value::as_i64)?;
    options.frequency_penalty = body.number("frequency_penalty")?;
    options.presence_penalty = body.number("presence_penalty")?;
    options.candidates = body.count("n")?;
    options.logprobs = body.flag("logprobs")?;
    options.top_logprobs = body.count("top_logprobs")?;
    let biases = |value: &Value| {
        let biases = value.as_object()?.iter().map(|(token, bias)| Some((token.clone(), bias.as_f64()?)));
        biases.collect()
    };
    options.logit_bias = body.typed("logit_bias", biases)?.unwrap_or_default();
    // One text alone stays as it was written, and still ends the answer.
    match body.take("stop") {
        Some(Value::String(text)) => {
            options.stop = vec![text.clone()];
            body.put_back("stop", Value::String(text));
        }
        Some(list) => {
            body.put_back("stop", list);
            options.stop = body.texts("stop")?;
        }
        None => {}
    }
    Ok(())
}

fn service(profile: &Profile, body: &mut Taken, options: &mut GenerateOptions) -> Result<()> {
    options.user = body.text("user")?;
    options.service_tier = body.text("service_tier")?;
    options.verbosity = body.text("verbosity")?;
    options.store = body.flag("store")?;
    options.modalities = body.texts("modalities")?;
    options.cache_key = body.text("prompt_cache_key")?;
    if profile.prompt_cache {
        options.cache = body.cache_control().or_else(|| breakpoints(body));
    }
    if options.store == Some(true) {
        options.metadata = body.labels().unwrap_or_default();
    }
    Ok(())
}

/// Reads OpenAI's way to ask for marks that the request sets itself.
fn breakpoints(body: &mut Taken) -> Option<CacheMark> {
    let fields = body.peek("prompt_cache_options")?.as_object()?;
    let is_known = fields.iter().all(|(name, value)| match name.as_str() {
        "mode" => value == "explicit",
        "ttl" => value.is_string(),
        _ => false,
    });
    let ttl = fields.get("ttl").and_then(Value::as_str).map(str::to_owned);
    if !is_known || !fields.contains_key("mode") {
        return None;
    }
    body.take("prompt_cache_options");
    Some(CacheMark { ttl })
}

/// Returns whether usage is told in the stream. What else is asked of the stream passes through.
fn stream_usage(body: &mut Taken) -> bool {
    let Some(Value::Object(fields)) = body.peek("stream_options") else { return false };
    let asked = fields.get("include_usage").and_then(Value::as_bool).unwrap_or(false);
    if fields.keys().all(|name| name == "include_usage") {
        body.take("stream_options");
    }
    asked
}

fn reasoning(profile: &Profile, body: &mut Taken) -> Result<Option<Reasoning>> {
    let mut reasoning = Reasoning::default();
    match profile.reasoning_parameter {
        ReasoningParameter::Object => {
            let known = ["effort", "max_tokens", "enabled"];
            let is_known = body.peek("reasoning").and_then(Value::as_object).is_some_and(|fields| {
                // One that says more passes through whole.
                fields.keys().all(|name| known.contains(&name.as_str()))
            });
            if let (true, Some(mut object)) = (is_known, body.object("reasoning")?) {
                reasoning.effort = object.text("effort")?.as_deref().map(Effort::from_word);
                reasoning.budget_tokens = object.count("max_tokens")?;
                reasoning.switch = object.flag("enabled")?.map(on_or_off);
            }
            reasoning.shown = body.flag("include_reasoning")?;
        }
        ReasoningParameter::EnableThinking => {
            reasoning.switch = body.flag("enable_thinking")?.map(on_or_off);
            reasoning.budget_tokens = body.count("thinking_budget")?;
        }
        ReasoningParameter::ThinkingAndEffort => {
            let switch = match body.peek("thinking").and_then(Value::as_object) {
                Some(fields) if fields.len() == 1 => fields.get("type").and_then(Value::as_str),
                _ => None,
            };
            reasoning.switch = match switch {
                Some("enabled") => Some(ThinkingSwitch::Enabled),
                Some("disabled") => Some(ThinkingSwitch::Disabled),
                Some("adaptive") => Some(ThinkingSwitch::Adaptive),
                // An effort without the switch passes through: written back it would bring the switch along.
                _ => return Ok(None),
            };
            body.take("thinking");
            reasoning.effort = body.text("reasoning_effort")?.as_deref().map(Effort::from_word);
        }
        ReasoningParameter::Effort | ReasoningParameter::Dialect => {
            reasoning.effort = body.text("reasoning_effort")?.as_deref().map(Effort::from_word);
            reasoning.shown = body.flag("include_reasoning")?;
            reasoning.summary = body.text("reasoning_format")?;
        }
    }
    Ok((reasoning != Reasoning::default()).then_some(reasoning))
}

fn on_or_off(is_on: bool) -> ThinkingSwitch {
    if is_on { ThinkingSwitch::Enabled } else { ThinkingSwitch::Disabled }
}

fn response_format(body: &mut Taken) -> Result<Option<ResponseFormat>> {
    let Some(value) = body.take("response_format") else { return Ok(None) };
    let mut format = Taken::open("response_format", value.clone())?;
    match format.text("type")?.as_deref() {
        Some("json_object") => return Ok(Some(ResponseFormat::JsonObject)),
        Some("json_schema") => {
            if let Some(mut schema) = format.object("json_schema")? {
                let name = schema.text("name")?.unwrap_or_default();
                let strict = schema.flag("strict")?.unwrap_or(false);
                let description = schema.text("description")?;
                let found = schema.take("schema");
                if let (Some(schema), true) = (found, schema.rest().is_empty() && format.rest().is_empty()) {
                    return Ok(Some(ResponseFormat::JsonSchema { name, schema, strict, description }));
                }
            }
        }
        _ => {}
    }
    body.put_back("response_format", value);
    Ok(None)
}

fn tool_choice(profile: &Profile, body: &mut Taken) -> Result<ToolChoice> {
    let Some(value) = body.take("tool_choice") else { return Ok(ToolChoice::Auto) };
    let function = |value: &Value| value.pointer("/function/name").and_then(Value::as_str).map(str::to_owned);
    let kind = value.get("type").and_then(Value::as_str);
    let read = match (&value, kind) {
        (Value::String(word), _) => match word.as_str() {
            "auto" => Some(ToolChoice::Auto),
            "none" => Some(ToolChoice::None),
            word if word == profile.required_word => Some(ToolChoice::Required),
            _ => None,
        },
        (_, Some("function")) => function(&value).map(ToolChoice::Tool),
        (_, Some("allowed_tools")) => {
            let tools = value.pointer("/allowed_tools/tools").and_then(Value::as_array);
            let tools: Option<Vec<String>> = tools.and_then(|tools| tools.iter().map(function).collect());
            let mode = value.pointer("/allowed_tools/mode").and_then(Value::as_str);
            tools.map(|tools| ToolChoice::Among { tools, required: mode == Some("required") })
        }
        _ => None,
    };
    Ok(read.unwrap_or_else(|| {
        body.put_back("tool_choice", value);
        ToolChoice::Auto
    }))
}

fn tool(profile: &Profile, value: Value) -> Result<ToolDefinition> {
    let mut wire = Taken::open("a tool", value)?;
    // Some clients leave the sort out.
    let kind = wire.text("type")?.unwrap_or_else(|| "function".to_owned());
    let mut notes = ToolNotes::of(profile.name);
    let mut tool = ToolDefinition::default();
    if kind == "function" {
        let mut function =
            wire.object("function")?.ok_or_else(|| Error::invalid_input("a tool of type function has no function"))?;
        tool.name = function.needed("name")?;
        tool.description = function.text("description")?.unwrap_or_default();
        tool.input_schema = function.take("parameters").unwrap_or_default();
        notes.strict = function.flag("strict")?;
        let rest = function.rest();
        if !rest.is_empty() {
            return Err(Error::unsupported("a function with fields of its own"));
        }
        notes.eager = wire.flag("eager_input_streaming")?;
    } else {
        notes.kind = Some(kind);
    }
    if profile.prompt_cache {
        notes.cache = wire.cache_control();
    }
    notes.extra = wire.rest();
    tool.notes = notes.boxed();
    Ok(tool)
}
