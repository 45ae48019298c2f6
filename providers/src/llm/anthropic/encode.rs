//! Requests of the Messages dialect, on their way out.

use beluga_core::{
    CacheHints, CacheMark, Error, GenerateOptions, ModelRequest, Reasoning, ResponseFormat, Result, ThinkingSwitch,
    ToolChoice, ToolDefinition,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use super::super::dialect::Call;
use super::super::json::Fields;
use super::super::profile::Profile;
use super::super::request::wire_cache_control;
use super::block_out::SHORTEST;
use super::turn::{Conversation, conversation};

/// The limit of an answer's tokens where nobody sets one; the vendor demands some.
const MAX_TOKENS_DEFAULT: u32 = 8192;

/// The least budget for thinking the vendor takes.
const BUDGET_MIN: u32 = 1024;

/// Encodes a request.
///
/// Ends of prefixes to cache (Messages API, prompt caching, read 2026-11): at most four a request, looked up as tools,
/// system, messages. A prefix below the vendor's least length is not cached, and costs nothing.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let Call { profile, request, stream, max_tokens, .. } = *call;
    if request.options.format == Some(ResponseFormat::JsonObject) {
        return Err(Error::unsupported(format!("{} answers in JSON only by a schema", profile.name)));
    }
    let hints = if profile.prompt_cache { request.cache } else { CacheHints::default() };
    let conversation = conversation(profile, request, hints)?;
    let body = Body { profile, model: call.model(), request, hints, stream, max_tokens, conversation };
    serde_json::to_vec(&body).map_err(|error| Error::internal("the request is no JSON").with_source(error))
}

struct Body<'a> {
    profile: &'a Profile,
    model: &'a str,
    request: &'a ModelRequest,
    hints: CacheHints,
    stream: bool,
    max_tokens: Option<u32>,
    conversation: Conversation<'a>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let options = &self.request.options;
        let budget = options.reasoning.as_ref().and_then(|reasoning| reasoning.budget_tokens).unwrap_or(0);
        let default = self.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT).saturating_add(budget);
        let mut fields = Fields::new(serializer.serialize_map(None)?, &options.extra, self.profile.unsupported);
        // Where the model stands in the address there is none here.
        if !self.model.is_empty() {
            fields.put("model", self.model)?;
        }
        fields.put(self.profile.max_tokens_field, &options.max_tokens.unwrap_or(default))?;
        fields.put_some("system", self.conversation.system.as_ref())?;
        fields.put("messages", &self.conversation.turns)?;
        if self.stream {
            fields.put("stream", &true)?;
        }
        fields.put_some("temperature", options.temperature.as_ref())?;
        fields.put_some("top_p", options.top_p.as_ref())?;
        fields.put_some("top_k", options.top_k.as_ref())?;
        if !options.stop.is_empty() {
            fields.put("stop_sequences", &options.stop)?;
        }
        self.put_tools(&mut fields)?;
        fields.put_some("thinking", options.reasoning.as_ref().and_then(thinking).as_ref())?;
        let output = output_config(options.reasoning.as_ref(), options.format.as_ref());
        if !output.is_empty() {
            fields.put("output_config", &output)?;
        }
        if let Some(user) = options.user.as_ref().or_else(|| options.metadata.get("user_id")) {
            fields.put("metadata", &json!({"user_id": user}))?;
        }
        fields.put_some("service_tier", options.service_tier.as_ref())?;
        if let (true, Some(mark)) = (self.profile.prompt_cache, &options.cache) {
            fields.put("cache_control", &wire_cache_control(mark))?;
        }
        fields.end()
    }
}

impl Body<'_> {
    fn put_tools<M: SerializeMap>(&self, fields: &mut Fields<'_, M>) -> std::result::Result<(), M::Error> {
        let mut tools: Vec<WireTool<'_>> =
            self.request.tools.iter().filter_map(|tool| WireTool::of(self.profile, tool)).collect();
        if tools.is_empty() {
            return Ok(());
        }
        if let (true, Some(last)) = (self.hints.tools, tools.last_mut()) {
            last.mark.get_or_insert(SHORTEST);
        }
        fields.put("tools", &tools)?;
        fields.put_some("tool_choice", tool_choice(&self.request.options).as_ref())
    }
}

/// A budget is the way of the older models, an effort that of the newer ones.
fn thinking(reasoning: &Reasoning) -> Option<Value> {
    let mut thinking = match (reasoning.switch, reasoning.budget_tokens, &reasoning.effort) {
        (Some(ThinkingSwitch::Disabled), ..) => json!({"type": "disabled"}),
        (Some(ThinkingSwitch::Enabled), Some(budget), _) => json!({"type": "enabled", "budget_tokens": budget}),
        (Some(ThinkingSwitch::Enabled), None, _) => json!({"type": "enabled"}),
        (None, Some(budget), _) => json!({"type": "enabled", "budget_tokens": budget.max(BUDGET_MIN)}),
        (Some(ThinkingSwitch::Adaptive), ..) | (None, None, Some(_)) => json!({"type": "adaptive"}),
        (None, None, None) => return None,
    };
    if let (Some(word), Some(fields)) = (&reasoning.summary, thinking.as_object_mut()) {
        fields.insert("display".to_owned(), json!(word));
    }
    Some(thinking)
}

fn output_config(reasoning: Option<&Reasoning>, format: Option<&ResponseFormat>) -> Map<String, Value> {
    let mut output = Map::new();
    if let Some(effort) = reasoning.and_then(|reasoning| reasoning.effort.as_ref()) {
        output.insert("effort".to_owned(), json!(effort.as_str()));
    }
    if let Some(ResponseFormat::JsonSchema { schema, .. }) = format {
        output.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
    }
    output
}

