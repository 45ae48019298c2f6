//! Requests of the chat completions dialect, on their way out.

use beluga_core::{
    Error, GenerateOptions, ModelRequest, Reasoning, ResponseFormat, Result, ThinkingSwitch, ToolChoice, ToolDefinition,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::super::dialect::Call;
use super::super::json::Fields;
use super::super::profile::{CacheWord, Profile, ReasoningParameter};
use super::super::request::wire_cache_control;
use super::message::{WireMessage, push_message};

/// Encodes a request.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let Call { profile, request, stream, max_tokens, .. } = *call;
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        push_message(profile, message, &mut messages)?;
    }
    let format = response_format(profile, request.options.format.as_ref())?;
    let max_tokens = request.options.max_tokens.or(max_tokens);
    let body = Body { profile, model: call.model(), request, stream, max_tokens, messages, format };
    serde_json::to_vec(&body).map_err(|error| Error::internal("the request is no JSON").with_source(error))
}

struct Body<'a> {
    profile: &'a Profile,
    model: &'a str,
    request: &'a ModelRequest,
    stream: bool,
    max_tokens: Option<u32>,
    messages: Vec<WireMessage<'a>>,
    format: Option<Value>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = &self.request.options;
        let mut fields = Fields::new(serializer.serialize_map(None)?, &options.extra, self.profile.unsupported);
        fields.put("model", self.model)?;
        fields.put("messages", &self.messages)?;
        if self.stream {
            fields.put("stream", &true)?;
        }
        let asks_usage = options.stream_usage.unwrap_or(self.stream && self.profile.stream_options);
        if asks_usage {
            fields.put("stream_options", &json!({"include_usage": true}))?;
        }
        fields.put_some(self.profile.max_tokens_field, self.max_tokens.as_ref())?;
        put_sampling(&mut fields, self.profile, options)?;
        fields.put_some("response_format", self.format.as_ref())?;
        let tools: Vec<WireTool<'_>> =
            self.request.tools.iter().filter_map(|tool| WireTool::of(self.profile, tool)).collect();
        if !tools.is_empty() {
            fields.put("tools", &tools)?;
        }
        // Without tools there is no choice, and vendors say so with an error.
        if !tools.is_empty() {
            fields.put_some("tool_choice", tool_choice(self.profile, &options.tool_choice).as_ref())?;
            fields.put_some("parallel_tool_calls", options.parallel_tool_calls.as_ref())?;
        }
        if let Some(reasoning) = &options.reasoning {
            put_reasoning(&mut fields, self.profile.reasoning_parameter, reasoning)?;
        }
        put_service(&mut fields, self.profile, options)?;
        fields.end()
    }
}

fn put_sampling<M: SerializeMap>(
    fields: &mut Fields<'_, M>,
    profile: &Profile,
    options: &GenerateOptions,
) -> Result<(), M::Error> {
    fields.put_some("temperature", options.temperature.as_ref())?;
    fields.put_some("top_p", options.top_p.as_ref())?;
    fields.put_some("top_k", options.top_k.as_ref())?;
    fields.put_some("min_p", options.min_p.as_ref())?;
    fields.put_some(profile.seed_field, options.seed.as_ref())?;
    fields.put_some("frequency_penalty", options.frequency_penalty.as_ref())?;
    fields.put_some("presence_penalty", options.presence_penalty.as_ref())?;
    fields.put_some("n", options.candidates.as_ref())?;
    fields.put_some("logprobs", options.logprobs.as_ref())?;
    fields.put_some("top_logprobs", options.top_logprobs.as_ref())?;
    if !options.logit_bias.is_empty() {
        fields.put("logit_bias", &options.logit_bias)?;
    }
    if !options.stop.is_empty() {
        fields.put("stop", &options.stop)?;
    }
    Ok(())
}

fn put_service<M: SerializeMap>(
    fields: &mut Fields<'_, M>,
    profile: &Profile,
    options: &GenerateOptions,
) -> Result<(), M::Error> {
    fields.put_some("user", options.user.as_ref())?;
    fields.put_some("service_tier", options.service_tier.as_ref())?;
    fields.put_some("verbosity", options.verbosity.as_ref())?;
    fields.put_some("store", options.store.as_ref())?;
    if !options.modalities.is_empty() {
        fields.put("modalities", &options.modalities)?;
    }
    fields.put_some("prompt_cache_key", options.cache_key.as_ref())?;
    if let (true, Some(mark)) = (profile.prompt_cache, &options.cache) {
        match profile.cache_word {
            CacheWord::CacheControl => fields.put("cache_control", &wire_cache_control(mark))?,
            CacheWord::Breakpoint => {
                let mut cache = json!({"mode": "explicit"});
                if let (Some(ttl), Some(fields)) = (&mark.ttl, cache.as_object_mut()) {
                    fields.insert("ttl".to_owned(), json!(ttl));
                }
                fields.put("prompt_cache_options", &cache)?;
            }
        }
    }
    // OpenAI takes labels only with answers it stores.
    let is_stored = options.store == Some(true) || options.extra.get("store") == Some(&Value::Bool(true));
    if !options.metadata.is_empty() && is_stored {
        fields.put("metadata", &options.metadata)?;
    }
    Ok(())
}

