//! Answers as headers: one reply, one item, the end of a stream.

use std::time::Duration;

use beluga_core::{Code, Error, MessageId, Problem, Result, Retry};
use bytes::Bytes;

use super::{CODEC, EOS, Header, Headers, ID, SEQ, SERVICE_ERROR, SERVICE_ERROR_CODE, escape, id_text, malformed};
use crate::wire::Codec;

/// What an answer says.
#[derive(Debug)]
pub enum Answered {
    /// A value: a reply, or an item of a stream.
    Value {
        /// The number of an item; `None` for a reply.
        number: Option<u64>,
        /// How the value is written.
        codec: Codec,
        /// The value.
        payload: Bytes,
    },
    /// The end of a stream.
    End {
        /// How many items there were.
        items: u64,
        /// `None` for an end in order.
        error: Option<Error>,
    },
    /// An error in place of a reply.
    Failed(Error),
}

/// Writes a reply as headers and body.
#[must_use]
pub fn of_reply(of: MessageId, codec: Codec, outcome: Result<Bytes>) -> (Vec<Header>, Bytes) {
    let id = (ID, id_text(of));
    match outcome {
        Ok(payload) => (vec![id, (CODEC, codec.as_str().to_owned())], payload),
        Err(error) => {
            let (mut headers, body) = failure(&error);
            headers.insert(0, id);
            (headers, body)
        }
    }
}

/// Writes an item of a stream as headers; its body is the item.
#[must_use]
pub fn of_item(of: MessageId, codec: Codec, number: u64) -> Vec<Header> {
    vec![(ID, id_text(of)), (CODEC, codec.as_str().to_owned()), (SEQ, number.to_string())]
}

/// Writes the end of a stream as headers and body.
///
/// ```
/// use beluga_core::{Error, MessageId};
/// use beluga_runtime::wire::headers::{self, Answered};
///
/// let (pairs, body) = headers::of_end(MessageId(1), 3, Some(&Error::cancelled("the caller left")));
/// assert!(pairs.contains(&("Beluga-Eos", "cancelled".to_owned())));
/// assert!(pairs.contains(&("Nats-Service-Error-Code", "499".to_owned())));
/// let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str()));
/// let Answered::End { items, error } = headers::read_answer(pairs, body)? else { unreachable!() };
/// assert!(items == 3 && error.unwrap().is_cancelled());
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[must_use]
pub fn of_end(of: MessageId, items: u64, error: Option<&Error>) -> (Vec<Header>, Bytes) {
    let how = match error {
        None => "ok",
        Some(error) if error.is_cancelled() => "cancelled",
        Some(_) => "err",
    };
    let (failure, body) = error.map(failure).unwrap_or_default();
    let mut headers = vec![(ID, id_text(of)), (EOS, how.to_owned()), (SEQ, items.to_string())];
    headers.extend(failure);
    (headers, body)
}

/// Reads an answer from headers and body.
///
/// # Errors
/// `invalid_input` names the header that is missing, doubled or malformed.
pub fn read_answer<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    body: impl Into<Bytes>,
) -> Result<Answered> {
    let (headers, body) = (Headers::read(headers)?, body.into());
    let status = headers.get(SERVICE_ERROR_CODE);
    let error = status.map(|status| read_error(status, headers.get(SERVICE_ERROR), &body));
    if let Some(how) = headers.get(EOS) {
        let error = match (how, error) {
            ("ok", None) => None,
            ("err" | "cancelled", Some(error)) => Some(error),
            ("cancelled", None) => Some(Error::cancelled("the stream was cancelled")),
            _ => return Err(malformed(EOS)),
        };
        return Ok(Answered::End { items: headers.number(SEQ)?.unwrap_or(0), error });
    }
    if let Some(error) = error {
        return Ok(Answered::Failed(error));
    }
    let codec = headers.get(CODEC).map_or(Some(Codec::Json), Codec::parse).ok_or_else(|| malformed(CODEC))?;
    Ok(Answered::Value { number: headers.number(SEQ)?, codec, payload: body })
}

/// Writes an error: status and text for whoever knows NATS micro services, problem details for whoever knows HTTP.
fn failure(error: &Error) -> (Vec<Header>, Bytes) {
    let problem = error.problem();
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let text = escape_line(&format!("{}: {}", problem.code, problem.detail));
    (vec![(SERVICE_ERROR, text), (SERVICE_ERROR_CODE, problem.status.to_string())], Bytes::from(body))
}

/// The longest error text in a header, in bytes. The body has all of it.
const LINE_MAX_BYTES: usize = 256;

/// Makes one line of a text that people read: blanks stay, what is not visible becomes `%XX`.
fn escape_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.split(' ') {
        let part = escape(part);
        if line.len() + part.len() >= LINE_MAX_BYTES {
            break;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&part);
    }
    line
}

/// Reads an error back: from the body if it is one of ours, else from status and text.
fn read_error(status: &str, text: Option<&str>, body: &[u8]) -> Error {
    if let Ok(problem) = Codec::Json.decode::<Problem>(body) {
        return of_problem(problem);
    }
    let code = match status {
        "400" | "422" => Code::InvalidInput,
        "401" => Code::AuthError,
        "403" => Code::PermissionDenied,
        "404" => Code::NotFound,
        "409" => Code::Conflict,
        "429" => Code::RateLimit,
        "499" => Code::Cancelled,
        "502" => Code::ProviderUnavailable,
        "503" => Code::Unavailable,
        "504" => Code::Timeout,
        _ => Code::Internal,
    };
    Error::new(code, text.unwrap_or("the service answered with an error").to_owned())
}

fn of_problem(problem: Problem) -> Error {
    let retry = match (problem.retryable, problem.retry_after_ms) {
        (false, _) => Retry::Never,
        (true, Some(millis)) => Retry::After(Duration::from_millis(millis)),
        (true, None) => Retry::Now,
    };
    let error = Error::new(problem.code, problem.detail).with_retry(retry);
    let error = if problem.status == problem.code.http_status() { error } else { error.with_status(problem.status) };
    match problem.partial {
        Some(partial) => error.with(beluga_core::PARTIAL, partial),
        None => error,
    }
}
