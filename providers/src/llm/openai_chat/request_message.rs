//! Messages of the chat completions dialect, on their way in.

use beluga_core::{
    CacheMark, ChatMessage, Detail, Error, Foreign, Layout, Media, MediaSource, MessageNotes, Part, PartNotes, Result,
    Role, Thinking, ToolCall, ToolResult,
};
use serde_json::{Value, json};

use super::super::media::data_url;
use super::super::profile::Profile;
use super::super::request::{Taken, content};
use super::details::Details;

/// Reads a message.
pub(super) fn message(profile: &Profile, value: Value) -> Result<ChatMessage> {
    let mut wire = Taken::open("a message", value)?;
    let word = wire.needed("role")?;
    let (role, is_usual) = match word.as_str() {
        "system" => (Role::System, true),
        "developer" => (Role::System, false),
        "user" => (Role::User, true),
        "assistant" => (Role::Assistant, true),
        "tool" => (Role::Tool, true),
        _ => return Err(Error::invalid_input("a message of an unknown role")),
    };
    let mut notes = MessageNotes::of(profile.name);
    notes.role_word = (!is_usual).then_some(word);
    notes.name = wire.text("name")?;
    let mut parts = Vec::new();
    if role == Role::Assistant {
        thinking(profile, &mut wire, &mut parts)?;
    }
    let layout = content(wire.take("content"), &mut parts, |item| part(profile, item))?;
    if role == Role::Tool {
        let call_id = wire.needed("tool_call_id")?;
        let mut result = ToolResult::new(call_id, notes.name.clone().unwrap_or_default(), parts);
        result.notes = PartNotes { layout, ..PartNotes::default() }.boxed();
        parts = vec![Part::ToolResult(result)];
    } else {
        notes.layout = layout;
    }
    if role == Role::Assistant {
        if let Some(text) = wire.text("refusal")? {
            let own_field = PartNotes { layout: Some(Layout::Joined), ..PartNotes::default() };
            parts.push(Part::Refusal { text, notes: None }.with_notes(own_field));
        }
        for call in wire.list("tool_calls")? {
            parts.push(Part::ToolCall(tool_call(profile, call)?));
        }
    }
    notes.extra = wire.rest();
    let mut message = ChatMessage::new(role, parts);
    message.notes = notes.boxed();
    Ok(message)
}

/// Reads thinking that comes back: as texts, and as details.
fn thinking(profile: &Profile, wire: &mut Taken, parts: &mut Vec<Part>) -> Result<()> {
    for field in ["reasoning_content", "reasoning"] {
        if let Some(text) = wire.text(field)?.filter(|text| !text.is_empty()) {
            let mut thinking = Thinking::new(text, profile.name);
            if field != profile.reasoning_field {
                let word = Some(field.to_owned());
                thinking.notes = PartNotes { word, ..PartNotes::of(profile.name) }.boxed();
            }
            parts.push(Part::Thinking(thinking));
        }
    }
    for detail in wire.list("reasoning_details")? {
        let text = detail.to_string();
        let wire = serde_json::from_str(&text).map_err(|_| Error::invalid_input("a reasoning detail is malformed"))?;
        let mut details = Details::default();
        details.push(&wire);
        parts.extend(details.finish(profile.name).map(Part::Thinking));
    }
    Ok(())
}

fn part(profile: &Profile, value: Value) -> Result<Part> {
    let mut wire = Taken::open("a content part", value)?;
    let kind = wire.needed("type")?;
    let mut notes = PartNotes::of(profile.name);
    if profile.prompt_cache {
        notes.cache = wire.cache_control().or_else(|| breakpoint(&mut wire));
    }
    if kind == "thinking"
        && let Some(text) = wire.peek("thinking").and_then(thought)
    {
        wire.take("thinking");
        notes.extra = wire.rest();
        return Ok(Part::Thinking(Thinking::new(text, profile.name)).with_notes(notes));
    }
    let Some(part) = known_part(&kind, &mut wire)? else {
        let foreign = Foreign { family: profile.name.to_owned(), kind, value: Value::Object(wire.rest()), notes: None };
        return Ok(Part::Foreign(foreign).with_notes(notes));
    };
    notes.extra = wire.rest();
    Ok(part.with_notes(notes))
}

