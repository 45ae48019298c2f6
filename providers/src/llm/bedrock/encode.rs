//! Requests that go out.

use std::borrow::Cow;

use beluga_core::{
    CacheHints, CacheMark, ChatMessage, Citation, Error, Extra, Foreign, GenerateOptions, ModelRequest, Part,
    PartNotes, ResponseFormat, Result, Role, Thinking, ToolCall, ToolChoice, ToolDefinition, ToolResult,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::dialect::Call;
use super::super::json::{Fields, arguments_object};
use super::super::profile::Profile;
use super::family::Family;
use super::media::{self, WireMedia};

/// The most characters of a call's id.
const ID_MAX_CHARS: usize = 64;

/// The field with what Converse has no word for.
const MORE_FIELDS: &str = "additionalModelRequestFields";

/// How many turns of the user are marked: the last one, and the one before it, at which the previous request ended.
const TURNS_MARKED: usize = 2;

/// Encodes a request. The model and whether it streams stand in the path.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let (profile, request) = (call.profile, call.request);
    if request.options.format == Some(ResponseFormat::JsonObject) {
        return Err(Error::unsupported(format!("{} answers in JSON only by a schema", profile.name)));
    }
    let family = Family::of(call.model());
    let hints = if profile.prompt_cache && family.caches() { request.cache } else { CacheHints::default() };
    let mut system = Vec::new();
    let mut turns: Vec<WireTurn<'_>> = Vec::with_capacity(request.messages.len());
    for (at, message) in request.messages.iter().enumerate() {
        if message.role == Role::System {
            push_system(profile, message, if at == 0 { hints.system_parts } else { 0 }, &mut system);
            continue;
        }
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let blocks = blocks(profile, message)?;
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            // Two turns of one role are refused.
            Some(turn) if turn.role == role => turn.content.extend(blocks),
            _ => turns.push(WireTurn { role, content: blocks }),
        }
    }
    if hints.conversation {
        for turn in turns.iter_mut().rev().filter(|turn| turn.role == "user").take(TURNS_MARKED) {
            turn.content.push(WireBlock::CachePoint(CachePoint::default()));
        }
    }
    let marks_tools = hints.tools && family.caches_tools();
    let body = Body { profile, request, max_tokens: call.max_tokens, family, marks_tools, system, turns };
    serde_json::to_vec(&body).map_err(|error| Error::internal("the request is no JSON").with_source(error))
}

struct Body<'a> {
    profile: &'a Profile,
    request: &'a ModelRequest,
    max_tokens: Option<u32>,
    family: Family,
    marks_tools: bool,
    system: Vec<WireBlock<'a>>,
    turns: Vec<WireTurn<'a>>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = &self.request.options;
        let mut own = options.extra.clone();
        let mut more = self.family.fields(options);
        if let Some(Value::Object(theirs)) = own.get(MORE_FIELDS) {
            more.extend(theirs.clone());
            own.shift_remove(MORE_FIELDS);
        }
        let mut fields = Fields::new(serializer.serialize_map(None)?, &own, self.profile.unsupported);
        fields.put("messages", &self.turns)?;
        if !self.system.is_empty() {
            fields.put("system", &self.system)?;
        }
        let inference = inference(options, self.max_tokens);
        if !inference.is_empty() {
            fields.put("inferenceConfig", &inference)?;
        }
        if let Some(tools) = self.tools() {
            fields.put("toolConfig", &tools)?;
        }
        if let Some(ResponseFormat::JsonSchema { name, schema, description, .. }) = &options.format {
            // The schema travels as text.
            let mut json_schema = json!({"name": name, "schema": schema.to_string()});
            if let (Some(description), Some(fields)) = (description, json_schema.as_object_mut()) {
                fields.insert("description".to_owned(), json!(description));
            }
            let format = json!({"type": "json_schema", "structure": {"jsonSchema": json_schema}});
            fields.put("outputConfig", &json!({"textFormat": format}))?;
        }
        if !options.metadata.is_empty() {
            fields.put("requestMetadata", &options.metadata)?;
        }
        if let Some(tier) = &options.service_tier {
            fields.put("serviceTier", &json!({"type": tier}))?;
        }
        if !more.is_empty() {
            fields.put(MORE_FIELDS, &more)?;
        }
        fields.end()
    }
}

fn inference(options: &GenerateOptions, max_tokens: Option<u32>) -> Map<String, Value> {
    let fields = [
        ("maxTokens", options.max_tokens.or(max_tokens).map(Value::from)),
        ("temperature", options.temperature.map(Value::from)),
        ("topP", options.top_p.map(Value::from)),
        ("stopSequences", (!options.stop.is_empty()).then(|| json!(options.stop))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct WireTools<'a> {
    tools: Vec<WireTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
enum WireTool<'a> {
    ToolSpec(WireSpec<'a>),
    CachePoint(CachePoint<'a>),
    /// A tool that runs at the vendor, by its own name.
    #[serde(untagged)]
    Own(Named<'a, &'a Extra>),
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct WireSpec<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    input_schema: WireSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(serde::Serialize)]
struct WireSchema<'a> {
    json: &'a Value,
}

/// An object of one field.
struct Named<'a, T>(&'a str, T);

impl<T: Serialize> Serialize for Named<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(Some(1))?;
        fields.serialize_entry(self.0, &self.1)?;
        fields.end()
    }
}

