//! Reads the body of a turn's request: size, media type, JSON, fields; each error names what is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use beluga_core::{Code, Error, Result, SessionId};
use beluga_runtime::time;
use serde_json::{Map, Value};

use super::problem::{Answer, header};

/// The most time a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_MAX_BYTES: usize = 255;

/// What a turn is asked with.
#[derive(Debug)]
pub(super) struct TurnRequest {
    pub(super) input: String,
    pub(super) session: Option<SessionId>,
    pub(super) idempotency_key: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) cancel_on_disconnect: bool,
}

impl TurnRequest {
    /// Reads a request. `streams` tells whether `cancel_on_disconnect` is a field of it.
    pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize, streams: bool) -> Answer<Self> {
        let idempotency_key = idempotency_key(headers)?;
        check_media_type(headers)?;
        let mut fields = read_object(headers, body, limit).await?;
        let input = text(&mut fields, "input")?.ok_or_else(|| missing("input"))?;
        if input.trim().is_empty() {
            return Err(Error::invalid_input("input must not be empty").with("field", "input").into());
        }
        let session = text(&mut fields, "session")?.map(SessionId::parse).transpose()?;
        let metadata = labels(&mut fields)?;
        let cancel_on_disconnect = if streams { flag(&mut fields, "cancel_on_disconnect")? } else { false };
        if let Some(name) = fields.keys().next() {
            let known =
                if streams { "input, session, metadata, cancel_on_disconnect" } else { "input, session, metadata" };
            let name: String = name.chars().take(64).flat_map(char::escape_default).collect();
            return Err(Error::invalid_input("unknown field").with("field", name).with("known", known).into());
        }
        Ok(Self { input, session, idempotency_key, metadata, cancel_on_disconnect })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Answer<Option<String>> {
    let Some(key) = header(headers, "idempotency-key")? else { return Ok(None) };
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX_BYTES {
        let error = Error::invalid_input("the idempotency key is empty or too long");
        return Err(error.with("limit_bytes", IDEMPOTENCY_KEY_MAX_BYTES).into());
    }
    Ok(Some(key.to_owned()))
}

/// Insists on JSON: a browser cannot send it across origins without asking first.
pub(super) fn check_media_type(headers: &HeaderMap) -> Answer<()> {
    let given = header(headers, CONTENT_TYPE.as_str())?.unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    let given: String = given.chars().take(100).collect();
    let error = Error::invalid_input("the body must be sent as Content-Type: application/json")
        .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16())
        .with("content_type", if given.is_empty() { "(none)" } else { &given });
    Err(error.into())
}

async fn read_object(headers: &HeaderMap, body: Body, limit: usize) -> Result<Map<String, Value>> {
    let too_large = || {
        Error::invalid_input("the body is too large")
            .with_status(StatusCode::PAYLOAD_TOO_LARGE.as_u16())
            .with("limit_bytes", limit)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(too_large());
    }
    let read = time::timeout(BODY_TIMEOUT, to_bytes(body, limit)).await;
    let read = read.map_err(|error| error.with_status(StatusCode::REQUEST_TIMEOUT.as_u16()))?;
    let bytes = read.map_err(|error| {
        let inner = std::error::Error::source(&error);
        if inner.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
            too_large()
        } else {
            Error::decode("the body broke off").with_source(error)
        }
    })?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(other) => Err(Error::invalid_input("the body must be a JSON object").with("got", kind_of(&other))),
        Err(error) => Err(Error::new(Code::Decode, "the body is no JSON")
            .with("line", error.line())
            .with("column", error.column())),
    }
}

fn text(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(name, "a string", &other)),
    }
}

fn flag(fields: &mut Map<String, Value>, name: &'static str) -> Result<bool> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(other) => Err(wrong_type(name, "true or false", &other)),
    }
}

/// Reads the labels; how many and how long they may be is checked with the turn.
fn labels(fields: &mut Map<String, Value>) -> Result<BTreeMap<String, String>> {
    match fields.remove("metadata") {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(labels)) => labels
            .into_iter()
            .map(|(key, value)| match value {
                Value::String(value) => Ok((key, value)),
                other => Err(wrong_type("metadata", "an object of strings", &other)),
            })
            .collect(),
        Some(other) => Err(wrong_type("metadata", "an object of strings", &other)),
    }
}

fn missing(name: &'static str) -> Error {
    Error::invalid_input(format!("{name} is required")).with("field", name)
}

fn wrong_type(name: &'static str, wanted: &str, got: &Value) -> Error {
    Error::invalid_input(format!("{name} must be {wanted}")).with("field", name).with("got", kind_of(got))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    async fn read(body: impl Into<Body>, streams: bool) -> Result<TurnRequest> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        TurnRequest::read(&headers, body.into(), 100, streams).await.map_err(|failure| failure.0)
    }

    #[tokio::test]
    async fn a_request_is_read_field_by_field() {
        let request = read(r#"{"input":"hi","session":"s-1","cancel_on_disconnect":true}"#, true).await.unwrap();
        assert_eq!((request.input.as_str(), request.session.unwrap().as_str()), ("hi", "s-1"));
        assert!(request.cancel_on_disconnect);
        assert!(read(r#"{"input":"hi","session":null}"#, false).await.unwrap().session.is_none());
    }

    #[tokio::test]
    async fn each_wrong_body_is_told_what_is_wrong() {
        for (body, status, told) in [
            ("", 400, "no JSON"),
            ("{\"input\"", 400, "no JSON"),
            ("\u{0}\u{1}", 400, "no JSON"),
            ("[]", 400, "must be a JSON object (got: an array)"),
            ("{}", 400, "input is required"),
            (r#"{"input":7}"#, 400, "input must be a string (field: input, got: a number)"),
            (r#"{"input":"  "}"#, 400, "must not be empty"),
            (r#"{"input":"a","session":["s"]}"#, 400, "session must be a string"),
            (r#"{"input":"a","session":"../etc"}"#, 400, "session must be 1 to 64"),
            (r#"{"input":"a","metadata":["x"]}"#, 400, "metadata must be an object of strings"),
            (r#"{"input":"a","metadata":{"x":1}}"#, 400, "metadata must be an object of strings"),
            (r#"{"input":"a","sesion":"s"}"#, 400, "unknown field (field: sesion"),
            (r#"{"input":"a","cancel_on_disconnect":true}"#, 400, "unknown field"),
            (&format!(r#"{{"input":"{}"}}"#, "x".repeat(200)), 413, "too large (limit_bytes: 100)"),
        ] {
            let problem = read(body.to_owned(), false).await.unwrap_err().problem();
            assert_eq!(problem.status, status, "{body}: {}", problem.detail);
            assert!(problem.detail.contains(told), "{body}: {}", problem.detail);
        }
    }

    #[tokio::test]
    async fn only_json_is_taken() {
        for kind in ["", "text/plain", "application/x-www-form-urlencoded"] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            let failure = TurnRequest::read(&headers, Body::from("{}"), 100, false).await.unwrap_err();
            assert_eq!(failure.0.http_status(), 415);
        }
    }
}
