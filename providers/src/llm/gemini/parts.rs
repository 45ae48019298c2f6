//! The parts of a content: what stands in them on the wire, and what they are in the normal form.
//!
//! What the normal form has no word for stands in a part's notes: fields beside the content by their names, fields within
//! the content nested under the content's name.

use beluga_core::{Extra, Foreign, Media, MediaSource, Part, PartNotes, Thinking, ToolCall, ToolOutcome, ToolResult};
use serde_json::{Map, Value};

use super::super::json::take_text;

/// Fields beside the content of a part; any other that is an object is the content itself.
const BESIDE: [&str; 4] = ["mediaResolution", "partMetadata", "thought", "videoMetadata"];

/// Adds the fields within a part's content to those beside it.
pub(super) fn nest(extra: &mut Extra, name: &str, within: Extra) {
    if !within.is_empty() {
        extra.insert(name.to_owned(), Value::Object(within));
    }
}

/// Reads `inlineData` or `fileData`; `None` if it is no object.
pub(super) fn media(value: Value, name: &'static str, mut notes: PartNotes) -> Option<Part> {
    let Value::Object(mut fields) = value else { return None };
    let mut text = |key: &str| take_text(&mut fields, key);
    let (mime, shown) = (text("mimeType").unwrap_or_default(), text("displayName"));
    let source = match name {
        "inlineData" => MediaSource::Base64(text("data").unwrap_or_default().into()),
        _ => MediaSource::Url(text("fileUri").unwrap_or_default()),
    };
    nest(&mut notes.extra, name, fields);
    let sort = mime.split('/').next().unwrap_or_default().to_owned();
    let media = Media { name: shown, notes: notes.boxed(), ..Media::new(source, mime) };
    Some(match sort.as_str() {
        "image" => Part::Image(media),
        "audio" => Part::Audio(media),
        "video" => Part::Video(media),
        _ => Part::File(media),
    })
}

/// Reads a part of the vendor's own from the notes' fields, such as code that ran there; one of no sort if there is
/// nothing but notes, and `None` if there is nothing at all.
pub(super) fn other(family: &str, mut notes: PartNotes) -> Option<Part> {
    let name = notes.extra.iter().find(|(name, value)| value.is_object() && !BESIDE.contains(&name.as_str()));
    let name = name.map(|(name, _)| name.clone()).unwrap_or_default();
    let value = notes.extra.shift_remove(&name).unwrap_or_default();
    if name.is_empty() && notes.is_empty() {
        return None;
    }
    Some(Part::Foreign(Foreign { family: family.to_owned(), kind: name, value, notes: notes.boxed() }))
}

/// Reads a part of a request. `made_up` makes an id for a call or a result that has none.
pub(super) fn read(
    mut fields: Map<String, Value>,
    family: &str,
    made_up: &mut dyn FnMut(&str, bool) -> String,
) -> Part {
    let signature = take_text(&mut fields, "thoughtSignature");
    let is_thought = fields.get("thought").is_some_and(Value::is_boolean)
        && fields.remove("thought").is_some_and(|thought| thought == Value::Bool(true));
    if let Some(text) = take_text(&mut fields, "text") {
        if is_thought {
            let notes = PartNotes { extra: fields, ..PartNotes::of(family) }.boxed();
            return Part::Thinking(Thinking { signature, notes, ..Thinking::new(text, family) });
        }
        let notes = PartNotes { signature, extra: fields, ..PartNotes::of(family) }.boxed();
        return Part::Text { text, notes };
    }
    if is_thought {
        fields.insert("thought".to_owned(), Value::Bool(true));
    }
    let content = ["functionCall", "functionResponse", "inlineData", "fileData"]
        .into_iter()
        .find_map(|name| Some((name, take_object(&mut fields, name)?)));
    let notes = PartNotes { signature, extra: fields, ..PartNotes::of(family) };
    match content {
        Some(("functionCall", content)) => Part::ToolCall(call(content, notes, made_up)),
        Some(("functionResponse", content)) => Part::ToolResult(result(content, family, notes, made_up)),
        Some((name, content)) => media(Value::Object(content), name, notes).unwrap_or_else(|| Part::text("")),
        None => other(family, notes).unwrap_or_else(|| Part::text("")),
    }
}

fn call(
    mut fields: Map<String, Value>,
    mut notes: PartNotes,
    made_up: &mut dyn FnMut(&str, bool) -> String,
) -> ToolCall {
    let name = take_text(&mut fields, "name").unwrap_or_default();
    let id = take_text(&mut fields, "id").unwrap_or_else(|| made_up(&name, true));
    let arguments = take_object(&mut fields, "args").map_or_else(String::new, |args| Value::Object(args).to_string());
    nest(&mut notes.extra, "functionCall", fields);
    ToolCall { notes: notes.boxed(), ..ToolCall::new(id, name, arguments) }
}

fn result(
    mut fields: Map<String, Value>,
    family: &str,
    mut notes: PartNotes,
    made_up: &mut dyn FnMut(&str, bool) -> String,
) -> ToolResult {
    let name = take_text(&mut fields, "name").unwrap_or_default();
    let call_id = take_text(&mut fields, "id").unwrap_or_else(|| made_up(&name, false));
    let mut parts = Vec::new();
    let mut outcome = ToolOutcome::Ok;
    if let Some(response) = take_object(&mut fields, "response") {
        let (text, how) = told(response);
        outcome = how;
        parts.push(Part::text(text));
    }
    if fields.get("parts").is_some_and(is_list_of_media)
        && let Some(Value::Array(list)) = fields.remove("parts")
    {
        let objects = list.into_iter().filter_map(|part| match part {
            Value::Object(part) => Some(part),
            _ => None,
        });
        parts.extend(objects.map(|part| read(part, family, made_up)));
    }
    nest(&mut notes.extra, "functionResponse", fields);
    ToolResult { outcome, notes: notes.boxed(), ..ToolResult::new(call_id, name, parts) }
}

/// Returns what a tool told, and how it ended. The vendor's names for the two are `output` and `error`; any other object is
/// the answer itself, as JSON.
fn told(response: Map<String, Value>) -> (String, ToolOutcome) {
    let outcome = if response.contains_key("error") { ToolOutcome::Error } else { ToolOutcome::Ok };
    if response.len() == 1
        && let Some(Value::String(text)) = response.get("output").or_else(|| response.get("error"))
        && !is_object(text)
    {
        return (text.clone(), outcome);
    }
    (Value::Object(response).to_string(), outcome)
}

/// Returns whether text is a JSON object.
pub(super) fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

fn is_list_of_media(value: &Value) -> bool {
    let is_media =
        |part: &Value| ["inlineData", "fileData"].iter().any(|name| part.get(*name).is_some_and(Value::is_object));
    value.as_array().is_some_and(|list| list.iter().all(is_media))
}

/// Takes an object out of an object; what is no object stays.
pub(super) fn take_object(fields: &mut Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    fields.get(name).filter(|value| value.is_object())?;
    match fields.shift_remove(name) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}
