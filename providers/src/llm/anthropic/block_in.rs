//! Content blocks of a request, on their way in.

use std::collections::HashMap;

use beluga_core::{
    Error, Foreign, Layout, Media, MediaSource, Part, PartNotes, Result, Thinking, ToolCall, ToolOutcome, ToolResult,
};
use serde_json::Value;

use super::super::profile::Profile;
use super::super::request::Taken;
use super::citation::citation;

/// Reads a block. `names` holds the tools of the calls seen so far, by the calls' ids.
pub(super) fn block(profile: &Profile, value: Value, names: &mut HashMap<String, String>) -> Result<Part> {
    let mut wire = Taken::open("a content block", value)?;
    let kind = wire.needed("type")?;
    let mut notes = PartNotes::of(profile.name);
    let part = match kind.as_str() {
        "text" => {
            let citations = wire.list("citations")?;
            notes.citations = citations.into_iter().map(citation).collect();
            Part::text(wire.needed("text")?)
        }
        "thinking" => {
            let mut thinking = Thinking::new(wire.needed("thinking")?, profile.name);
            thinking.signature = Some(wire.text("signature")?.unwrap_or_default());
            Part::Thinking(thinking)
        }
        "redacted_thinking" => {
            let signature = Some(wire.needed("data")?);
            Part::Thinking(Thinking { signature, redacted: true, ..Thinking::new("", profile.name) })
        }
        "tool_use" => {
            let (id, name) = (wire.needed("id")?, wire.needed("name")?);
            let input = wire.take("input").unwrap_or_else(|| Value::Object(serde_json::Map::new()));
            names.insert(id.clone(), name.clone());
            Part::ToolCall(ToolCall::new(id, name, input.to_string()))
        }
        "tool_result" => Part::ToolResult(tool_result(profile, &mut wire, &mut notes, names)?),
        "image" | "document" => match wire.peek("source").and_then(source) {
            Some(media) => {
                wire.take("source");
                if kind == "image" {
                    Part::Image(media)
                } else {
                    Part::File(Media { name: wire.text("title")?, ..media })
                }
            }
            None => foreign(profile, &kind),
        },
        _ => foreign(profile, &kind),
    };
    if let Part::Foreign(foreign) = part {
        // It goes back as it came, its mark among the rest.
        return Ok(Part::Foreign(Foreign { value: Value::Object(wire.rest()), ..foreign }));
    }
    if profile.prompt_cache {
        notes.cache = wire.cache_control();
    }
    notes.extra = wire.rest();
    Ok(part.with_notes(notes))
}

fn foreign(profile: &Profile, kind: &str) -> Part {
    let (family, kind) = (profile.name.to_owned(), kind.to_owned());
    Part::Foreign(Foreign { family, kind, value: Value::Null, notes: None })
}

fn tool_result(
    profile: &Profile,
    wire: &mut Taken,
    notes: &mut PartNotes,
    names: &mut HashMap<String, String>,
) -> Result<ToolResult> {
    let call_id = wire.needed("tool_use_id")?;
    let name = names.get(&call_id).cloned().unwrap_or_default();
    let parts = match wire.take("content") {
        None => Vec::new(),
        Some(Value::String(text)) => {
            notes.layout = Some(Layout::Joined);
            vec![Part::text(text)]
        }
        Some(Value::Array(items)) => {
            let parts = items.into_iter().map(|item| block(profile, item, names));
            parts.collect::<Result<_>>()?
        }
        Some(_) => return Err(Error::invalid_input("the content of a tool result is neither text nor a list")),
    };
    let outcome = if wire.flag("is_error")?.unwrap_or(false) { ToolOutcome::Error } else { ToolOutcome::Ok };
    Ok(ToolResult { outcome, ..ToolResult::new(call_id, name, parts) })
}

/// Reads where the bytes of a medium are; `None` if the normal form has no word for it.
fn source(value: &Value) -> Option<Media> {
    let fields = value.as_object()?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let (media, known): (Media, &[&str]) = match text("type")? {
        "base64" => (Media::base64(text("media_type")?, text("data")?), &["type", "media_type", "data"]),
        "url" => (Media::url(text("url")?), &["type", "url"]),
        "file" => (Media::new(MediaSource::Id(text("file_id")?.to_owned()), ""), &["type", "file_id"]),
        "text" if text("media_type") == Some("text/plain") => {
            (Media::new(MediaSource::Text(text("data")?.into()), "text/plain"), &["type", "media_type", "data"])
        }
        _ => return None,
    };
    fields.keys().all(|name| known.contains(&name.as_str())).then_some(media)
}
