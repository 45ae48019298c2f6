//! Pictures, documents, videos and sound as Converse takes them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use beluga_core::{Error, Media, MediaSource, Result};
use serde::Serialize;

/// The most characters of a document's name.
const NAME_MAX_CHARS: usize = 200;

/// The name of a document that has none; the vendor demands one.
const NAME_DEFAULT: &str = "document";

#[derive(Serialize)]
pub(super) struct WireMedia<'a> {
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    source: WireSource<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum WireSource<'a> {
    Bytes(Cow<'a, str>),
    S3Location { uri: &'a str },
}

/// A sort of media: its name in errors, the type where none is known, and the vendor's words for types.
pub(super) struct Sort {
    name: &'static str,
    default: &'static str,
    formats: &'static [(&'static str, &'static str)],
    is_named: bool,
}

pub(super) const IMAGE: Sort = Sort {
    name: "picture",
    default: "png",
    formats: &[
        ("image/png", "png"),
        ("image/jpeg", "jpeg"),
        ("image/jpg", "jpeg"),
        ("image/gif", "gif"),
        ("image/webp", "webp"),
    ],
    is_named: false,
};

pub(super) const DOCUMENT: Sort = Sort {
    name: "document",
    default: "pdf",
    formats: &[
        ("application/pdf", "pdf"),
        ("text/plain", "txt"),
        ("text/markdown", "md"),
        ("text/csv", "csv"),
        ("text/html", "html"),
        ("application/msword", "doc"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
        ("application/vnd.ms-excel", "xls"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ],
    is_named: true,
};

pub(super) const VIDEO: Sort = Sort {
    name: "video",
    default: "mp4",
    formats: &[
        ("video/mp4", "mp4"),
        ("video/quicktime", "mov"),
        ("video/x-matroska", "mkv"),
        ("video/webm", "webm"),
        ("video/x-flv", "flv"),
        ("video/mpeg", "mpeg"),
        ("video/x-ms-wmv", "wmv"),
        ("video/3gpp", "three_gp"),
    ],
    is_named: false,
};

pub(super) const AUDIO: Sort = Sort {
    name: "sound",
    default: "wav",
    formats: &[
        ("audio/wav", "wav"),
        ("audio/x-wav", "wav"),
        ("audio/mpeg", "mp3"),
        ("audio/mp3", "mp3"),
        ("audio/aac", "aac"),
        ("audio/flac", "flac"),
        ("audio/ogg", "ogg"),
        ("audio/opus", "opus"),
        ("audio/mp4", "m4a"),
        ("audio/webm", "webm"),
    ],
    is_named: false,
};

impl<'a> WireMedia<'a> {
    /// # Errors
    /// `unsupported` for a type the vendor does not know, and for an address it cannot read.
    pub(super) fn of(vendor: &str, sort: &Sort, media: &'a Media) -> Result<Self> {
        let refused = |what: &str| Error::unsupported(format!("{vendor} takes no {} {what}", sort.name));
        let mime = media.mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let format = match &media.source {
            MediaSource::Text(_) if mime.is_empty() => "txt",
            _ if mime.is_empty() => sort.default,
            _ => {
                let known = sort.formats.iter().find(|(have, _)| *have == mime);
                known.map(|(_, format)| *format).ok_or_else(|| refused("of that type"))?
            }
        };
        let source = match &media.source {
            MediaSource::Base64(data) => WireSource::Bytes(Cow::Borrowed(data)),
            MediaSource::Text(text) => WireSource::Bytes(Cow::Owned(STANDARD.encode(text.as_bytes()))),
            MediaSource::Url(uri) if uri.starts_with("s3://") => WireSource::S3Location { uri },
            MediaSource::Url(_) | MediaSource::Id(_) => return Err(refused("by an address outside S3")),
        };
        let name = sort.is_named.then(|| name(media.name.as_deref().unwrap_or(NAME_DEFAULT)));
        Ok(Self { format, name, source })
    }
}

/// Returns a name in the alphabet the vendor takes: letters, digits, single spaces, hyphens, parentheses, brackets.
fn name(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
    let spaced: String = text.chars().map(|c| if fits(c) { c } else { ' ' }).collect();
    let name = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    let name: String = name.chars().take(NAME_MAX_CHARS).collect();
    if name.is_empty() { NAME_DEFAULT.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_documents_fit() {
        assert_eq!(name("Report_2026 (final).pdf"), "Report 2026 (final) pdf");
        assert_eq!(name("§§"), NAME_DEFAULT);
        assert_eq!(name(&"x".repeat(300)).len(), NAME_MAX_CHARS);
    }

    #[test]
    fn types_have_the_vendors_words_and_unknown_ones_are_refused() {
        let wire = |sort: &Sort, media: &Media| WireMedia::of("bedrock", sort, media).map(|wire| json!(wire));
        assert_eq!(
            wire(&IMAGE, &Media::base64("image/jpeg", "AA==")).unwrap(),
            json!({"format": "jpeg", "source": {"bytes": "AA=="}})
        );
        let place = Media { mime: "video/3gpp".into(), ..Media::url("s3://bucket/key") };
        assert_eq!(
            wire(&VIDEO, &place).unwrap(),
            json!({"format": "three_gp", "source": {"s3Location": {"uri": "s3://bucket/key"}}})
        );
        let text = Media::new(MediaSource::Text("Hi".into()), "");
        assert_eq!(
            wire(&DOCUMENT, &text).unwrap(),
            json!({"format": "txt", "name": "document", "source": {"bytes": "SGk="}})
        );
        assert!(wire(&IMAGE, &Media::base64("image/tiff", "AA==")).unwrap_err().to_string().contains("of that type"));
        assert!(wire(&IMAGE, &Media::url("https://example.com/a.png")).unwrap_err().to_string().contains("S3"));
    }
}
