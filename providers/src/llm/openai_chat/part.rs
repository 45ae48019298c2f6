//! Content parts of the chat completions dialect, on their way out.

use std::borrow::Cow;

use beluga_core::{Detail, Error, Extra, Foreign, Media, MediaSource, Part, PartNotes, Result};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::super::media::media_url;
use super::super::profile::{CacheWord, Profile};
use super::super::request::wire_cache_control;

/// One part: its sort, its content under the sort's own field, and what is noted of it.
pub(super) struct WirePart<'a> {
    kind: &'a str,
    field: WireField<'a>,
    mark: Option<(&'static str, Value)>,
    extra: Option<&'a Extra>,
}

enum WireField<'a> {
    Text(&'a str),
    Refusal(&'a str),
    Thinking(&'a str),
    Image(WireAddress<'a>),
    Video(WireAddress<'a>),
    Audio {
        data: &'a str,
        format: &'a str,
    },
    File {
        file: Value,
    },
    /// As it came.
    Foreign(&'a Value),
}

#[derive(serde::Serialize)]
struct WireAddress<'a> {
    url: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Detail>,
}

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        match &self.field {
            WireField::Text(text) => map.serialize_entry("text", text)?,
            WireField::Refusal(text) => map.serialize_entry("refusal", text)?,
            WireField::Thinking(text) => {
                map.serialize_entry("thinking", &json!([{"type": "text", "text": text}]))?;
            }
            WireField::Image(address) => map.serialize_entry("image_url", address)?,
            WireField::Video(address) => map.serialize_entry("video_url", address)?,
            WireField::Audio { data, format } => {
                map.serialize_entry("input_audio", &json!({"data": data, "format": format}))?;
            }
            WireField::File { file } => map.serialize_entry("file", file)?,
            WireField::Foreign(value) => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    map.serialize_entry(name, value)?;
                }
            }
        }
        if let Some((name, mark)) = &self.mark {
            map.serialize_entry(name, mark)?;
        }
        for (name, value) in self.extra.into_iter().flatten() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'a> WirePart<'a> {
    fn new(kind: &'a str, field: WireField<'a>, profile: &Profile, notes: Option<&'a PartNotes>) -> Self {
        let mark = notes.and_then(|notes| notes.cache.as_ref()).filter(|_| profile.prompt_cache);
        let mark = mark.map(|mark| match profile.cache_word {
            CacheWord::CacheControl => ("cache_control", wire_cache_control(mark)),
            CacheWord::Breakpoint => ("prompt_cache_breakpoint", json!({"mode": "explicit"})),
        });
        Self { kind, field, mark, extra: notes.and_then(|notes| notes.extra_of(profile.name)) }
    }
}

/// Returns a part of a user's or a tool's message; `None` for what never comes from them.
pub(super) fn user_part<'a>(profile: &Profile, part: &'a Part) -> Result<Option<WirePart<'a>>> {
    let refused = |what: &str| Err(Error::unsupported(format!("{} takes no {what}", profile.name)));
    let (kind, field) = match part {
        Part::Text { text, .. } => ("text", WireField::Text(text)),
        Part::Image(media) => {
            let Some(url) = media_url(media, "image/png") else { return refused("picture by id") };
            ("image_url", WireField::Image(WireAddress { url, detail: media.detail }))
        }
        Part::Audio(media) => {
            let MediaSource::Base64(data) = &media.source else { return refused("sound by address") };
            let format = media.mime.split_once('/').map_or("wav", |(_, format)| format);
            let format = if format == "mpeg" { "mp3" } else { format };
            ("input_audio", WireField::Audio { data, format })
        }
        Part::File(media) => {
            let Some(file) = file(media) else { return refused("file by address") };
            ("file", WireField::File { file })
        }
        Part::Video(media) if profile.takes_video => {
            let Some(url) = media_url(media, "video/mp4") else { return refused("video by id") };
            ("video_url", WireField::Video(WireAddress { url, detail: None }))
        }
        Part::Video(_) => return refused("video"),
        Part::Foreign(foreign) => return Ok(own(profile, foreign)),
        // Neither thinking, nor calls, nor results come from users.
        _ => return Ok(None),
    };
    Ok(Some(WirePart::new(kind, field, profile, part.notes())))
}

/// Returns a part of a list the assistant said; thinking and calls have fields of their own.
pub(super) fn assistant_part<'a>(profile: &Profile, part: &'a Part) -> Option<WirePart<'a>> {
    match part {
        Part::Text { text, .. } => Some(WirePart::new("text", WireField::Text(text), profile, part.notes())),
        Part::Refusal { text, .. } => Some(WirePart::new("refusal", WireField::Refusal(text), profile, None)),
        Part::Thinking(thinking) if profile.thinking_parts && thinking.family == profile.name => {
            Some(WirePart::new("thinking", WireField::Thinking(&thinking.text), profile, part.notes()))
        }
        Part::Foreign(foreign) => own(profile, foreign),
        _ => None,
    }
}

fn own<'a>(profile: &Profile, foreign: &'a Foreign) -> Option<WirePart<'a>> {
    let field = WireField::Foreign(&foreign.value);
    (foreign.family == profile.name).then(|| WirePart::new(&foreign.kind, field, profile, foreign.notes.as_deref()))
}

fn file(media: &Media) -> Option<Value> {
    let mut file = match &media.source {
        MediaSource::Base64(_) => {
            let data = media_url(media, "application/pdf")?;
            json!({"file_data": data, "filename": media.name.as_deref().unwrap_or("file")})
        }
        MediaSource::Id(id) => json!({"file_id": id}),
        MediaSource::Url(_) | MediaSource::Text(_) => return None,
    };
    if let (Some(name), Some(fields)) = (&media.name, file.as_object_mut()) {
        fields.insert("filename".to_owned(), json!(name));
    }
    Some(file)
}