/// Reads a part the normal form has a word for; `None` leaves everything where it is.
fn known_part(kind: &str, wire: &mut Taken) -> Result<Option<Part>> {
    Ok(Some(match kind {
        "text" => Part::text(wire.needed("text")?),
        "refusal" => Part::Refusal { text: wire.needed("refusal")?, notes: None },
        "image_url" => match wire.peek("image_url").and_then(address) {
            Some((mut media, detail)) => {
                wire.take("image_url");
                media.detail = detail;
                Part::Image(media)
            }
            None => return Ok(None),
        },
        "video_url" => match wire.peek("video_url").and_then(address) {
            Some((media, None)) => {
                wire.take("video_url");
                Part::Video(media)
            }
            _ => return Ok(None),
        },
        "input_audio" => match wire.peek("input_audio").and_then(audio) {
            Some(media) => {
                wire.take("input_audio");
                Part::Audio(media)
            }
            None => return Ok(None),
        },
        "file" => match wire.peek("file").and_then(file) {
            Some(media) => {
                wire.take("file");
                Part::File(media)
            }
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

/// Returns what a list of one text says.
fn thought(value: &Value) -> Option<String> {
    let [one] = value.as_array()?.as_slice() else { return None };
    let [kind, text] = only(one, ["type", "text"])?;
    (kind == Some("text")).then(|| text.map(str::to_owned))?
}

fn breakpoint(wire: &mut Taken) -> Option<CacheMark> {
    let is_plain = *wire.peek("prompt_cache_breakpoint")? == json!({"mode": "explicit"});
    is_plain.then(|| {
        wire.take("prompt_cache_breakpoint");
        CacheMark::default()
    })
}

/// Returns the text fields of an object that has these and no other.
fn only<'a, const N: usize>(value: &'a Value, names: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let fields = value.as_object()?;
    let is_known =
        |(name, value): (&String, &Value)| value.is_null() || (names.contains(&name.as_str()) && value.is_string());
    fields.iter().all(is_known).then(|| names.map(|name| fields.get(name).and_then(Value::as_str)))
}

fn address(value: &Value) -> Option<(Media, Option<Detail>)> {
    let [url, detail] = only(value, ["url", "detail"])?;
    let detail = match detail {
        None => None,
        Some("low") => Some(Detail::Low),
        Some("high") => Some(Detail::High),
        Some("auto") => Some(Detail::Auto),
        Some(_) => return None,
    };
    Some((data_url(url?), detail))
}

fn audio(value: &Value) -> Option<Media> {
    let [data, format] = only(value, ["data", "format"])?;
    let format = match format? {
        "mp3" => "mpeg",
        // It is written back as another.
        "mpeg" => return None,
        format => format,
    };
    Some(Media::base64(format!("audio/{format}"), data?))
}

fn file(value: &Value) -> Option<Media> {
    let [data, id, name] = only(value, ["file_data", "file_id", "filename"])?;
    let mut media = match (data, id) {
        (Some(data), None) => data_url(data),
        (None, Some(id)) => Media::new(MediaSource::Id(id.to_owned()), ""),
        _ => return None,
    };
    // By address only some gateways take it, and bytes need a name.
    if matches!(media.source, MediaSource::Url(_)) || (id.is_none() && name.is_none()) {
        return None;
    }
    media.name = name.map(str::to_owned);
    Some(media)
}

fn tool_call(profile: &Profile, value: Value) -> Result<ToolCall> {
    let mut wire = Taken::open("a tool call", value)?;
    let id = wire.text("id")?.unwrap_or_default();
    let kind = wire.text("type")?;
    let mut notes = PartNotes::of(profile.name);
    let (name, arguments) = match wire.object("custom")? {
        Some(mut custom) => {
            notes.word = Some("custom".to_owned());
            (custom.needed("name")?, custom.text("input")?.unwrap_or_default())
        }
        None => {
            let function = wire.object("function")?;
            let mut function = function.ok_or_else(|| Error::invalid_input("a tool call without a function"))?;
            notes.word = kind.filter(|kind| kind != "function");
            (function.needed("name")?, function.text("arguments")?.unwrap_or_default())
        }
    };
    notes.index = wire.typed("index", Value::as_i64)?;
    notes.extra = wire.rest();
    let mut call = ToolCall::new(id, name, arguments);
    call.notes = notes.boxed();
    Ok(call)
}
