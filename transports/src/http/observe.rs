//! The span and the metrics of each request.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use beluga_core::CallContext;
use beluga_runtime::telemetry::{HopKind, log_ids, request_id};
use beluga_runtime::{hop, time};

use super::access::Incoming;
use super::face::Face;
use super::problem::Cause;

/// Names of OpenTelemetry's HTTP conventions, version 1.41 (<https://opentelemetry.io/docs/specs/semconv/http/>).
const METHOD: &str = "http.request.method";
const ROUTE: &str = "http.route";
const STATUS: &str = "http.response.status_code";

/// Opens the root span of the call, hands its context on, and counts the answer.
pub(super) async fn observe(State(face): State<Face>, mut request: Request, next: Next) -> Response {
    let started = time::now();
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let method = request.method().clone();
    let incoming = request.extensions().get::<Incoming>().and_then(|incoming| incoming.0);
    let context = request.extensions_mut().remove::<CallContext>().unwrap_or_default();
    let identity = face.0.settings.sampler.start(incoming, &face.0.random);
    let (context, span) = hop!(
        context,
        identity,
        HopKind::Server,
        format!("{method} {route}"),
        { METHOD } = method.as_str(),
        { ROUTE } = route.as_str(),
        { STATUS } = tracing::field::Empty
    );
    let span = span.guard(&context);
    let (trace_id, span_id) = log_ids(&context);
    let request_id = request_id(&context).map(str::to_owned);
    request.extensions_mut().insert(context);
    let response = next.run(request).await;
    let status = response.status().as_u16();
    span.record(STATUS, status);
    match response.extensions().get::<Cause>() {
        Some(Cause(error)) if status >= 500 => {
            span.fail(error);
            tracing::warn!(%trace_id, %span_id, request_id, route, %method, status, %error, "a request failed");
        }
        _ => {
            span.end();
            tracing::debug!(%trace_id, %span_id, request_id, route, %method, status, "a request was answered");
        }
    }
    let labels = [("route", route), ("method", method.as_str().to_owned()), ("status", status.to_string())];
    metrics::counter!("beluga_http_requests_total", &labels).increment(1);
    metrics::histogram!("beluga_http_request_duration_seconds", &labels)
        .record(time::now().saturating_duration_since(started).as_secs_f64());
    response
}
