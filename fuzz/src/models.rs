//! What vendors send: streams cut into events, answers, and requests of their clients.

use std::cell::RefCell;
use std::time::SystemTime;

use beluga_core::{AnswerDraft, ModelAnswer, ModelChunk};
use beluga_providers::http::{EventStreamDecoder, EventStreamMessage, LineDecoder, SseDecoder, SseEvent};
use beluga_providers::llm::{AnswerDecoder, AnswerHead, Dialect, Framing, PROFILES, Profile};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Where an event stream's message has its lengths and their checksum, and what the shortest one takes.
const PRELUDE_BYTES: usize = 12;
const MESSAGE_MIN_BYTES: usize = PRELUDE_BYTES + 4;

/// A stream in each framing: however it is cut, it holds the same events. The first byte says where it is cut.
pub fn streams(bytes: &[u8]) {
    let Some((at, body)) = bytes.split_first() else { return };
    for framing in [Framing::Sse, Framing::Lines, Framing::EventStream] {
        let body = if framing == Framing::EventStream { sealed(body) } else { body.to_vec() };
        cut_anyhow(&body, *at, |pieces| events(framing, pieces));
    }
}

/// An answer of a vendor: however its body is cut, it says the same, and what was read comes back from a journal. The first
/// three bytes choose the vendor, the head and the cut.
pub fn answers(bytes: &[u8]) {
    let [vendor, head, at, body @ ..] = bytes else { return };
    let profile = PROFILES[usize::from(*vendor) % PROFILES.len()];
    let body = if profile.dialect == Dialect::Bedrock && head & 4 == 0 { sealed(body) } else { body.to_vec() };
    let (chunks, _) = cut_anyhow(&body, *at, |pieces| answer(profile, *head, pieces));
    let mut draft = AnswerDraft::default();
    chunks.into_iter().for_each(|chunk| draft.push(chunk));
    let Ok(answer) = draft.finish() else { return };
    let written = serde_json::to_string(&answer).expect("an answer can be written");
    assert_eq!(serde_json::from_str::<ModelAnswer>(&written).expect("what was written can be read"), answer);
}

/// A request in each dialect that reads them: what is read and can be written comes back from what was written. The first
/// byte chooses the vendor.
pub fn requests(bytes: &[u8]) {
    let [vendor, body @ ..] = bytes else { return };
    let profile = PROFILES[usize::from(*vendor) % PROFILES.len()];
    let path = "/v1beta/models/m:generateContent";
    let Ok(read) = profile.decode_request(path, body) else { return };
    let Ok(written) = profile.encode("m", &read.request, read.stream, None) else { return };
    let again = profile.decode_request(path, &written).expect("what was written can be read");
    let twice = profile.encode("m", &again.request, read.stream, None).expect("what was read can be written");
    let (written, twice) = (String::from_utf8_lossy(&written), String::from_utf8_lossy(&twice));
    assert_eq!(twice, written);
}

/// Reads a body whole, byte by byte and cut in two, and returns the one outcome.
fn cut_anyhow<T: PartialEq + std::fmt::Debug>(body: &[u8], at: u8, read: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = read(&[body]);
    let bytes: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(read(&bytes), whole, "byte by byte");
    let (head, tail) = body.split_at(body.len() * usize::from(at) / 255);
    assert_eq!(read(&[head, tail]), whole, "cut at {}", head.len());
    whole
}

/// Cuts a stream into its events, each shown; with the error that ended it.
fn events(framing: Framing, pieces: &[&[u8]]) -> (Vec<String>, Option<String>) {
    let found = RefCell::new(Vec::new());
    let event = |event: SseEvent<'_>| {
        found.borrow_mut().push(format!("{event:?}"));
        Ok(())
    };
    let message = |message: EventStreamMessage<'_>| {
        found.borrow_mut().push(format!("{:?} {message:?}", message.kind()));
        Ok(())
    };
    let (mut sse, mut lines, mut messages) = (SseDecoder::new(), LineDecoder::new(), EventStreamDecoder::new());
    let fed = pieces.iter().try_for_each(|piece| match framing {
        Framing::Sse => sse.feed(piece, event),
        Framing::Lines => lines.feed(piece, event),
        _ => messages.feed(piece, message),
    });
    let ended = fed.and_then(|()| match framing {
        Framing::Sse => sse.finish(event),
        Framing::Lines => lines.finish(event),
        _ => messages.finish(),
    });
    (found.into_inner(), ended.err().map(|error| error.to_string()))
}

/// Decodes an answer; with the error that ended it.
fn answer(profile: &Profile, head: u8, pieces: &[&[u8]]) -> (Vec<ModelChunk>, Option<String>) {
    let content_type = if head & 1 == 0 { "text/event-stream" } else { "application/json" };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let status = if head & 2 == 0 { StatusCode::OK } else { StatusCode::TOO_MANY_REQUESTS };
    let head = AnswerHead { status, headers, wall: SystemTime::UNIX_EPOCH, seed: 1 };
    let mut decoder = AnswerDecoder::new(profile, head);
    let fed = pieces.iter().try_for_each(|piece| decoder.feed(piece));
    let error = fed.and_then(|()| decoder.end()).err();
    (std::iter::from_fn(|| decoder.pop()).collect(), error.map(|error| error.to_string()))
}

/// Makes right the checksums of an event stream's messages, which no fuzzer guesses.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut sealed = body.to_vec();
    let mut rest = sealed.as_mut_slice();
    while let Some(length) = rest.first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length < MESSAGE_MIN_BYTES || length > rest.len() {
            break;
        }
        let (message, others) = rest.split_at_mut(length);
        let of_lengths = crc32fast::hash(&message[..8]);
        message[8..PRELUDE_BYTES].copy_from_slice(&of_lengths.to_be_bytes());
        let of_all = crc32fast::hash(&message[..length - 4]);
        message[length - 4..].copy_from_slice(&of_all.to_be_bytes());
        rest = others;
    }
    sealed
}
