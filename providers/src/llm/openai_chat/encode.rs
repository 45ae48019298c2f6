//! Requests of the chat completions dialect.

use std::borrow::Cow;

use beluga_core::{
    ChatMessage, Detail, Error, MediaSource, ModelRequest, Part, Reasoning, ResponseFormat, Result, Role, ToolCall,
    ToolChoice, ToolDefinition, ToolResult,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::super::dialect::Call;
use super::super::json::{Fields, arguments_object};
use super::super::media::media_url;
use super::super::profile::{Profile, ReasoningBack, ReasoningParameter};

/// Encodes a request.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let Call { profile, request, stream, max_tokens, .. } = *call;
    let model = call.model();
    let mut messages = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        push_message(profile, message, &mut messages)?;
    }
    let format = response_format(profile, request.options.format.as_ref())?;
    let max_tokens = request.options.max_tokens.or(max_tokens);
    let body = Body { profile, model, request, stream, max_tokens, messages, format };
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
            if self.profile.stream_options {
                fields.put("stream_options", &json!({"include_usage": true}))?;
            }
        }
        fields.put_some("temperature", options.temperature.as_ref())?;
        fields.put_some("top_p", options.top_p.as_ref())?;
        fields.put_some(self.profile.max_tokens_field, self.max_tokens.as_ref())?;
        if !options.stop.is_empty() {
            fields.put("stop", &options.stop)?;
        }
        fields.put_some("response_format", self.format.as_ref())?;
        if !self.request.tools.is_empty() {
            let tools: Vec<WireTool<'_>> = self.request.tools.iter().map(WireTool::of).collect();
            fields.put("tools", &tools)?;
            fields.put_some("tool_choice", tool_choice(&options.tool_choice).as_ref())?;
        }
        if let Some(reasoning) = &options.reasoning {
            put_reasoning(&mut fields, self.profile.reasoning_parameter, reasoning)?;
        }
        // OpenAI takes labels only with answers it stores.
        if !options.metadata.is_empty() && options.extra.get("store") == Some(&Value::Bool(true)) {
            fields.put("metadata", &options.metadata)?;
        }
        fields.end()
    }
}

fn put_reasoning<M: SerializeMap>(
    fields: &mut Fields<'_, M>,
    parameter: ReasoningParameter,
    reasoning: &Reasoning,
) -> Result<(), M::Error> {
    if parameter == ReasoningParameter::ThinkingAndEffort {
        fields.put("thinking", &json!({"type": "enabled"}))?;
    }
    fields.put_some("reasoning_effort", reasoning.effort.as_ref().map(beluga_core::Effort::as_str).as_ref())
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!("none")),
        ToolChoice::Required => Some(json!("required")),
        ToolChoice::Among { .. } => None,
        ToolChoice::Tool(name) => Some(json!({"type": "function", "function": {"name": name}})),
    }
}

fn response_format(profile: &Profile, format: Option<&ResponseFormat>) -> Result<Option<Value>> {
    Ok(match format {
        None => None,
        Some(ResponseFormat::JsonObject) => Some(json!({"type": "json_object"})),
        Some(ResponseFormat::JsonSchema { name, schema, strict, .. }) if profile.json_schema => {
            let schema = json!({"name": name, "schema": schema, "strict": strict});
            Some(json!({"type": "json_schema", "json_schema": schema}))
        }
        Some(ResponseFormat::JsonSchema { .. }) => {
            return Err(Error::unsupported(format!("{} takes no JSON Schema for its answers", profile.name)));
        }
    })
}

#[derive(serde::Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<WireContent<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum WireContent<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<WirePart<'a>>),
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WirePart<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: WireImage<'a> },
    InputAudio { input_audio: WireAudio<'a> },
    File { file: WireFile<'a> },
}

#[derive(serde::Serialize)]
struct WireImage<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Detail>,
}

#[derive(serde::Serialize)]
struct WireAudio<'a> {
    data: &'a str,
    format: &'a str,
}

#[derive(serde::Serialize)]
struct WireFile<'a> {
    filename: &'a str,
    file_data: String,
}

#[derive(serde::Serialize)]
struct WireCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireFunction<'a>,
}

#[derive(serde::Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: Cow<'a, str>,
}

#[derive(serde::Serialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireToolFunction<'a>,
}

#[derive(serde::Serialize)]
struct WireToolFunction<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

impl<'a> WireTool<'a> {
    fn of(tool: &'a ToolDefinition) -> Self {
        let function =
            WireToolFunction { name: &tool.name, description: &tool.description, parameters: &tool.input_schema };
        Self { kind: "function", function }
    }
}

