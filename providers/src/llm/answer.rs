//! The body of an answer, decoded as it arrives.

use std::collections::VecDeque;
use std::fmt;
use std::time::SystemTime;

use beluga_core::{Error, ModelChunk, Result, Retry};
use http::{HeaderMap, StatusCode};

use super::fault::{self, VendorError};
use super::framing::{BodyForm, Frames, Framing};
use super::profile::Profile;
use crate::http::{SseEvent, retry_after};

/// The most bytes an answer may have; more ends it with `provider_unavailable`.
pub const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// The most bytes of an error's body that are read.
const ERROR_MAX_BYTES: usize = 64 * 1024;

/// The headers that carry a vendor's id of the exchange.
const REQUEST_ID_HEADERS: [&str; 3] = ["x-request-id", "request-id", "x-amzn-requestid"];

/// What is known of an answer before its body.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The calendar time, for a `Retry-After` that is a date.
    pub wall: SystemTime,
    /// Random bits for the ids of tool calls that come without one.
    pub seed: u64,
}

/// Decodes the body of an answer from pieces of any size, event stream or whole, success or error.
///
/// Chunks and error are the same wherever the pieces are cut. A call whose
/// arguments the token limit cut is left out: its finish reason says `length`, and it must not run.
///
/// ```
/// use beluga_core::{FinishReason, ModelChunk};
/// use beluga_providers::llm::{AnswerDecoder, AnswerHead, OPENAI};
///
/// let head = AnswerHead {
///     status: http::StatusCode::OK,
///     headers: http::HeaderMap::new(),
///     wall: std::time::SystemTime::UNIX_EPOCH,
///     seed: 0,
/// };
/// let mut decoder = AnswerDecoder::new(&OPENAI, head);
/// decoder.feed(br#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#).unwrap();
/// decoder.end().unwrap();
/// let chunks: Vec<ModelChunk> = std::iter::from_fn(|| decoder.pop()).collect();
/// assert_eq!(chunks[1], ModelChunk::Text { text: "Hi".into() });
/// assert!(matches!(&chunks[2], ModelChunk::AnswerNotes(notes) if notes.finish_word.as_deref() == Some("stop")));
/// assert_eq!(chunks[3], ModelChunk::Finished { reason: FinishReason::Stop, raw_usage: None });
/// ```
pub struct AnswerDecoder {
    provider: &'static str,
    head: AnswerHead,
    framing: Framing,
    form: Form,
    dialect: Box<dyn Decode>,
    chunks: VecDeque<ModelChunk>,
    received: usize,
    is_complete: bool,
    secret: Option<beluga_core::SecretString>,
}

/// A dialect's half of decoding. Chunks go to the end of `out`; the last one is `Finished`, before it `AnswerNotes` if
/// there is anything to note.
pub(super) trait Decode: Send + fmt::Debug {
    /// Takes one event of a stream, however it was framed.
    fn event(&mut self, event: &SseEvent<'_>, out: &mut VecDeque<ModelChunk>) -> Result<()>;

    /// Takes a whole answer.
    fn whole(&mut self, body: &[u8], out: &mut VecDeque<ModelChunk>) -> Result<()>;

    /// Takes the end of a stream that has not said itself that it is complete.
    fn end(&mut self, out: &mut VecDeque<ModelChunk>) -> Result<()>;
}

enum Form {
    /// Nothing but white space came yet.
    Unknown,
    Events(Frames),
    Whole(Vec<u8>),
    Refusal(Vec<u8>),
}

impl AnswerDecoder {
    /// Makes the decoder of one answer of a vendor.
    #[must_use]
    pub fn new(profile: &Profile, head: AnswerHead) -> Self {
        let grammar = profile.dialect.grammar();
        let dialect = grammar.decoder(profile, head.seed);
        let form = if head.status.is_success() { Form::Unknown } else { Form::Refusal(Vec::new()) };
        Self {
            provider: profile.otel_name,
            head,
            framing: grammar.facts().framing,
            form,
            dialect,
            chunks: VecDeque::new(),
            received: 0,
            is_complete: false,
            secret: None,
        }
    }

    /// Names the key that was sent, so that an error never repeats it.
    #[must_use]
    pub fn with_secret(mut self, secret: Option<beluga_core::SecretString>) -> Self {
        self.secret = secret;
        self
    }