fn put_reasoning<M: SerializeMap>(
    fields: &mut Fields<'_, M>,
    parameter: ReasoningParameter,
    reasoning: &Reasoning,
) -> Result<(), M::Error> {
    let effort = reasoning.effort.as_ref().map(beluga_core::Effort::as_str);
    match parameter {
        ReasoningParameter::Object => {
            let object = json!({
                "effort": effort,
                "max_tokens": reasoning.budget_tokens,
                "enabled": reasoning.switch.map(|switch| switch != ThinkingSwitch::Disabled),
            });
            let told = object.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
            let told: serde_json::Map<String, Value> =
                told.map(|(name, value)| (name.clone(), value.clone())).collect();
            fields.put_some("include_reasoning", reasoning.shown.as_ref())?;
            if told.is_empty() { Ok(()) } else { fields.put("reasoning", &told) }
        }
        ReasoningParameter::EnableThinking => {
            let enabled = reasoning.switch.map(|switch| switch != ThinkingSwitch::Disabled);
            fields.put_some("enable_thinking", enabled.as_ref())?;
            fields.put_some("thinking_budget", reasoning.budget_tokens.as_ref())
        }
        ReasoningParameter::ThinkingAndEffort => {
            let switch = match reasoning.switch {
                Some(ThinkingSwitch::Disabled) => "disabled",
                Some(ThinkingSwitch::Adaptive) => "adaptive",
                Some(ThinkingSwitch::Enabled) | None => "enabled",
            };
            fields.put("thinking", &json!({"type": switch}))?;
            fields.put_some("reasoning_effort", effort.as_ref())
        }
        ReasoningParameter::Effort | ReasoningParameter::Dialect => {
            fields.put_some("reasoning_effort", effort.as_ref())?;
            fields.put_some("include_reasoning", reasoning.shown.as_ref())?;
            fields.put_some("reasoning_format", reasoning.summary.as_ref())
        }
    }
}

fn tool_choice(profile: &Profile, choice: &ToolChoice) -> Option<Value> {
    let function = |name: &String| json!({"type": "function", "function": {"name": name}});
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!(profile.required_word)),
        ToolChoice::Tool(name) => Some(function(name)),
        ToolChoice::Among { tools, required } => {
            let tools: Vec<Value> = tools.iter().map(function).collect();
            let mode = if *required { "required" } else { "auto" };
            Some(json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}))
        }
    }
}

fn response_format(profile: &Profile, format: Option<&ResponseFormat>) -> Result<Option<Value>> {
    Ok(match format {
        None => None,
        Some(ResponseFormat::JsonObject) => Some(json!({"type": "json_object"})),
        Some(ResponseFormat::JsonSchema { name, schema, strict, description }) if profile.json_schema => {
            let mut schema = json!({"name": name, "schema": schema, "strict": strict});
            if let (Some(text), Some(fields)) = (description, schema.as_object_mut()) {
                fields.insert("description".to_owned(), json!(text));
            }
            Some(json!({"type": "json_schema", "json_schema": schema}))
        }
        Some(ResponseFormat::JsonSchema { .. }) => {
            return Err(Error::unsupported(format!("{} takes no JSON Schema for its answers", profile.name)));
        }
    })
}

/// A tool that is offered.
struct WireTool<'a> {
    profile: &'a Profile,
    tool: &'a ToolDefinition,
}

impl<'a> WireTool<'a> {
    /// Returns the tool, unless it runs at another vendor.
    fn of(profile: &'a Profile, tool: &'a ToolDefinition) -> Option<Self> {
        let kind = tool.notes.as_ref().and_then(|notes| Some((notes.kind.as_ref()?, &notes.family)));
        kind.is_none_or(|(_, family)| family == profile.name).then_some(Self { profile, tool })
    }
}

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let notes = self.tool.notes.as_deref();
        let kind = notes.and_then(|notes| notes.kind.as_deref());
        map.serialize_entry("type", kind.unwrap_or("function"))?;
        if kind.is_none() {
            map.serialize_entry("function", &WireFunction(self.tool))?;
        }
        if let Some(notes) = notes {
            if let (true, Some(mark)) = (self.profile.prompt_cache, &notes.cache) {
                map.serialize_entry("cache_control", &wire_cache_control(mark))?;
            }
            if let Some(eager) = notes.eager {
                map.serialize_entry("eager_input_streaming", &eager)?;
            }
            for (name, value) in notes.extra_of(self.profile.name).into_iter().flatten() {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

struct WireFunction<'a>(&'a ToolDefinition);

impl Serialize for WireFunction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.0.name)?;
        map.serialize_entry("description", &self.0.description)?;
        if !self.0.input_schema.is_null() {
            map.serialize_entry("parameters", &self.0.input_schema)?;
        }
        if let Some(strict) = self.0.notes.as_ref().and_then(|notes| notes.strict) {
            map.serialize_entry("strict", &strict)?;
        }
        map.end()
    }
}