impl<'a> WireMessage<'a> {
    fn new(role: &'static str, content: Option<WireContent<'a>>) -> Self {
        Self { role, content, reasoning_content: None, tool_calls: Vec::new(), tool_call_id: None }
    }
}

fn push_message<'a>(profile: &Profile, message: &'a ChatMessage, out: &mut Vec<WireMessage<'a>>) -> Result<()> {
    match message.role {
        Role::System => out.push(WireMessage::new("system", Some(WireContent::Text(text_of(&message.parts))))),
        Role::User => {
            let is_text = message.parts.iter().all(|part| matches!(part, Part::Text { .. }));
            let content = if is_text {
                WireContent::Text(text_of(&message.parts))
            } else {
                let parts = message.parts.iter().filter_map(|part| user_part(profile, part).transpose());
                WireContent::Parts(parts.collect::<Result<_>>()?)
            };
            out.push(WireMessage::new("user", Some(content)));
        }
        Role::Assistant => out.push(assistant(profile, message)),
        Role::Tool => out.extend(message.results().map(tool_result)),
    }
    Ok(())
}

fn assistant<'a>(profile: &Profile, message: &'a ChatMessage) -> WireMessage<'a> {
    let text = text_of(&message.parts);
    let tool_calls: Vec<WireCall<'_>> = message.tool_calls().map(wire_call).collect();
    // Next to calls "nothing" is null; alone it must be text.
    let content = (!text.is_empty() || tool_calls.is_empty()).then_some(WireContent::Text(text));
    let mut wire = WireMessage::new("assistant", content);
    let goes_back = match profile.reasoning_back {
        ReasoningBack::Never => false,
        ReasoningBack::ToolTurns => !tool_calls.is_empty(),
        ReasoningBack::Always => true,
    };
    if goes_back {
        let own = message.parts.iter().filter_map(|part| match part {
            Part::Thinking(thinking) if thinking.family == profile.name => Some(thinking.text.as_str()),
            _ => None,
        });
        let thinking: String = own.collect();
        wire.reasoning_content = (!thinking.is_empty()).then_some(thinking);
    }
    wire.tool_calls = tool_calls;
    wire
}

fn wire_call(call: &ToolCall) -> WireCall<'_> {
    let function = WireFunction { name: &call.name, arguments: arguments_object(&call.arguments) };
    WireCall { id: &call.id, kind: "function", function }
}

fn tool_result(result: &ToolResult) -> WireMessage<'_> {
    let mut text = text_of(&result.parts);
    for part in &result.parts {
        let kind = match part {
            Part::Image(_) => "picture",
            Part::Audio(_) => "sound",
            Part::Video(_) => "video",
            Part::File(_) => "file",
            _ => continue,
        };
        // The dialect's tools answer in text; the model is told what it cannot see.
        text.to_mut().push_str(&format!("\n[a {kind} that cannot be shown here]"));
    }
    let mut wire = WireMessage::new("tool", Some(WireContent::Text(text)));
    wire.tool_call_id = Some(&result.call_id);
    wire
}

fn user_part<'a>(profile: &Profile, part: &'a Part) -> Result<Option<WirePart<'a>>> {
    let refused = |what: &str| Err(Error::unsupported(format!("{} takes no {what}", profile.name)));
    Ok(Some(match part {
        Part::Text { text, .. } => WirePart::Text { text },
        Part::Image(media) => {
            let Some(url) = media_url(media, "image/png") else { return refused("picture by id") };
            WirePart::ImageUrl { image_url: WireImage { url, detail: media.detail } }
        }
        Part::Audio(media) => {
            let MediaSource::Base64(data) = &media.source else { return refused("sound by address") };
            let format = media.mime.split_once('/').map_or("wav", |(_, format)| format);
            let format = if format == "mpeg" { "mp3" } else { format };
            WirePart::InputAudio { input_audio: WireAudio { data, format } }
        }
        Part::File(media) => {
            let MediaSource::Base64(_) = &media.source else { return refused("file by address") };
            let filename = media.name.as_deref().unwrap_or("file");
            let file_data = media_url(media, "application/pdf").unwrap_or_default().into_owned();
            WirePart::File { file: WireFile { filename, file_data } }
        }
        Part::Video(_) => return refused("video"),
        // Neither thinking, nor calls, nor results come from users.
        _ => return Ok(None),
    }))
}

/// Joins the text parts; borrows where there is only one.
fn text_of(parts: &[Part]) -> Cow<'_, str> {
    let mut texts = parts.iter().filter_map(Part::as_text);
    match (texts.next(), texts.next()) {
        (None, _) => Cow::Borrowed(""),
        (Some(one), None) => Cow::Borrowed(one),
        (Some(one), Some(two)) => Cow::Owned([one, two].into_iter().chain(texts).collect()),
    }
}
