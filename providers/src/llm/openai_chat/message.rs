//! Messages of the chat completions dialect, on their way out.

use std::borrow::Cow;

use beluga_core::{ChatMessage, Extra, Layout, Part, PartNotes, Result, Role, Thinking, ToolCall, ToolResult};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::super::json::arguments_object;
use super::super::profile::Profile;
use super::details::wire_detail;
use super::part::{WirePart, assistant_part, user_part};

/// One message.
#[derive(Default)]
pub(super) struct WireMessage<'a> {
    role: Cow<'a, str>,
    name: Option<&'a str>,
    content: Option<WireContent<'a>>,
    refusal: Option<&'a str>,
    /// Thinking as text, with the field it stands in.
    thinking: Vec<(&'a str, String)>,
    details: Vec<Map<String, Value>>,
    tool_calls: Vec<WireCall<'a>>,
    tool_call_id: Option<Cow<'a, str>>,
    extra: Option<&'a Extra>,
}

#[derive(serde::Serialize)]
#[serde(untagged)]
pub(super) enum WireContent<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<WirePart<'a>>),
}

struct WireCall<'a> {
    id: Cow<'a, str>,
    call: &'a ToolCall,
    /// Of the vendor's own family.
    notes: Option<&'a PartNotes>,
}

impl Serialize for WireMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        map.serialize_entry("content", &self.content)?;
        if let Some(name) = self.name {
            map.serialize_entry("name", name)?;
        }
        if let Some(refusal) = self.refusal {
            map.serialize_entry("refusal", refusal)?;
        }
        for (field, text) in &self.thinking {
            map.serialize_entry(field, text)?;
        }
        if !self.details.is_empty() {
            map.serialize_entry("reasoning_details", &self.details)?;
        }
        if !self.tool_calls.is_empty() {
            map.serialize_entry("tool_calls", &self.tool_calls)?;
        }
        if let Some(id) = &self.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        for (name, value) in self.extra.into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for WireCall<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        let word = self.notes.and_then(|notes| notes.word.as_deref());
        if word == Some("custom") {
            map.serialize_entry("type", "custom")?;
            map.serialize_entry("custom", &json!({"name": self.call.name, "input": self.call.arguments}))?;
        } else {
            map.serialize_entry("type", word.unwrap_or("function"))?;
            // A text by the book: whatever is JSON stays as it is.
            let is_json = serde_json::from_str::<&RawValue>(&self.call.arguments).is_ok();
            let arguments = if is_json {
                Cow::Borrowed(self.call.arguments.as_str())
            } else {
                arguments_object(&self.call.arguments)
            };
            map.serialize_entry("function", &WireFunction { name: &self.call.name, arguments })?;
        }
        if let Some(index) = self.notes.and_then(|notes| notes.index) {
            map.serialize_entry("index", &index)?;
        }
        for (name, value) in self.notes.into_iter().flat_map(|notes| &notes.extra) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: Cow<'a, str>,
}

/// Writes a message; results of tools are a message each.
pub(super) fn push_message<'a>(
    profile: &Profile,
    message: &'a ChatMessage,
    out: &mut Vec<WireMessage<'a>>,
) -> Result<()> {
    let notes = message.notes.as_deref();
    let before = out.len();
    match message.role {
        Role::System | Role::User => {
            let content = content(profile, message, &message.parts)?;
            let role = if message.role == Role::User { "user" } else { "system" };
            out.push(WireMessage { role: Cow::Borrowed(role), content: Some(content), ..WireMessage::default() });
        }
        Role::Assistant => out.push(assistant(profile, message)?),
        Role::Tool => {
            for result in message.results() {
                out.push(tool_result(profile, result)?);
            }
        }
    }
    // What is noted of a message is noted of one message.
    let is_one = out.len() == before + 1;
    if let (Some(notes), Some(wire), true) = (notes, out.last_mut(), is_one) {
        wire.name = notes.name.as_deref();
        wire.extra = notes.extra_of(profile.name);
        if let Some(word) = notes.role_word.as_deref().filter(|_| notes.family == profile.name) {
            wire.role = Cow::Borrowed(word);
        }
    }
    Ok(())
}

fn content<'a>(profile: &Profile, message: &ChatMessage, parts: &'a [Part]) -> Result<WireContent<'a>> {
    let is_plain = |part: &Part| match part {
        Part::Text { notes, .. } => message.role == Role::System && !profile.prompt_cache || !marked(profile, notes),
        _ => false,
    };
    let is_listed = match message.notes.as_ref().and_then(|notes| notes.layout) {
        Some(Layout::Listed) => true,
        Some(Layout::Joined) => false,
        None => !parts.iter().all(is_plain),
    };
    if !is_listed {
        return Ok(WireContent::Text(text_of(parts)));
    }
    let parts = parts.iter().filter_map(|part| user_part(profile, part).transpose());
    Ok(WireContent::Parts(parts.collect::<Result<_>>()?))
}

