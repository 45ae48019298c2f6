//! Takes the body of a turn's request off the connection: key, media type, size, time.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use beluga_core::{Error, Result};
use beluga_runtime::time;
use bytes::Bytes;

use super::problem::{Answer, header};
use crate::request::{TurnRequest, check_key};

/// The most time a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the request of a turn. `streams` tells whether `cancel_on_disconnect` is a field of it.
pub(super) async fn read_turn(headers: &HeaderMap, body: Body, limit: usize, streams: bool) -> Answer<TurnRequest> {
    let key = header(headers, "idempotency-key")?.map(check_key).transpose()?;
    check_media_type(headers)?;
    let bytes = read(headers, body, limit).await?;
    Ok(TurnRequest::parse(&bytes, key.as_deref(), streams)?)
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

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes> {
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
    read.map_err(|error| {
        let inner = std::error::Error::source(&error);
        if inner.is_some_and(|source| source.is::<http_body_util::LengthLimitError>()) {
            too_large()
        } else {
            Error::decode("the body broke off").with_source(error)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[tokio::test]
    async fn a_body_that_is_too_large_is_told_the_limit() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        let body = Body::from(format!(r#"{{"input":"{}"}}"#, "x".repeat(200)));
        let problem = read_turn(&headers, body, 100, false).await.unwrap_err().0.problem();
        assert_eq!(problem.status, 413);
        assert!(problem.detail.contains("too large (limit_bytes: 100)"), "{}", problem.detail);
        let request = read_turn(&headers, Body::from(r#"{"input":"hi"}"#), 100, false).await.unwrap();
        assert_eq!(request.input, "hi");
    }

    #[tokio::test]
    async fn only_json_is_taken() {
        for kind in ["", "text/plain", "application/x-www-form-urlencoded"] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            let failure = read_turn(&headers, Body::from("{}"), 100, false).await.unwrap_err();
            assert_eq!(failure.0.http_status(), 415);
        }
    }
}
