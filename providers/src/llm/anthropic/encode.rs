//! Requests of the Messages dialect.

use std::borrow::Cow;

use beluga_core::{
    CacheHints, ChatMessage, Error, Media, MediaSource, ModelRequest, Part, Reasoning, ResponseFormat, Result, Role,
    ToolChoice, ToolDefinition, ToolResult,
};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::dialect::Call;
use super::super::json::{Fields, arguments_object};
use super::super::profile::Profile;

/// The limit of an answer's tokens where nobody sets one; the vendor demands some.
const MAX_TOKENS_DEFAULT: u32 = 8192;

/// The least budget for thinking the vendor takes.
const BUDGET_MIN: u32 = 1024;

/// Encodes a request.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let Call { profile, request, stream, max_tokens, .. } = *call;
    let model = call.model();
    if request.options.format == Some(ResponseFormat::JsonObject) {
        return Err(Error::unsupported(format!("{} answers in JSON only by a schema", profile.name)));
    }
    let hints = if profile.prompt_cache { request.cache } else { CacheHints::default() };
    let mut system = System::default();
    let mut turns: Vec<WireTurn<'_>> = Vec::with_capacity(request.messages.len());
    for (at, message) in request.messages.iter().enumerate() {
        if message.role == Role::System {
            system.push(message, if at == 0 { hints.system_parts } else { 0 });
            continue;
        }
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let blocks = blocks(profile, message)?;
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            // Results of tools and the user's next words are one turn.
            Some(turn) if turn.role == role => turn.content.extend(blocks),
            _ => turns.push(WireTurn { role, content: blocks }),
        }
    }
    if hints.conversation {
        mark_conversation(&mut turns);
    }
    let body = Body { profile, model, request, hints, stream, max_tokens, system, turns };
    serde_json::to_vec(&body).map_err(|error| Error::internal("the request is no JSON").with_source(error))
}

struct Body<'a> {
    profile: &'a Profile,
    model: &'a str,
    request: &'a ModelRequest,
    hints: CacheHints,
    stream: bool,
    max_tokens: Option<u32>,
    system: System,
    turns: Vec<WireTurn<'a>>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = &self.request.options;
        let thinking = options.reasoning.as_ref().and_then(thinking);
        let budget = options.reasoning.as_ref().and_then(|reasoning| reasoning.budget_tokens).unwrap_or(0);
        let default = self.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT).saturating_add(budget);
        let mut fields = Fields::new(serializer.serialize_map(None)?, &options.extra, self.profile.unsupported);
        fields.put("model", self.model)?;
        fields.put(self.profile.max_tokens_field, &options.max_tokens.unwrap_or(default))?;
        if self.system.lasting.is_empty() {
            if !self.system.rest.is_empty() {
                fields.put("system", &self.system.rest)?;
            }
        } else {
            fields.put("system", &self.system.blocks())?;
        }
        fields.put("messages", &self.turns)?;
        if self.stream {
            fields.put("stream", &true)?;
        }
        fields.put_some("temperature", options.temperature.as_ref())?;
        fields.put_some("top_p", options.top_p.as_ref())?;
        if !options.stop.is_empty() {
            fields.put("stop_sequences", &options.stop)?;
        }
        if !self.request.tools.is_empty() {
            let mut tools: Vec<WireTool<'_>> = self.request.tools.iter().map(WireTool::of).collect();
            if let (true, Some(last)) = (self.hints.tools, tools.last_mut()) {
                last.cache_control = Some(EPHEMERAL);
            }
            fields.put("tools", &tools)?;
            fields.put_some("tool_choice", tool_choice(&options.tool_choice).as_ref())?;
        }
        fields.put_some("thinking", thinking.as_ref())?;
        let output = output_config(options.reasoning.as_ref(), options.format.as_ref());
        if !output.is_empty() {
            fields.put("output_config", &output)?;
        }
        if let Some(user) = options.metadata.get("user_id") {
            fields.put("metadata", &json!({"user_id": user}))?;
        }
        fields.end()
    }
}

/// The end of a prefix to cache (Messages API, prompt caching, read 2026-11): at most four a request, looked up as tools,
/// system, messages. A prefix below the vendor's least length is not cached, and costs nothing.
#[derive(Clone, Copy, serde::Serialize)]
struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Kept for the vendor's shortest time, 5 minutes from the last use.
const EPHEMERAL: CacheControl = CacheControl { kind: "ephemeral" };

/// How many turns of the user are marked: the last one, and the one before it, at which the previous request ended.
const TURNS_MARKED: usize = 2;

/// The system prompt: what stays the same, and the rest.
#[derive(Default)]
struct System {
    lasting: String,
    rest: String,
}

impl System {
    fn push(&mut self, message: &ChatMessage, lasting_parts: usize) {
        if !(self.lasting.is_empty() && self.rest.is_empty()) {
            self.rest.push_str("\n\n");
        }
        for (at, text) in message.parts.iter().map(Part::as_text).enumerate() {
            let to = if at < lasting_parts { &mut self.lasting } else { &mut self.rest };
            to.push_str(text.unwrap_or_default());
        }
    }

    fn blocks(&self) -> Vec<WireBlock<'_>> {
        let lasting = WireBlock::Text { text: &self.lasting, cache_control: Some(EPHEMERAL) };
        let rest = (!self.rest.is_empty()).then_some(WireBlock::Text { text: &self.rest, cache_control: None });
        std::iter::once(lasting).chain(rest).collect()
    }
}

