//! The headers of the public contract.

use std::time::Duration;

use async_nats::HeaderMap;
use beluga_core::{CallContext, Code, Error, RequestId, Result, TraceContext};
use beluga_runtime::time;

/// Milliseconds the caller still waits.
pub const DEADLINE: &str = "Beluga-Deadline-Ms";

/// The key under which a repeated request has one effect.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The caller's name for the request, given back with errors.
pub const REQUEST_ID: &str = "Beluga-Request-Id";

/// How many messages of a stream the reader takes before it gives more credit.
pub const CREDIT: &str = "Beluga-Credit";

/// The place of a message in its stream, from 0: a gap is a lost message.
pub const SEQUENCE: &str = "Beluga-Seq";

/// The type of the event a message of a stream holds.
pub const EVENT: &str = "Beluga-Event";

/// Stands on the last message of a stream: `ok`, `error` or `cancelled`.
pub const END: &str = "Beluga-Eos";

/// The codec of the payload; outside clients speak `json` alone.
pub const CODEC: &str = "Beluga-Codec";

/// The caller's trace (W3C Trace Context, read 2026-11).
pub const TRACEPARENT: &str = "traceparent";

/// The error of an answer as NATS micro services write it (ADR-32, read 2026-11): text, and a number.
pub const ERROR: &str = async_nats::service::NATS_SERVICE_ERROR;
/// See [`ERROR`].
pub const ERROR_CODE: &str = async_nats::service::NATS_SERVICE_ERROR_CODE;

/// The longest text of an error header, in bytes; the body has the whole.
const ERROR_MAX_BYTES: usize = 512;

/// The most credit one message may give.
pub const CREDIT_MAX: u64 = 65_536;

/// What the headers of a request say.
#[derive(Debug, Default)]
pub(super) struct RequestHeaders<'a>(pub(super) Option<&'a HeaderMap>);

impl<'a> RequestHeaders<'a> {
    /// Returns a header that may be given once.
    ///
    /// # Errors
    /// `invalid_input` if it is given twice.
    fn one(&self, name: &'static str) -> Result<Option<&'a str>> {
        let mut values = self.0.into_iter().flat_map(|headers| headers.get_all(name));
        let value = values.next();
        if values.next().is_some() {
            return Err(Error::invalid_input("the header is given twice").with("header", name));
        }
        Ok(value.map(|value| value.as_str()))
    }

    /// Returns the idempotency key.
    pub(super) fn idempotency_key(&self) -> Result<Option<&'a str>> {
        self.one(IDEMPOTENCY_KEY)
    }

    /// Returns the trace the caller is part of. One that is malformed is none.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        TraceContext::parse(self.one(TRACEPARENT).ok()??)
    }

    /// Returns the caller's name for the request. One that is malformed is none: it is for people who read logs.
    pub(super) fn request_id(&self) -> Option<RequestId> {
        RequestId::parse(self.one(REQUEST_ID).ok()??).ok()
    }

    /// Puts the caller's deadline into the context, but never a later one than `limit`.
    ///
    /// # Errors
    /// `invalid_input` if it is no number.
    pub(super) fn deadline(&self, context: CallContext, limit: Option<Duration>) -> Result<CallContext> {
        let given = self.one(DEADLINE)?.map(|text| number(DEADLINE, text)).transpose()?.map(Duration::from_millis);
        let limit = match (given, limit) {
            (Some(given), Some(limit)) => Some(given.min(limit)),
            (given, limit) => given.or(limit),
        };
        Ok(match limit {
            Some(limit) => context.with_timeout(time::now(), limit),
            None => context,
        })
    }

    /// Returns the reader's first credit; `None` if it wants to be pushed.
    ///
    /// # Errors
    /// `invalid_input` if it is no number from 1 to [`CREDIT_MAX`].
    pub(super) fn credit(&self) -> Result<Option<u64>> {
        let Some(text) = self.one(CREDIT)? else { return Ok(None) };
        let credit = number(CREDIT, text)?;
        if !(1..=CREDIT_MAX).contains(&credit) {
            let error = Error::invalid_input(format!("credit is a number from 1 to {CREDIT_MAX}"));
            return Err(error.with("header", CREDIT));
        }
        Ok(Some(credit))
    }

    /// Refuses what is not JSON.
    ///
    /// # Errors
    /// `unsupported` names the codec.
    pub(super) fn check_codec(&self) -> Result<()> {
        match self.one(CODEC)? {
            None | Some("json") => Ok(()),
            Some(other) => {
                let shown: String = other.chars().take(32).flat_map(char::escape_default).collect();
                Err(Error::new(Code::Unsupported, "outside clients speak json alone").with("codec", shown))
            }
        }
    }
}

fn number(name: &'static str, text: &str) -> Result<u64> {
    text.trim().parse().map_err(|_| Error::invalid_input("the header must be a whole number").with("header", name))
}

/// Writes an error the way micro services do.
pub(super) fn put_error(headers: &mut HeaderMap, error: &Error) {
    let text: String = format!("{}: {}", error.code(), error.message())
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .scan(0, |bytes, letter| {
            *bytes += letter.len_utf8();
            (*bytes <= ERROR_MAX_BYTES).then_some(letter)
        })
        .collect();
    headers.insert(ERROR, text.as_str());
    headers.insert(ERROR_CODE, error.http_status().to_string().as_str());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, *value);
        }
        headers
    }

    #[test]
    fn wrong_headers_are_named() {
        let bad = headers(&[
            (DEADLINE, "soon"),
            (CREDIT, "0"),
            (CODEC, "b2"),
            (IDEMPOTENCY_KEY, "a"),
            (IDEMPOTENCY_KEY, "b"),
        ]);
        let request = RequestHeaders(Some(&bad));
        let told = |error: Error| error.to_string();
        assert!(told(request.deadline(CallContext::new(), None).unwrap_err()).contains(DEADLINE));
        assert!(told(request.credit().unwrap_err()).contains(CREDIT));
        assert!(told(request.check_codec().unwrap_err()).contains("b2"));
        assert!(told(request.idempotency_key().unwrap_err()).contains("twice"));
        let none = RequestHeaders(None);
        assert!(none.credit().unwrap().is_none() && none.trace().is_none() && none.check_codec().is_ok());
    }

    #[test]
    fn an_error_in_headers_is_one_short_line() {
        let mut map = HeaderMap::new();
        put_error(&mut map, &Error::not_found(format!("no\r\nsuch {}", "ä".repeat(600))));
        let text = map.get(ERROR).unwrap().as_str();
        assert!(text.starts_with("not_found: no  such ä") && text.len() <= ERROR_MAX_BYTES, "{text}");
        assert_eq!(map.get(ERROR_CODE).unwrap().as_str(), "404");
    }
}
