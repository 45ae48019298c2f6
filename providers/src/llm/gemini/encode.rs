//! Requests that go out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beluga_core::{
    ChatMessage, Error, Extra, Media, MediaSource, ModelRequest, Part, PartNotes, Result, Role, ToolResult,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::dialect::Call;
use super::super::json::{Fields, arguments_object};
use super::super::profile::Profile;
use super::tools::{Tools, write_choice};
use super::{SPELLING, is_made_up, parts, settings, spelling, takes_levels};

/// What stands for the signature of a call that another vendor's model made: the newer models refuse a call without one.
/// The text `skip_thought_signature_validator` as base64 (Gemini API, thought signatures, read 2026-11).
const FOREIGN_SIGNATURE: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/// Fields of `extra` that are merged into ours, or are none of the vendor's.
const MERGED: [&str; 3] = ["generationConfig", "toolConfig", SPELLING];

/// Encodes a request.
///
/// # Errors
/// `unsupported` names what the vendor cannot take.
pub(super) fn encode(call: &Call<'_>) -> Result<Vec<u8>> {
    let failed = |error: serde_json::Error| Error::internal("the request is no JSON").with_source(error);
    let body = Body::of(call)?;
    match call.request.options.extra.get(SPELLING) {
        None => serde_json::to_vec(&body).map_err(failed),
        Some(spelled) => {
            let mut value = serde_json::to_value(&body).map_err(failed)?;
            spelling::restore(&mut value, spelled);
            serde_json::to_vec(&value).map_err(failed)
        }
    }
}

struct Body<'a> {
    profile: &'a Profile,
    request: &'a ModelRequest,
    /// What the caller says itself, without what is merged.
    own: Extra,
    system: Option<Content<'a>>,
    contents: Vec<Content<'a>>,
    settings: Map<String, Value>,
}

/// A message as the vendor takes it.
struct Content<'a> {
    role: Option<&'a str>,
    parts: Vec<WirePart<'a>>,
    extra: Option<&'a Extra>,
}

struct WirePart<'a> {
    part: &'a Part,
    family: &'static str,
    /// What stands for a signature that is missing.
    signature: Option<&'static str>,
    /// Whether a file may have a name.
    takes_names: bool,
}

impl<'a> Body<'a> {
    fn of(call: &Call<'a>) -> Result<Self> {
        let (profile, request) = (call.profile, call.request);
        let mut system: Option<Content<'a>> = None;
        let mut contents = Vec::with_capacity(request.messages.len());
        for message in &request.messages {
            let content = Content::of(profile, message, takes_levels(call.model()))?;
            if message.role == Role::System {
                match &mut system {
                    Some(system) => system.parts.extend(content.parts),
                    None => system = Some(content),
                }
            } else if !content.parts.is_empty() {
                contents.push(content);
            }
        }
        let options = &request.options;
        let is_own = |name: &String| {
            !MERGED.contains(&name.as_str())
                || (name != SPELLING && !options.extra.get(name).is_some_and(Value::is_object))
        };
        let own = options.extra.iter().filter(|(name, _)| is_own(name));
        let own = own.map(|(name, value)| (name.clone(), value.clone())).collect();
        let settings = settings::write(options, call.max_tokens, call.model());
        Ok(Self { profile, request, own, system, contents, settings })
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let options = &self.request.options;
        let mut fields = Fields::new(serializer.serialize_map(None)?, &self.own, self.profile.unsupported);
        fields.put_some("systemInstruction", self.system.as_ref().filter(|system| !system.parts.is_empty()))?;
        fields.put("contents", &self.contents)?;
        let tools = Tools { tools: &self.request.tools, family: self.profile.name };
        let has_tools = !tools.is_empty();
        if has_tools {
            fields.put("tools", &tools)?;
        }
        let choice = write_choice(options, has_tools);
        if !choice.is_empty() {
            fields.put("toolConfig", &choice)?;
        }
        if !self.settings.is_empty() {
            fields.put("generationConfig", &self.settings)?;
        }
        if !options.metadata.is_empty() {
            fields.put("labels", &options.metadata)?;
        }
        fields.end()
    }
}

