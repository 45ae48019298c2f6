//! The request id: taken from the client or made, given back with every answer, and named in every failed one.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use beluga_core::RequestId;

use super::face::Face;
use super::problem::name_request;

/// The header that carries the id, both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts the request's id into its extensions and into the answer. An id of the client that is malformed, too long or
/// given twice is replaced, not refused: it is for people who read logs.
pub(super) async fn identify(State(face): State<Face>, mut request: Request, next: Next) -> Response {
    let id = given(request.headers()).unwrap_or_else(|| RequestId::from_bits(face.0.random.next_u128()));
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    name_request(&mut response, &id);
    response
}

fn given(headers: &HeaderMap) -> Option<RequestId> {
    let mut values = headers.get_all(REQUEST_ID).iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    RequestId::parse(first.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_well_formed_id_is_taken() {
        let of = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(REQUEST_ID, HeaderValue::from_str(value).unwrap());
            }
            given(&headers).map(|id| id.to_string())
        };
        assert_eq!(of(&["order/17"]).as_deref(), Some("order/17"));
        for refused in [&[][..], &[""], &["a b"], &["a\"b"], &["a", "a"], &["x".repeat(129).as_str()]] {
            assert_eq!(of(refused), None, "{refused:?}");
        }
    }
}