    /// Takes the next piece of the body. After the end of an answer pieces are ignored.
    ///
    /// # Errors
    /// `provider_unavailable` if the bytes are no answer, or more than [`ANSWER_MAX_BYTES`]; the vendor's own error, if
    /// it sent one inside the stream. Chunks decoded before are still there.
    pub fn feed(&mut self, piece: &[u8]) -> Result<()> {
        if self.is_complete {
            return Ok(());
        }
        let result = self.take(piece);
        result.map_err(|error| self.explain(error))
    }

    /// Takes the end of the body.
    ///
    /// # Errors
    /// The vendor's error if the status was one; `provider_unavailable` if the answer was not finished.
    pub fn end(&mut self) -> Result<()> {
        if self.is_complete {
            return Ok(());
        }
        let result = self.finish();
        result.map_err(|error| self.explain(error))
    }

    /// Returns the next chunk.
    pub fn pop(&mut self) -> Option<ModelChunk> {
        self.chunks.pop_front()
    }

    /// Returns whether the answer is complete: what follows in the body does not matter.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn take(&mut self, piece: &[u8]) -> Result<()> {
        self.received = self.received.saturating_add(piece.len());
        if self.received > ANSWER_MAX_BYTES {
            return Err(Error::provider_unavailable(format!("the answer is longer than {ANSWER_MAX_BYTES} bytes")));
        }
        if matches!(self.form, Form::Unknown) {
            let Some(first) = piece.iter().find(|byte| !byte.is_ascii_whitespace()) else { return Ok(()) };
            self.form = match self.framing.open(*first, &self.head.headers) {
                BodyForm::Whole => Form::Whole(Vec::new()),
                BodyForm::Stream(frames) => Form::Events(frames),
            };
        }
        let Self { form, dialect, chunks, is_complete, .. } = self;
        match form {
            Form::Unknown => {}
            Form::Whole(body) => body.extend_from_slice(piece),
            Form::Refusal(body) => {
                let room = ERROR_MAX_BYTES.saturating_sub(body.len()).min(piece.len());
                body.extend_from_slice(piece.get(..room).unwrap_or_default());
                if body.len() >= ERROR_MAX_BYTES {
                    return self.finish();
                }
            }
            Form::Events(events) => {
                events.feed(piece, |event| deliver(&event, dialect.as_mut(), chunks, is_complete))?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        let Self { form, dialect, chunks, is_complete, head, secret, .. } = self;
        match form {
            Form::Unknown => return Err(fault::half()),
            Form::Refusal(body) => {
                let wait = retry_after(&head.headers, head.wall);
                let secret = secret.as_ref().map(beluga_core::ExposeSecret::expose_secret);
                return Err(VendorError::parse(body).into_error(head.status.as_u16(), wait, secret));
            }
            Form::Whole(body) => dialect.whole(body, chunks)?,
            Form::Events(events) => {
                events.finish(|event| deliver(&event, dialect.as_mut(), chunks, is_complete))?;
                if !*is_complete {
                    dialect.end(chunks)?;
                }
            }
        }
        *is_complete = matches!(chunks.back(), Some(ModelChunk::Finished { .. }));
        if *is_complete { Ok(()) } else { Err(fault::half()) }
    }

    fn explain(&self, error: Error) -> Error {
        let mut error = error.with_op("model.stream").with("provider", self.provider);
        // A vendor that wants to be left alone says so in the head, whatever broke later.
        if let (Retry::Now | Retry::After(_), Some(wait)) =
            (error.retry(), retry_after(&self.head.headers, self.head.wall))
        {
            error = error.with_retry(Retry::After(wait));
        }
        let id = REQUEST_ID_HEADERS.iter().find_map(|name| self.head.headers.get(*name)?.to_str().ok());
        match id {
            Some(id) => error.with("request_id", id.chars().take(128).collect::<String>()),
            None => error,
        }
    }
}

fn deliver(
    event: &SseEvent<'_>,
    dialect: &mut dyn Decode,
    chunks: &mut VecDeque<ModelChunk>,
    is_complete: &mut bool,
) -> Result<()> {
    if *is_complete {
        return Ok(());
    }
    let before = chunks.len();
    dialect.event(event, chunks)?;
    *is_complete = chunks.len() > before && matches!(chunks.back(), Some(ModelChunk::Finished { .. }));
    Ok(())
}

impl fmt::Debug for AnswerDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerDecoder")
            .field("provider", &self.provider)
            .field("status", &self.head.status)
            .field("received", &self.received)
            .field("is_complete", &self.is_complete)
            .finish_non_exhaustive()
    }
}
