//! Content blocks, on their way out.

use std::borrow::Cow;

use beluga_core::{
    CacheMark, ChatMessage, Error, Extra, Layout, Media, MediaSource, Part, PartNotes, Result, ToolResult,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::json::arguments_object;
use super::super::profile::Profile;
use super::super::request::wire_cache_control;
use super::citation::wire_citation;

/// Kept for the vendor's shortest time, 5 minutes from the last use.
pub(super) const SHORTEST: CacheMark = CacheMark { ttl: None };

/// One block: its sort, the sort's fields, its mark, and what is noted of it.
pub(super) struct WireBlock<'a> {
    kind: &'a str,
    fields: WireFields<'a>,
    pub(super) mark: Option<CacheMark>,
    extra: Option<&'a Extra>,
}

enum WireFields<'a> {
    Text {
        text: Cow<'a, str>,
        citations: Vec<Value>,
    },
    Media {
        source: Value,
        title: Option<&'a str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    Redacted {
        data: &'a str,
    },
    Call {
        id: Cow<'a, str>,
        name: &'a str,
        input: Box<RawValue>,
    },
    Result {
        call_id: Cow<'a, str>,
        content: WireContent<'a>,
        is_error: bool,
    },
    /// As it came.
    Foreign(&'a Value),
}

/// What a turn or a result says: a text, or blocks.
#[derive(serde::Serialize)]
#[serde(untagged)]
pub(super) enum WireContent<'a> {
    Text(Cow<'a, str>),
    Blocks(Vec<WireBlock<'a>>),
}

impl Serialize for WireBlock<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        match &self.fields {
            WireFields::Text { text, citations } => {
                map.serialize_entry("text", text)?;
                if !citations.is_empty() {
                    map.serialize_entry("citations", citations)?;
                }
            }
            WireFields::Media { source, title } => {
                map.serialize_entry("source", source)?;
                if let Some(title) = title {
                    map.serialize_entry("title", title)?;
                }
            }
            WireFields::Thinking { thinking, signature } => {
                map.serialize_entry("thinking", thinking)?;
                map.serialize_entry("signature", signature)?;
            }
            WireFields::Redacted { data } => map.serialize_entry("data", data)?,
            WireFields::Call { id, name, input } => {
                map.serialize_entry("id", id)?;
                map.serialize_entry("name", name)?;
                map.serialize_entry("input", input)?;
            }
            WireFields::Result { call_id, content, is_error } => {
                map.serialize_entry("tool_use_id", call_id)?;
                map.serialize_entry("content", content)?;
                if *is_error {
                    map.serialize_entry("is_error", is_error)?;
                }
            }
            WireFields::Foreign(value) => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    map.serialize_entry(name, value)?;
                }
            }
        }
        if let Some(mark) = &self.mark {
            map.serialize_entry("cache_control", &wire_cache_control(mark))?;
        }
        for (name, value) in self.extra.into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'a> WireBlock<'a> {
    fn new(kind: &'a str, fields: WireFields<'a>, profile: &Profile, notes: Option<&'a PartNotes>) -> Self {
        let mark = notes.and_then(|notes| notes.cache.clone()).filter(|_| profile.prompt_cache);
        Self { kind, fields, mark, extra: notes.and_then(|notes| notes.extra_of(profile.name)) }
    }

    /// Makes a block of text.
    pub(super) fn text(text: impl Into<Cow<'a, str>>, mark: Option<CacheMark>) -> Self {
        let fields = WireFields::Text { text: text.into(), citations: Vec::new() };
        Self { kind: "text", fields, mark, extra: None }
    }

    /// Returns where a block takes its mark; thinking and calls of tools are never the end of a user's turn.
    pub(super) fn mark_of_turn(&mut self) -> Option<&mut Option<CacheMark>> {
        match self.fields {
            WireFields::Text { .. } | WireFields::Media { .. } | WireFields::Result { .. } => Some(&mut self.mark),
            _ => None,
        }
    }
}

/// Returns the blocks of a message.
pub(super) fn blocks<'a>(profile: &Profile, message: &'a ChatMessage) -> Result<Vec<WireBlock<'a>>> {
    message.parts.iter().filter_map(|part| block(profile, part).transpose()).collect()
}

/// Returns the block of a part; `None` for what must not be sent: empty text, and what another family alone understands.
fn block<'a>(profile: &Profile, part: &'a Part) -> Result<Option<WireBlock<'a>>> {
    let refused = |what: &str| Err(Error::unsupported(format!("{} takes no {what}", profile.name)));
    let (kind, fields) = match part {
        Part::Text { text, .. } | Part::Refusal { text, .. } if text.is_empty() => return Ok(None),
        Part::Text { text, .. } | Part::Refusal { text, .. } => {
            let own = part.notes().filter(|notes| notes.family == profile.name);
            let citations = own.map_or(&[][..], |notes| &notes.citations).iter().map(wire_citation).collect();
            ("text", WireFields::Text { text: Cow::Borrowed(text), citations })
        }
        Part::Image(media) => ("image", WireFields::Media { source: source(media, "image/png"), title: None }),
        Part::File(media) => {
            ("document", WireFields::Media { source: source(media, "application/pdf"), title: media.name.as_deref() })
        }
        Part::Audio(_) => return refused("sound"),
        Part::Video(_) => return refused("video"),
        Part::Thinking(thinking) => match &thinking.signature {
            _ if thinking.family != profile.name => return Ok(None),
            Some(data) if thinking.redacted => ("redacted_thinking", WireFields::Redacted { data }),
            Some(signature) => ("thinking", WireFields::Thinking { thinking: &thinking.text, signature }),
            // The vendor refuses thinking it did not sign.
            None => return Ok(None),
        },
        Part::ToolCall(call) => {
            let input = RawValue::from_string(arguments_object(&call.arguments).into_owned())
                .map_err(|error| Error::internal("the arguments are no JSON").with_source(error))?;
            ("tool_use", WireFields::Call { id: call_id(&call.id), name: &call.name, input })
        }
        Part::ToolResult(result) => ("tool_result", tool_result(profile, result)?),
        Part::Foreign(foreign) if foreign.family == profile.name => {
            (foreign.kind.as_str(), WireFields::Foreign(&foreign.value))
        }
        Part::Foreign(_) => return Ok(None),
        _ => return refused("part of that sort"),
    };
    Ok(Some(WireBlock::new(kind, fields, profile, part.notes())))
}

fn tool_result<'a>(profile: &Profile, result: &'a ToolResult) -> Result<WireFields<'a>> {
    let layout = result.notes.as_ref().and_then(|notes| notes.layout);
    let content = if layout == Some(Layout::Joined) {
        WireContent::Text(Cow::Owned(result.text()))
    } else {
        let blocks: Result<Vec<_>> = result.parts.iter().filter_map(|part| block(profile, part).transpose()).collect();
        WireContent::Blocks(blocks?)
    };
    Ok(WireFields::Result { call_id: call_id(&result.call_id), content, is_error: result.is_error() })
}

fn source(media: &Media, default_mime: &str) -> Value {
    match &media.source {
        MediaSource::Url(url) => json!({"type": "url", "url": url}),
        MediaSource::Id(id) => json!({"type": "file", "file_id": id}),
        MediaSource::Text(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
        MediaSource::Base64(data) => {
            let mime = if media.mime.is_empty() { default_mime } else { &media.mime };
            json!({"type": "base64", "media_type": mime, "data": data})
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
