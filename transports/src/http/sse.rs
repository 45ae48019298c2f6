//! Server-sent events (WHATWG HTML §9.2, read 2026-11): a session's events as bytes, one chunk per ready batch.

use std::convert::Infallible;
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, Response};
use beluga_actors::session::{CURSOR, EventStream};
use beluga_core::{CancelToken, Cancelled, Error, Numbered};
use beluga_runtime::time;
use bytes::Bytes;
use futures_core::Stream;
use http_body::Frame;

/// How many bytes of ready events go into one chunk before it is written.
pub const BATCH_MAX_BYTES: usize = 16 * 1024;

/// The response headers that name the session and the turn.
const SESSION: HeaderName = HeaderName::from_static("x-beluga-session");
const TURN: HeaderName = HeaderName::from_static("x-beluga-turn");

/// Makes the response of a stream. It ends with the stream, or when `end` is cancelled.
pub(super) fn respond(events: EventStream, keep_alive: Duration, end: &CancelToken) -> Response<Body> {
    let session = HeaderValue::from_str(events.session().as_str());
    let turn = events.turn().map(|turn| HeaderValue::from_str(turn.as_str()));
    let body = EventBody {
        cursor: events.cursor(),
        events: Some(Box::pin(events)),
        quiet: Box::pin(time::sleep(keep_alive)),
        keep_alive,
        end: Box::pin(end.cancelled()),
        buffer: b": ok\n\n".to_vec(),
    };
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Proxies of the nginx family hold a response back otherwise.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    if let Ok(session) = session {
        headers.insert(SESSION, session);
    }
    if let Some(Ok(turn)) = turn {
        headers.insert(TURN, turn);
    }
    response
}

/// The body of a stream. Polled only when the connection takes bytes, so a slow reader pulls nothing.
struct EventBody {
    events: Option<Pin<Box<EventStream>>>,
    cursor: u64,
    quiet: Pin<Box<time::Sleep>>,
    keep_alive: Duration,
    end: Pin<Box<Cancelled>>,
    buffer: Vec<u8>,
}

impl EventBody {
    /// Moves what is ready into the buffer.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.buffer.len() < BATCH_MAX_BYTES {
            let Some(events) = self.events.as_mut() else { return };
            match events.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(event))) => {
                    self.cursor = event.number;
                    write_event(&mut self.buffer, &event);
                }
                Poll::Ready(Some(Err(error))) => {
                    write_farewell(&mut self.buffer, &error, self.cursor);
                    self.events = None;
                }
                Poll::Ready(None) => self.events = None,
                Poll::Pending => return self.check_end(cx),
            }
        }
    }

    /// Says good-bye when the node ends its streams; what was ready has been taken before.
    fn check_end(&mut self, cx: &mut Context<'_>) {
        if self.end.as_mut().poll(cx).is_ready() {
            write_farewell(&mut self.buffer, &Error::unavailable("the node is going away"), self.cursor);
            self.events = None;
        }
    }
}

impl http_body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        this.fill(cx);
        if this.buffer.is_empty() && this.events.is_some() {
            if this.quiet.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.buffer.extend_from_slice(b":\n\n");
        }
        if this.buffer.is_empty() {
            return Poll::Ready(None);
        }
        this.quiet.set(time::sleep(this.keep_alive));
        // The new timer has to know the task, or the next quiet time passes unnoticed.
        if this.quiet.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(std::mem::take(&mut this.buffer))))))
    }
}

/// Writes one event: its number, its name, itself as one line of JSON.
fn write_event(buffer: &mut Vec<u8>, event: &Numbered) {
    let before = buffer.len();
    let _ = write!(buffer, "id: {}\nevent: {}\ndata: ", event.number, event.event.name());
    match serde_json::to_writer(&mut *buffer, event) {
        Ok(()) => buffer.extend_from_slice(b"\n\n"),
        Err(error) => {
            buffer.truncate(before);
            tracing::error!(number = event.number, %error, "an event is no JSON");
        }
    }
}

/// Tells why the stream ends early and where to go on; a comment, so that it is no event of the session.
fn write_farewell(buffer: &mut Vec<u8>, error: &Error, cursor: u64) {
    let cursor = error.get(CURSOR).and_then(|text| text.parse().ok()).unwrap_or(cursor);
    let _ = write!(buffer, ": {}; go on with Last-Event-ID: {cursor}\n\n", error.code());
}