impl<'a> Content<'a> {
    fn of(profile: &Profile, message: &'a ChatMessage, wants_signatures: bool) -> Result<Self> {
        let notes = message.notes.as_deref().filter(|notes| notes.family == profile.name);
        let role = match message.role {
            Role::System => None,
            Role::Assistant => Some("model"),
            Role::User | Role::Tool => Some("user"),
        };
        let role = match notes.and_then(|notes| notes.role_word.as_deref()) {
            // A content that named no role.
            Some("") => None,
            word => word.or(role),
        };
        // Who made the calls is known of answers of this process alone; a request read from the wire is sent as it came.
        let is_foreign = message.model.as_deref().is_some_and(|model| !model.contains("gemini"));
        let mut is_missing = wants_signatures && is_foreign;
        let takes_names = !profile.unsupported.contains(&"displayName");
        let mut parts = Vec::with_capacity(message.parts.len());
        for part in &message.parts {
            if !is_sent(profile, part)? {
                continue;
            }
            let is_call = matches!(part, Part::ToolCall(_));
            // The first call of an answer stands for all.
            let signature = (is_call && is_missing).then_some(FOREIGN_SIGNATURE);
            is_missing &= !is_call;
            parts.push(WirePart { part, family: profile.name, signature, takes_names });
        }
        Ok(Self { role, parts, extra: notes.and_then(|notes| notes.extra_of(profile.name)) })
    }
}

/// Returns whether a part is sent: not what another family alone understands.
fn is_sent(profile: &Profile, part: &Part) -> Result<bool> {
    Ok(match part {
        Part::Thinking(thinking) => thinking.family == profile.name && !thinking.redacted,
        Part::Foreign(foreign) => foreign.family == profile.name,
        Part::Text { .. } | Part::Refusal { .. } | Part::ToolCall(_) | Part::ToolResult(_) => true,
        Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::File(_) => true,
        _ => return Err(Error::unsupported(format!("{} takes no part of that sort", profile.name))),
    })
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        if let Some(role) = self.role {
            fields.serialize_entry("role", role)?;
        }
        fields.serialize_entry("parts", &self.parts)?;
        for (name, value) in self.extra.into_iter().flatten() {
            fields.serialize_entry(name, value)?;
        }
        fields.end()
    }
}

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let notes = self.part.notes().filter(|notes| notes.family == self.family);
        let mut fields = serializer.serialize_map(None)?;
        let mut signature = notes.and_then(|notes| notes.signature.as_deref()).or(self.signature);
        let mut content = "";
        match self.part {
            Part::Text { text, .. } | Part::Refusal { text, .. } => {
                // A signature may come alone, in a part of its own.
                fields.serialize_entry("text", text)?;
            }
            Part::Thinking(thinking) => {
                fields.serialize_entry("text", &thinking.text)?;
                fields.serialize_entry("thought", &true)?;
                signature = thinking.signature.as_deref();
            }
            Part::Image(media) | Part::Audio(media) | Part::Video(media) | Part::File(media) => {
                let name = media.name.as_deref().filter(|_| self.takes_names);
                let blob = Blob { media, default: default_mime(self.part), name, within: None };
                content = blob.field();
                fields.serialize_entry(content, &Blob { within: within(notes, content), ..blob })?;
            }
            Part::ToolCall(call) => {
                content = "functionCall";
                fields.serialize_entry(content, &WireCall { call, within: within(notes, content) })?;
            }
            Part::ToolResult(result) => {
                content = "functionResponse";
                let answer = WireResult { result, family: self.family, within: within(notes, content) };
                fields.serialize_entry(content, &answer)?;
            }
            Part::Foreign(foreign) if !foreign.kind.is_empty() => {
                fields.serialize_entry(&foreign.kind, &foreign.value)?;
            }
            _ => {}
        }
        if let Some(signature) = signature {
            fields.serialize_entry("thoughtSignature", signature)?;
        }
        for (name, value) in notes.into_iter().flat_map(|notes| &notes.extra).filter(|(name, _)| *name != content) {
            fields.serialize_entry(name, value)?;
        }
        fields.end()
    }
}

/// Returns the fields that stand within a part's content.
fn within<'a>(notes: Option<&'a PartNotes>, name: &str) -> Option<&'a Extra> {
    notes?.extra.get(name)?.as_object()
}

fn put_within<M: SerializeMap>(fields: &mut M, within: Option<&Extra>) -> std::result::Result<(), M::Error> {
    within.into_iter().flatten().try_for_each(|(name, value)| fields.serialize_entry(name, value))
}

