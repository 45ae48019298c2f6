//! How a streamed answer is cut into events.

use std::borrow::Cow;

use beluga_core::Result;
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::fault::VendorError;
use crate::http::{EventStreamDecoder, EventStreamKind, EventStreamMessage, LineDecoder, SseDecoder, SseEvent, text};

/// How a dialect cuts a streamed answer into events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// A JSON document a line.
    Lines,
    /// AWS's binary event stream.
    EventStream,
}

/// A stream that is being cut; one arm a framing.
#[derive(Debug)]
pub(super) enum Frames {
    Sse(SseDecoder),
    Lines(LineDecoder),
    EventStream(EventStreamDecoder),
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
            // A message begins with its length, whose first byte is next to nothing.
            Framing::EventStream if is_document => BodyForm::Whole,
            Framing::EventStream => BodyForm::Stream(Frames::EventStream(EventStreamDecoder::new())),
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
    pub(super) fn feed(&mut self, piece: &[u8], mut on_event: impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        match self {
            Frames::Sse(decoder) => decoder.feed(piece, on_event),
            Frames::Lines(decoder) => decoder.feed(piece, on_event),
            Frames::EventStream(decoder) => decoder.feed(piece, |message| hand_on(&message, &mut on_event)),
        }
    }

    /// Ends the stream: hands on an event whose end never came, where the framing allows for it.
    pub(super) fn finish(&mut self, on_event: impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
        match self {
            Frames::Sse(decoder) => decoder.finish(on_event),
            Frames::Lines(decoder) => decoder.finish(on_event),
            Frames::EventStream(decoder) => decoder.finish(),
        }
    }
}

/// Hands on a message as an event of its name; an exception is the vendor's error.
fn hand_on(message: &EventStreamMessage<'_>, on_event: &mut impl FnMut(SseEvent<'_>) -> Result<()>) -> Result<()> {
    match message.kind() {
        EventStreamKind::Event(name) => on_event(SseEvent { event: Cow::Borrowed(name), data: text(message.payload) }),
        EventStreamKind::Exception(name) => Err(VendorError::named(name, message.payload).into_stream_error()),
        EventStreamKind::Error { code, message } => {
            Err(VendorError::named(code, message.as_bytes()).into_stream_error())
        }
        // Kinds of later versions.
        EventStreamKind::Unknown => Ok(()),
    }
}
