//! How a streamed answer is cut into events.

use beluga_core::Result;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::http::{LineDecoder, SseDecoder, SseEvent};

/// How a dialect cuts a streamed answer into events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// A JSON document a line.
    Lines,
}

/// A stream that is being cut; one arm a framing.
#[derive(Debug)]
pub(super) enum Frames {
    Sse(SseDecoder),
    Lines(LineDecoder),
}

/// What a body turned out to be.
#[derive(Debug)]
pub(super) enum BodyForm {
    /// One document, to be collected.
    Whole,
    /// A stream of events.
    Stream(Frames),
}

impl Framing {
    /// Tells a body's form by its first byte that is no white space, and by what the head says of it.
    pub(super) fn open(self, first: u8, headers: &HeaderMap) -> BodyForm {
        // Content types lie about event streams, which cannot begin with a brace.
        let is_document = matches!(first, b'{' | b'[');
        match self {
            Framing::Sse if is_document => BodyForm::Whole,
            Framing::Sse => BodyForm::Stream(Frames::Sse(SseDecoder::new())),
            Framing::Lines => {
                let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
                // Both forms begin with a brace; a proxy that forgets the type gets the stream, which is a line a document.
                let is_whole = content_type.trim().to_ascii_lowercase().starts_with("application/json");
                if is_whole { BodyForm::Whole } else { BodyForm::Stream(Frames::Lines(LineDecoder::new())) }
            }
        }
    }
}

impl Frames {
    /// Takes the next piece and hands on each event that it completes.
    pub(super) fn feed(&mut self, piece: &[u8], on_event: impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        match self {
            Frames::Sse(decoder) => decoder.feed(piece, on_event),
            Frames::Lines(decoder) => decoder.feed(piece, on_event),
        }
    }

    /// Ends the stream: hands on an event whose end never came, where the framing allows for it.
    pub(super) fn finish(&mut self, on_event: impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        match self {
            Frames::Sse(decoder) => decoder.finish(on_event),
            Frames::Lines(decoder) => decoder.finish(on_event),
        }
    }
}
