//! Errors as problem details (RFC 9457), also where no handler was reached.

use std::any::Any;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::middleware::Next;
use axum::response::IntoResponse;
use beluga_core::{Code, Error, RequestId};
use beluga_runtime::task;

/// The media type of problem details.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The most bytes of all request headers, names and values.
const HEADERS_MAX_BYTES: usize = 32 * 1024;

/// An error on its way to a client.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Error);

/// The error behind a response, for whoever logs it: the client gets less.
#[derive(Debug, Clone)]
pub(super) struct Cause(pub(super) Arc<Error>);

/// What a handler answers.
pub(super) type Answer<T> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

/// Names the request in the body of a failed answer.
pub(super) fn name_request(response: &mut Response<Body>, id: &RequestId) {
    let Some(Cause(error)) = response.extensions().get::<Cause>() else { return };
    let mut problem = error.problem();
    problem.request_id = Some(id.clone());
    if let Ok(body) = serde_json::to_vec(&problem) {
        *response.body_mut() = Body::from(body);
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let problem = self.0.problem();
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        if let Some(wait) = problem.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000).max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Cause(Arc::new(self.0)));
        response
    }
}

/// Answers a path that is no route.
pub(super) async fn no_such_route(request: Request) -> Failure {
    let path: String = request.uri().path().chars().take(200).flat_map(char::escape_default).collect();
    Failure(Error::not_found("no such route").with("path", path))
}

/// Answers a method the route does not have; the `Allow` header is set by the router.
pub(super) async fn method_not_allowed(request: Request) -> Failure {
    Failure(
        Error::invalid_input("the route does not take this method")
            .with_status(StatusCode::METHOD_NOT_ALLOWED.as_u16())
            .with("method", request.method()),
    )
}

/// Answers for a handler that panicked; the connection and everybody else go on.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands over the payload")]
pub(super) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let error = task::panicked("http.request", payload.as_ref());
    tracing::error!(%error, "a request handler panicked");
    Failure(Error::internal("the request handler panicked")).into_response()
}

/// Refuses requests whose headers are too large in sum.
pub(super) async fn limit_head(request: Request, next: Next) -> Response<Body> {
    let bytes: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if bytes > HEADERS_MAX_BYTES {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.as_u16();
        let error = Error::invalid_input("the headers are too large")
            .with_status(status)
            .with("limit_bytes", HEADERS_MAX_BYTES);
        return Failure(error).into_response();
    }
    next.run(request).await
}

/// Returns a header that may be given once; its value as text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Answer<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = |what: &'static str| Failure(Error::new(Code::InvalidInput, what).with("header", name));
    if values.next().is_some() {
        return Err(wrong("the header is given twice"));
    }
    value.to_str().map(Some).map_err(|_| wrong("the header holds more than visible ASCII"))
}
