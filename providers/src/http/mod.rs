//! The one HTTP client of this crate: TLS on ring, one pool, a network policy, and what every caller needs to read
//! answers: server-sent events, AWS's event stream and `Retry-After`.
//!
//! Nothing else in Beluga uses `reqwest`. The client follows no redirect, repeats no request and keeps no cookie: those
//! are decisions of its callers. Time limits of a whole call belong to the callers too; here only connecting is bounded.

mod client;
mod event_stream;
mod lines;
mod retry_after;
mod sse;
mod tls;

pub use client::{CONNECT_TIMEOUT, HttpClient, HttpRequest, HttpResponse, Network};
pub use event_stream::{
    EVENT_STREAM_HEADERS_MAX_BYTES, EVENT_STREAM_PAYLOAD_MAX_BYTES, EventStreamDecoder, EventStreamKind,
    EventStreamMessage, EventStreamValue,
};
pub use lines::LineDecoder;
pub use retry_after::retry_after;
pub(crate) use sse::text;
pub use sse::{SSE_EVENT_MAX_BYTES, SseDecoder, SseEvent};