fn mark_conversation(turns: &mut [WireTurn<'_>]) {
    for turn in turns.iter_mut().rev().filter(|turn| turn.role == "user").take(TURNS_MARKED) {
        if let Some(mark) = turn.content.last_mut().and_then(WireBlock::cache_control) {
            *mark = Some(EPHEMERAL);
        }
    }
}

/// A budget is the way of the older models, an effort that of the newer ones.
fn thinking(reasoning: &Reasoning) -> Option<Value> {
    match (reasoning.budget_tokens, &reasoning.effort) {
        (Some(budget), _) => Some(json!({"type": "enabled", "budget_tokens": budget.max(BUDGET_MIN)})),
        (None, Some(_)) => Some(json!({"type": "adaptive"})),
        (None, None) => None,
    }
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

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!({"type": "none"})),
        ToolChoice::Required => Some(json!({"type": "any"})),
        ToolChoice::Among { .. } => None,
        ToolChoice::Tool(name) => Some(json!({"type": "tool", "name": name})),
    }
}

#[derive(serde::Serialize)]
struct WireTurn<'a> {
    role: &'static str,
    content: Vec<WireBlock<'a>>,
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireBlock<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Image {
        source: WireSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Document {
        source: WireSource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Box<RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<WireBlock<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

impl WireBlock<'_> {
    /// Returns where a block takes its mark; thinking and calls of tools are never the end of a user's turn.
    fn cache_control(&mut self) -> Option<&mut Option<CacheControl>> {
        match self {
            WireBlock::Text { cache_control, .. }
            | WireBlock::Image { cache_control, .. }
            | WireBlock::Document { cache_control, .. }
            | WireBlock::ToolResult { cache_control, .. } => Some(cache_control),
            WireBlock::Thinking { .. } | WireBlock::RedactedThinking { .. } | WireBlock::ToolUse { .. } => None,
        }
    }
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireSource<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
    File { file_id: &'a str },
    Text { media_type: &'a str, data: &'a str },
}

#[derive(serde::Serialize)]
struct WireTool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

impl<'a> WireTool<'a> {
    fn of(tool: &'a ToolDefinition) -> Self {
        Self { name: &tool.name, description: &tool.description, input_schema: &tool.input_schema, cache_control: None }
    }
}

fn blocks<'a>(profile: &Profile, message: &'a ChatMessage) -> Result<Vec<WireBlock<'a>>> {
    message.parts.iter().filter_map(|part| block(profile, part).transpose()).collect()
}

/// Returns the block of a part; `None` for what must not be sent: empty text, and thinking of another family.
fn block<'a>(profile: &Profile, part: &'a Part) -> Result<Option<WireBlock<'a>>> {
    let refused = |what: &str| Err(Error::unsupported(format!("{} takes no {what}", profile.name)));
    Ok(match part {
        Part::Text { text, .. } => (!text.is_empty()).then_some(WireBlock::Text { text, cache_control: None }),
        Part::Image(media) => Some(WireBlock::Image { source: source(media, "image/png"), cache_control: None }),
        Part::File(media) => Some(WireBlock::Document {
            source: source(media, "application/pdf"),
            title: media.name.as_deref(),
            cache_control: None,
        }),
        Part::Audio(_) => return refused("sound"),
        Part::Video(_) => return refused("video"),
        Part::Thinking(thinking) if thinking.family == profile.name => match &thinking.signature {
            Some(data) if thinking.redacted => Some(WireBlock::RedactedThinking { data }),
            Some(signature) => Some(WireBlock::Thinking { thinking: &thinking.text, signature }),
            // The vendor refuses thinking it did not sign.
            None => None,
        },
        Part::Thinking(_) => None,
        Part::ToolCall(call) => {
            let input = RawValue::from_string(arguments_object(&call.arguments).into_owned())
                .map_err(|error| Error::internal("the arguments are no JSON").with_source(error))?;
            Some(WireBlock::ToolUse { id: call_id(&call.id), name: &call.name, input })
        }
        Part::ToolResult(result) => Some(tool_result(profile, result)?),
        _ => return refused("part of that sort"),
    })
}

fn tool_result<'a>(profile: &Profile, result: &'a ToolResult) -> Result<WireBlock<'a>> {
    let content: Result<Vec<_>> = result.parts.iter().filter_map(|part| block(profile, part).transpose()).collect();
    Ok(WireBlock::ToolResult {
        tool_use_id: call_id(&result.call_id),
        content: content?,
        is_error: result.is_error(),
        cache_control: None,
    })
}

fn source<'a>(media: &'a Media, default_mime: &'a str) -> WireSource<'a> {
    match &media.source {
        MediaSource::Url(url) => WireSource::Url { url },
        MediaSource::Id(file_id) => WireSource::File { file_id },
        MediaSource::Text(data) => WireSource::Text { media_type: "text/plain", data },
        MediaSource::Base64(data) => {
            WireSource::Base64 { media_type: if media.mime.is_empty() { default_mime } else { &media.mime }, data }
        }
    }
}

/// Returns an id in the alphabet the vendor takes; calls of other vendors come with other ids.
fn call_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !id.is_empty() && id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    let id: String = id.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    Cow::Owned(format!("call_{id}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use beluga_core::GenerateOptions;

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