/// Returns whether a part has something only a list of parts can say.
fn marked(profile: &Profile, notes: &Option<Box<PartNotes>>) -> bool {
    notes
        .as_ref()
        .is_some_and(|notes| profile.prompt_cache && notes.cache.is_some() || notes.extra_of(profile.name).is_some())
}

fn assistant<'a>(profile: &Profile, message: &'a ChatMessage) -> Result<WireMessage<'a>> {
    let tool_calls: Vec<WireCall<'_>> = message.tool_calls().map(|call| wire_call(profile, call)).collect();
    let goes_back = profile.reasoning_back.goes_back(!tool_calls.is_empty());
    let own = message.parts.iter().filter_map(|part| match part {
        Part::Thinking(thinking) if thinking.family == profile.name => Some(thinking),
        _ => None,
    });
    let thinks_in_parts = profile.thinking_parts && goes_back && own.clone().next().is_some();
    let is_listed = thinks_in_parts || message.notes.as_ref().and_then(|notes| notes.layout) == Some(Layout::Listed);
    let refusal = message.parts.iter().find_map(|part| match part {
        // A refusal that came in its own field goes back there.
        Part::Refusal { text, notes: Some(notes) } if notes.layout == Some(Layout::Joined) => Some(text.as_str()),
        _ => None,
    });
    let content = if is_listed {
        let parts = message.parts.iter().filter_map(|part| assistant_part(profile, part));
        Some(WireContent::Parts(parts.collect()))
    } else {
        let said = message.parts.iter().filter(|part| refusal.is_none() || !matches!(part, Part::Refusal { .. }));
        let text = joined(said.filter_map(Part::as_text));
        // Next to calls "nothing" is null; alone it must be text.
        (!text.is_empty() || tool_calls.is_empty()).then_some(WireContent::Text(text))
    };
    let mut wire = WireMessage { role: Cow::Borrowed("assistant"), content, refusal, ..WireMessage::default() };
    if !thinks_in_parts {
        own.for_each(|thinking| push_thinking(profile, thinking, goes_back, &mut wire));
    }
    wire.tool_calls = tool_calls;
    Ok(wire)
}

/// Writes thinking: a detail as it came, text into the field it came in or, if the vendor wants it, the vendor's.
fn push_thinking<'a>(profile: &Profile, thinking: &'a Thinking, goes_back: bool, wire: &mut WireMessage<'a>) {
    if let Some(detail) = wire_detail(thinking) {
        wire.details.push(detail);
        return;
    }
    let named = thinking.notes.as_ref().and_then(|notes| notes.word.as_deref());
    let field = match named {
        Some(field) => field,
        None if goes_back && !thinking.text.is_empty() => profile.reasoning_field,
        None => return,
    };
    match wire.thinking.iter_mut().find(|(have, _)| *have == field) {
        Some((_, text)) => text.push_str(&thinking.text),
        None => wire.thinking.push((field, thinking.text.clone())),
    }
}

fn wire_call<'a>(profile: &Profile, call: &'a ToolCall) -> WireCall<'a> {
    WireCall {
        id: profile.call_ids.written(&call.id),
        call,
        notes: call.notes.as_deref().filter(|notes| notes.family == profile.name),
    }
}

fn tool_result<'a>(profile: &Profile, result: &'a ToolResult) -> Result<WireMessage<'a>> {
    let notes = result.notes.as_deref();
    let content = if notes.and_then(|notes| notes.layout) == Some(Layout::Listed) {
        let parts = result.parts.iter().filter_map(|part| user_part(profile, part).transpose());
        WireContent::Parts(parts.collect::<Result<_>>()?)
    } else {
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
        WireContent::Text(text)
    };
    let role = Cow::Borrowed("tool");
    let tool_call_id = Some(profile.call_ids.written(&result.call_id));
    Ok(WireMessage { role, content: Some(content), tool_call_id, ..WireMessage::default() })
}

/// Joins the text parts; borrows where there is only one.
fn text_of(parts: &[Part]) -> Cow<'_, str> {
    joined(parts.iter().filter_map(Part::as_text))
}

fn joined<'a>(mut texts: impl Iterator<Item = &'a str>) -> Cow<'a, str> {
    match (texts.next(), texts.next()) {
        (None, _) => Cow::Borrowed(""),
        (Some(one), None) => Cow::Borrowed(one),
        (Some(one), Some(two)) => Cow::Owned([one, two].into_iter().chain(texts).collect()),
    }
}