impl<'a> Body<'a> {
    /// Returns the tools and which of them may be called.
    fn tools(&self) -> Option<WireTools<'a>> {
        let choice = &self.request.options.tool_choice;
        // The vendor has no word for "none": without tools there is none, unless the history already has calls, which are
        // refused without.
        if *choice == ToolChoice::None && !self.has_calls() {
            return None;
        }
        let is_offered = |tool: &&ToolDefinition| match choice {
            ToolChoice::Among { tools, .. } => tools.contains(&tool.name),
            _ => true,
        };
        let mut tools = Vec::new();
        for tool in self.request.tools.iter().filter(is_offered) {
            let notes = tool.notes.as_deref();
            match notes.and_then(|notes| Some((notes.kind.as_deref()?, notes))) {
                Some((kind, notes)) if notes.family == self.profile.name => {
                    tools.push(WireTool::Own(Named(kind, &notes.extra)))
                }
                Some(_) => {}
                None => tools.push(WireTool::ToolSpec(WireSpec {
                    name: &tool.name,
                    description: &tool.description,
                    input_schema: WireSchema { json: &tool.input_schema },
                    strict: notes.and_then(|notes| notes.strict),
                })),
            }
            if let Some(mark) = notes.and_then(|notes| notes.cache.as_ref()).filter(|_| self.profile.prompt_cache) {
                tools.push(WireTool::CachePoint(CachePoint::of(mark)));
            }
        }
        if tools.is_empty() {
            return None;
        }
        if self.marks_tools && !matches!(tools.last(), Some(WireTool::CachePoint(_))) {
            tools.push(WireTool::CachePoint(CachePoint::default()));
        }
        let tool_choice = match choice {
            ToolChoice::Auto | ToolChoice::None | ToolChoice::Among { required: false, .. } => None,
            ToolChoice::Required | ToolChoice::Among { required: true, .. } => Some(json!({"any": {}})),
            ToolChoice::Tool(name) => Some(json!({"tool": {"name": name}})),
        };
        Some(WireTools { tools, tool_choice })
    }

    fn has_calls(&self) -> bool {
        let is_call = |block: &WireBlock<'_>| matches!(block, WireBlock::ToolUse(_) | WireBlock::ToolResult(_));
        self.turns.iter().flat_map(|turn| &turn.content).any(is_call)
    }
}

#[derive(serde::Serialize)]
struct WireTurn<'a> {
    role: &'static str,
    content: Vec<WireBlock<'a>>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