fn tool_choice(options: &GenerateOptions) -> Option<Value> {
    let one_call = options.parallel_tool_calls == Some(false);
    let mut choice = match &options.tool_choice {
        ToolChoice::None => return Some(json!({"type": "none"})),
        ToolChoice::Auto | ToolChoice::Among { required: false, .. } if !one_call => return None,
        ToolChoice::Auto | ToolChoice::Among { required: false, .. } => json!({"type": "auto"}),
        ToolChoice::Required | ToolChoice::Among { required: true, .. } => json!({"type": "any"}),
        ToolChoice::Tool(name) => json!({"type": "tool", "name": name}),
    };
    if let (true, Some(fields)) = (one_call, choice.as_object_mut()) {
        fields.insert("disable_parallel_tool_use".to_owned(), json!(true));
    }
    Some(choice)
}

/// A tool that is offered.
struct WireTool<'a> {
    profile: &'a Profile,
    tool: &'a ToolDefinition,
    mark: Option<CacheMark>,
}

impl<'a> WireTool<'a> {
    /// Returns the tool, unless it runs at another vendor.
    fn of(profile: &'a Profile, tool: &'a ToolDefinition) -> Option<Self> {
        let notes = tool.notes.as_deref();
        let is_foreign = notes.is_some_and(|notes| notes.kind.is_some() && notes.family != profile.name);
        let mark = notes.and_then(|notes| notes.cache.clone()).filter(|_| profile.prompt_cache);
        (!is_foreign).then_some(Self { profile, tool, mark })
    }
}

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let notes = self.tool.notes.as_deref();
        let mut map = serializer.serialize_map(None)?;
        match notes.and_then(|notes| notes.kind.as_ref()) {
            Some(kind) => {
                map.serialize_entry("type", kind)?;
                if !self.tool.name.is_empty() {
                    map.serialize_entry("name", &self.tool.name)?;
                }
            }
            None => {
                map.serialize_entry("name", &self.tool.name)?;
                map.serialize_entry("description", &self.tool.description)?;
                map.serialize_entry("input_schema", &self.tool.input_schema)?;
            }
        }
        if let Some(notes) = notes {
            if let Some(strict) = notes.strict {
                map.serialize_entry("strict", &strict)?;
            }
            if let Some(eager) = notes.eager {
                map.serialize_entry("eager_input_streaming", &eager)?;
            }
        }
        if let Some(mark) = &self.mark {
            map.serialize_entry("cache_control", &wire_cache_control(mark))?;
        }
        for (name, value) in notes.and_then(|notes| notes.extra_of(self.profile.name)).into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use beluga_core::{ChatMessage, Part, Role, ToolResult};

    use super::*;
    use crate::llm::profiles::{ANTHROPIC, OPENAI};

    fn request() -> ModelRequest {
        let tool = |name: &str| ToolDefinition {
            name: name.to_owned(),
            description: String::new(),
            input_schema: json!({"type": "object"}),
            effect: beluga_core::Effect::Pure,
            timeout: None,
            notes: None,
        };
        let call = beluga_core::ToolCall::new("c1", "a", "{}");
        let result = ToolResult::new("c1", "a", vec![Part::text("r")]);
        let messages = [
            ChatMessage::new(Role::System, vec![Part::text("lasting"), Part::text("\n\nof today")]),
            ChatMessage::user("one"),
            ChatMessage::assistant("two"),
            ChatMessage::user("three"),
            ChatMessage::new(Role::Assistant, vec![Part::ToolCall(call)]),
            ChatMessage::tool_results(vec![result]),
        ];
        ModelRequest {
            messages: messages.into_iter().map(Arc::new).collect(),
            tools: [tool("a"), tool("b")].into(),
            options: GenerateOptions::default(),
            cache: CacheHints { tools: true, system_parts: 1, conversation: true },
        }
    }

    fn body(profile: &Profile, request: &ModelRequest) -> Value {
        serde_json::from_slice(&profile.encode("m", request, true, None).unwrap()).unwrap()
    }

    /// The pointers of everything marked, in the order of the document.
    fn marks(value: &Value, path: &str, found: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
            _ => return,
        };
        for (name, child) in children {
            if name == "cache_control" {
                assert_eq!(*child, json!({"type": "ephemeral"}));
                found.push(path.to_owned());
            }
            marks(child, &format!("{path}/{name}"), found);
        }
    }

    #[test]
    fn the_ends_of_tools_system_and_the_last_two_turns_of_the_user_are_marked() {
        let body = body(&ANTHROPIC, &request());
        let mut found = Vec::new();
        marks(&body, "", &mut found);
        found.sort();
        assert_eq!(found, ["/messages/2/content/0", "/messages/4/content/0", "/system/0", "/tools/1"], "four at most");
        let system: Vec<&str> =
            body["system"].as_array().unwrap().iter().map(|block| block["text"].as_str().unwrap()).collect();
        assert_eq!(system, ["lasting", "\n\nof today"]);
    }

    #[test]
    fn nothing_is_marked_without_hints_where_it_is_switched_off_and_by_other_dialects() {
        let plain = ModelRequest { cache: CacheHints::default(), ..request() };
        let off = Profile { prompt_cache: false, ..ANTHROPIC };
        for (profile, request) in [(ANTHROPIC, plain), (off, request()), (OPENAI, request())] {
            let body = body(&profile, &request);
            let mut found = Vec::new();
            marks(&body, "", &mut found);
            assert!(found.is_empty(), "{found:?}");
            if profile.name == "anthropic" {
                assert_eq!(body["system"], "lasting\n\nof today");
            } else {
                assert_eq!(body["messages"][0]["content"], "lasting\n\nof today");
            }
        }
    }
}