struct WireCall<'a> {
    call: &'a beluga_core::ToolCall,
    within: Option<&'a Extra>,
}

impl Serialize for WireCall<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        if !is_made_up(&self.call.id) {
            fields.serialize_entry("id", &self.call.id)?;
        }
        fields.serialize_entry("name", &self.call.name)?;
        if !self.call.arguments.is_empty() {
            fields.serialize_entry("args", &raw(&arguments_object(&self.call.arguments)))?;
        }
        put_within(&mut fields, self.within)?;
        fields.end()
    }
}

struct WireResult<'a> {
    result: &'a ToolResult,
    family: &'static str,
    within: Option<&'a Extra>,
}

impl Serialize for WireResult<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        if !is_made_up(&self.result.call_id) {
            fields.serialize_entry("id", &self.result.call_id)?;
        }
        fields.serialize_entry("name", &self.result.name)?;
        fields.serialize_entry("response", &raw(&told(self.result)))?;
        let is_media = |part: &&Part| matches!(part, Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::File(_));
        let media: Vec<WirePart<'_>> = (self.result.parts.iter().filter(is_media))
            .map(|part| WirePart { part, family: self.family, signature: None, takes_names: true })
            .collect();
        if !media.is_empty() {
            fields.serialize_entry("parts", &media)?;
        }
        put_within(&mut fields, self.within)?;
        fields.end()
    }
}

/// Returns what a tool told, as the object the vendor wants.
fn told(result: &ToolResult) -> String {
    let text = result.text();
    let is_object = parts::is_object(&text);
    if !result.is_error() {
        return if is_object { text } else { json!({"output": text}).to_string() };
    }
    match serde_json::from_str::<Map<String, Value>>(&text) {
        Ok(object) if object.contains_key("error") => text,
        Ok(object) => json!({"error": object}).to_string(),
        Err(_) => json!({"error": text}).to_string(),
    }
}

/// Returns JSON text as it is; it has been checked.
fn raw(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

struct Blob<'a> {
    media: &'a Media,
    /// The type where none is known.
    default: &'static str,
    /// What the file is called.
    name: Option<&'a str>,
    within: Option<&'a Extra>,
}

impl Blob<'_> {
    fn field(&self) -> &'static str {
        match self.media.source {
            MediaSource::Base64(_) | MediaSource::Text(_) => "inlineData",
            MediaSource::Url(_) | MediaSource::Id(_) => "fileData",
        }
    }
}

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        let mime = if self.media.mime.is_empty() { self.default } else { &self.media.mime };
        match &self.media.source {
            MediaSource::Base64(data) => fields.serialize_entry("data", &**data)?,
            MediaSource::Text(text) => fields.serialize_entry("data", &STANDARD.encode(text.as_bytes()))?,
            MediaSource::Url(place) | MediaSource::Id(place) => fields.serialize_entry("fileUri", place)?,
        }
        if !mime.is_empty() {
            fields.serialize_entry("mimeType", mime)?;
        }
        if let Some(name) = self.name {
            fields.serialize_entry("displayName", name)?;
        }
        put_within(&mut fields, self.within)?;
        fields.end()
    }
}

/// How addresses of known types end.
const ENDINGS: [(&str, &str); 8] = [
    (".jpg", "image/jpeg"),
    (".jpeg", "image/jpeg"),
    (".webp", "image/webp"),
    (".gif", "image/gif"),
    (".heic", "image/heic"),
    (".mp3", "audio/mpeg"),
    (".mov", "video/quicktime"),
    (".webm", "video/webm"),
];

/// Returns the type of a part whose type is not known. A file at an address is left to the vendor: it may be a video's page.
fn default_mime(part: &Part) -> &'static str {
    let (media, default) = match part {
        Part::Image(media) => (media, "image/png"),
        Part::Audio(media) => (media, "audio/wav"),
        Part::Video(media) => (media, "video/mp4"),
        Part::File(Media { source: MediaSource::Base64(_), .. }) => return "application/pdf",
        Part::File(Media { source: MediaSource::Text(_), .. }) => return "text/plain",
        _ => return "",
    };
    let MediaSource::Url(url) = &media.source else { return default };
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    ENDINGS.iter().find(|(end, _)| path.ends_with(end)).map_or(default, |(_, mime)| mime)
}