enum WireBlock<'a> {
    Text(&'a str),
    Image(WireMedia<'a>),
    Document(WireMedia<'a>),
    Video(WireMedia<'a>),
    Audio(WireMedia<'a>),
    ReasoningContent(WireReasoning<'a>),
    ToolUse(WireToolUse<'a>),
    ToolResult(WireToolResult<'a>),
    CitationsContent {
        content: [Named<'a, &'a str>; 1],
        citations: Vec<Value>,
    },
    CachePoint(CachePoint<'a>),
    #[serde(untagged)]
    Own(Named<'a, &'a Value>),
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
enum WireReasoning<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct WireToolUse<'a> {
    tool_use_id: Cow<'a, str>,
    name: &'a str,
    input: Box<RawValue>,
    #[serde(flatten)]
    extra: Option<&'a Extra>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct WireToolResult<'a> {
    tool_use_id: Cow<'a, str>,
    content: Vec<WireBlock<'a>>,
    /// Some makers' models know no status; success is what its absence says.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
}

/// The end of a prefix to cache (Bedrock user guide, prompt caching, read 2026-11): at most four a request.
#[derive(serde::Serialize)]
struct CachePoint<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'a str>,
}

impl Default for CachePoint<'_> {
    fn default() -> Self {
        Self { kind: "default", ttl: None }
    }
}

impl<'a> CachePoint<'a> {
    fn of(mark: &'a CacheMark) -> Self {
        Self { ttl: mark.ttl.as_deref(), ..Self::default() }
    }
}

fn push_system<'a>(profile: &Profile, message: &'a ChatMessage, lasting_parts: usize, system: &mut Vec<WireBlock<'a>>) {
    for (at, part) in message.parts.iter().enumerate() {
        let text = part.as_text().filter(|text| !text.trim().is_empty());
        system.extend(text.map(WireBlock::Text));
        let mark = part.notes().and_then(|notes| notes.cache.as_ref()).filter(|_| profile.prompt_cache);
        match mark {
            Some(mark) => system.push(WireBlock::CachePoint(CachePoint::of(mark))),
            None if at + 1 == lasting_parts => system.push(WireBlock::CachePoint(CachePoint::default())),
            None => {}
        }
    }
}

fn blocks<'a>(profile: &Profile, message: &'a ChatMessage) -> Result<Vec<WireBlock<'a>>> {
    let mut blocks = Vec::with_capacity(message.parts.len());
    for part in &message.parts {
        let Some(block) = block(profile, part)? else { continue };
        blocks.push(block);
        let mark = part.notes().and_then(|notes| notes.cache.as_ref()).filter(|_| profile.prompt_cache);
        blocks.extend(mark.map(|mark| WireBlock::CachePoint(CachePoint::of(mark))));
    }
    Ok(blocks)
}

/// Returns the block of a part; `None` for what must not be sent: blank text, and what another family alone understands.
fn block<'a>(profile: &Profile, part: &'a Part) -> Result<Option<WireBlock<'a>>> {
    let name = profile.name;
    Ok(match part {
        Part::Text { text, .. } | Part::Refusal { text, .. } if text.trim().is_empty() => None,
        Part::Text { text, notes: Some(notes) } if notes.family == name && !notes.citations.is_empty() => {
            let citations = notes.citations.iter().map(citation).collect();
            Some(WireBlock::CitationsContent { content: [Named("text", text)], citations })
        }
        Part::Text { text, .. } | Part::Refusal { text, .. } => Some(WireBlock::Text(text)),
        Part::Image(media) => Some(WireBlock::Image(WireMedia::of(name, &media::IMAGE, media)?)),
        Part::File(media) => Some(WireBlock::Document(WireMedia::of(name, &media::DOCUMENT, media)?)),
        Part::Video(media) => Some(WireBlock::Video(WireMedia::of(name, &media::VIDEO, media)?)),
        Part::Audio(media) => Some(WireBlock::Audio(WireMedia::of(name, &media::AUDIO, media)?)),
        Part::Thinking(thinking) if thinking.family == name => reasoning(thinking).map(WireBlock::ReasoningContent),
        Part::Thinking(_) => None,
        Part::ToolCall(call) => Some(WireBlock::ToolUse(tool_use(profile, call)?)),
        Part::ToolResult(result) => Some(WireBlock::ToolResult(tool_result(profile, result)?)),
        Part::Foreign(Foreign { family, kind, value, .. }) => {
            (family == name && !kind.is_empty()).then(|| WireBlock::Own(Named(kind, value)))
        }
        _ => return Err(Error::unsupported(format!("{name} takes no part of that sort"))),
    })
}

/// Returns signed thinking; the makers that sign none refuse to see it again.
fn reasoning(thinking: &Thinking) -> Option<WireReasoning<'_>> {
    let signature = thinking.signature.as_deref()?;
    Some(match thinking.redacted {
        true => WireReasoning::RedactedContent(signature),
        false => WireReasoning::ReasoningText { text: &thinking.text, signature },
    })
}

fn tool_use<'a>(profile: &Profile, call: &'a ToolCall) -> Result<WireToolUse<'a>> {
    let input = RawValue::from_string(arguments_object(&call.arguments).into_owned())
        .map_err(|error| Error::internal("the arguments are no JSON").with_source(error))?;
    let extra = call.notes.as_deref().and_then(|notes: &PartNotes| notes.extra_of(profile.name));
    Ok(WireToolUse { tool_use_id: call_id(&call.id), name: &call.name, input, extra })
}

fn tool_result<'a>(profile: &Profile, result: &'a ToolResult) -> Result<WireToolResult<'a>> {
    let content: Result<Vec<_>> = result.parts.iter().filter_map(|part| block(profile, part).transpose()).collect();
    let status = result.is_error().then_some("error");
    Ok(WireToolResult { tool_use_id: call_id(&result.call_id), content: content?, status })
}

fn citation(citation: &Citation) -> Value {
    let mut fields = citation.extra.clone();
    if let Some(title) = &citation.title {
        fields.insert("title".to_owned(), json!(title));
    }
    Value::Object(fields)
}

/// Returns an id in the alphabet and of the length the vendor takes; calls of other vendors come with other ids.
fn call_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !id.is_empty() && id.len() <= ID_MAX_CHARS && id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    let id: String = id.chars().map(|c| if fits(c) { c } else { '_' }).collect();
    // What makes an id one of its kind stands at its end as often as at its beginning; the end is kept.
    let rest = ID_MAX_CHARS - "call_".len();
    let skipped = id.len().saturating_sub(rest);
    Cow::Owned(format!("call_{}", id.get(skipped..).unwrap_or_default()))
}
