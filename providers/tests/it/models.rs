//! The laws of `ChatModel`, checked over both dialects against servers that behave well, badly, and not at all.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use beluga_core::{CallContext, ChatModel, Code, Content, Error, FinishReason, ModelAnswer, ModelChunk, Retry};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::support::{context, hasty_host, hello, host, model, model_on, model_with, raw};

const KINDS: [&str; 2] = ["openai", "anthropic"];

const CHAT: &str = concat!(
    "data: {\"id\":\"c1\",\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Hel\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t1\",\"function\":{\"name\":\"clock\",\"arguments\":\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
    "data: [DONE]\n\n",
);

const MESSAGES: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"c1\",\"model\":\"m1\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hel\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"lo\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"clock\",\"input\":{}}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":2}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

fn good_body(kind: &str) -> &'static str {
    if kind == "anthropic" { MESSAGES } else { CHAT }
}

fn good_start(kind: &str) -> &'static str {
    let text = good_body(kind);
    let end = text.match_indices("\n\n").nth(if kind == "anthropic" { 3 } else { 0 }).unwrap().0;
    &text[..end + 2]
}

/// What a server was sent.
type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// Serves a router on a free port of this machine until the test ends; returns its address.
#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/v1")
}

/// Answers every request the same way.
pub(crate) async fn answering(
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> String {
    let respond = move || async move {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Body::from(body)).unwrap()
    };
    serve(Router::new().fallback(respond)).await
}

pub(crate) async fn chunks(model: &Arc<dyn ChatModel>, cx: CallContext) -> (Vec<ModelChunk>, Option<Error>) {
    let mut stream = model.stream(hello(), cx);
    let (mut chunks, mut failure) = (Vec::new(), None);
    while let Some(item) = stream.next().await {
        assert!(failure.is_none(), "error_is_last");
        match item {
            Ok(chunk) => chunks.push(chunk),
            Err(error) => failure = Some(error),
        }
    }
    assert!(stream.next().await.is_none(), "an ended stream stays ended");
    (chunks, failure)
}

pub(crate) async fn failure(kind: &str, base_url: &str) -> Error {
    let (_, failure) = chunks(&model(kind, base_url), context()).await;
    failure.expect("a failure")
}

#[tokio::test]
async fn stream_ends_with_finished_and_tool_calls_are_whole() {
    for kind in KINDS {
        let base = answering(200, &[("content-type", "text/event-stream")], good_body(kind)).await;
        let (chunks, failure) = chunks(&model(kind, &base), context()).await;
        assert!(failure.is_none(), "{kind}: {failure:?}");
        let finished = chunks.iter().filter(|chunk| matches!(chunk, ModelChunk::Finished { .. })).count();
        assert_eq!(finished, 1, "{kind}");
        let Some(ModelChunk::Finished { reason, raw_usage }) = chunks.last() else { panic!("{kind}: {chunks:?}") };
        assert_eq!(*reason, FinishReason::ToolCalls);
        assert!(raw_usage.is_some());
        let answer = ModelAnswer::collect(stream::iter(chunks.into_iter().map(Ok)).boxed()).await.unwrap();
        assert_eq!(answer.message.text(), "Hello");
        let calls: Vec<_> = answer.message.tool_calls().collect();
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].id.as_str(), calls[0].name.as_str(), calls[0].arguments.as_str()), ("t1", "clock", "{}"));
        assert_eq!((answer.usage.input_tokens, answer.usage.output_tokens), (3, 2));
        assert_eq!((answer.id.as_deref(), answer.message.model.as_deref()), (Some("c1"), Some("m1")));
    }
}

#[tokio::test]
async fn the_key_and_the_vendors_headers_are_sent() {
    let seen = Seen::default();
    async fn keep(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> StatusCode {
        seen.lock().push((headers, body));
        StatusCode::INTERNAL_SERVER_ERROR
    }
    let base = serve(Router::new().fallback(keep).with_state(Arc::clone(&seen))).await;
    for kind in KINDS {
        failure(kind, &base).await;
    }
    let seen = seen.lock();
    assert_eq!(seen[0].0["authorization"], "Bearer key-of-the-test");
    assert_eq!(seen[1].0["x-api-key"], "key-of-the-test");
    assert_eq!(seen[1].0["anthropic-version"], "2023-06-01");
    assert_eq!(seen[0].0["accept-encoding"], "identity");
    let body: serde_json::Value = serde_json::from_slice(&seen[0].1).unwrap();
    assert_eq!(
        body,
        serde_json::json!({
            "model": "test-model",
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    );
}

#[tokio::test]
async fn a_compatible_server_may_go_without_key_stream_and_stream_options() {
    let seen = Seen::default();
    async fn keep(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> &'static str {
        seen.lock().push((headers, body));
        r#"{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}"#
    }
    let base = serve(Router::new().fallback(keep).with_state(Arc::clone(&seen))).await;
    let model = model_with("openai-compatible", &base, |config| {
        config.api_key = None;
        config.options.insert("stream".into(), false.into());
        config.options.insert("max_tokens".into(), 9.into());
        config.options.insert("headers".into(), serde_json::json!({"x-gateway": "g"}));
    });
    assert_eq!(model.generate(hello(), context()).await.unwrap().message.text(), "whole");
    let seen = seen.lock();
    assert!(!seen[0].0.contains_key("authorization"));
    assert_eq!(seen[0].0["x-gateway"], "g");
    let body: serde_json::Value = serde_json::from_slice(&seen[0].1).unwrap();
    let messages = serde_json::json!([{"role": "user", "content": "Hello"}]);
    assert_eq!(body, serde_json::json!({"model": "test-model", "messages": messages, "max_tokens": 9}));
}

#[tokio::test]
async fn a_rate_limit_names_the_floor_of_the_wait() {
    for kind in KINDS {
        let base =
            answering(429, &[("retry-after", "7"), ("x-request-id", "r1")], r#"{"error":{"message":"slow"}}"#).await;
        let error = failure(kind, &base).await;
        assert_eq!((error.code(), error.retry()), (Code::RateLimit, Retry::After(Duration::from_secs(7))), "{kind}");
        assert_eq!(
            (error.get("provider"), error.get("status"), error.get("request_id")),
            (Some(kind), Some("429"), Some("r1"))
        );
    }
}

#[tokio::test]
async fn a_server_error_is_a_provider_that_may_be_tried_again() {
    for kind in KINDS {
        let base = answering(500, &[], "oops").await;
        let error = failure(kind, &base).await;
        assert_eq!(error.code(), Code::ProviderUnavailable, "{kind}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn garbage_is_a_provider_that_may_be_tried_again() {
    for kind in KINDS {
        for body in ["<html>hi</html>", "data: {\"choices\":[\n\n", "{\"hello\":1}", "[1]", "data: 7\n\n", "\u{0}\u{1}"]
        {
            let base = answering(200, &[], body).await;
            let error = failure(kind, &base).await;
            assert_eq!(error.code(), Code::ProviderUnavailable, "{kind} {body:?}");
            assert!(error.is_retryable());
            assert!(!format!("{error:?}").contains("hello"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_comes_after_what_was_said() {
    for kind in KINDS {
        let error =
            "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        let body = format!("{}{error}", good_start(kind));
        let base = answering(200, &[("content-type", "text/event-stream")], Box::leak(body.into_boxed_str())).await;
        let (chunks, failure) = chunks(&model(kind, &base), context()).await;
        assert!(chunks.contains(&ModelChunk::Text { text: "Hel".to_owned() }), "{kind}: {chunks:?}");
        assert_eq!(failure.unwrap().code(), Code::ProviderUnavailable, "{kind}");
    }
}

async fn raw_base(reply: String) -> String {
    format!("http://{}/v1", raw(reply).await)
}

#[tokio::test]
async fn half_a_stream_is_a_broken_provider() {
    for kind in KINDS {
        let start = good_start(kind);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{start}\r\n", start.len());
        let closed = format!("{head}connection: close\r\n\r\n{start}");
        for reply in [chunked, closed] {
            let base = raw_base(reply).await;
            let (chunks, failure) = chunks(&model(kind, &base), context()).await;
            assert!(chunks.contains(&ModelChunk::Text { text: "Hel".to_owned() }), "{kind}: {chunks:?}");
            let failure = failure.unwrap();
            assert_eq!(failure.code(), Code::ProviderUnavailable, "{kind}");
            assert!(failure.is_retryable());
        }
    }
}

#[tokio::test]
async fn an_answer_whose_last_word_was_said_survives_a_broken_connection() {
    for kind in KINDS {
        let body = good_body(kind);
        let cut = body.trim_end().rfind("\n\n").unwrap() + 2;
        let body = &body[..cut];
        let reply = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len());
        let (chunks, failure) = chunks(&model(kind, &raw_base(reply).await), context()).await;
        assert!(failure.is_none(), "{kind}: {failure:?}");
        assert!(matches!(chunks.last(), Some(ModelChunk::Finished { .. })), "{kind}: {chunks:?}");
    }
}

#[tokio::test]
async fn a_connection_closed_without_a_word_is_a_broken_provider() {
    for kind in KINDS {
        let error = failure(kind, &raw_base(String::new()).await).await;
        assert_eq!(error.code(), Code::ProviderUnavailable, "{kind}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn no_server_at_all_is_a_provider_that_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://user:hidden@{}/v1", listener.local_addr().unwrap());
    drop(listener);
    for kind in KINDS {
        let error = failure(kind, &base).await;
        assert_eq!(error.code(), Code::ProviderUnavailable, "{kind}");
        assert!(error.is_retryable());
        assert!(!format!("{error:?}").contains("hidden") && !format!("{error:?}").contains("key-of"), "{error:?}");
    }
}

#[tokio::test]
async fn an_address_with_https_speaks_tls_and_trusts_nobody_it_does_not_know() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}/v1", listener.local_addr().unwrap());
    let server = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 4096];
        let read = socket.read(&mut hello).await.unwrap();
        hello.truncate(read);
        hello
    };
    let (hello, error) = tokio::join!(server, failure("openai", &base));
    assert_eq!(hello[0], 0x16, "a TLS handshake");
    assert!(hello.windows(9).any(|window| window == b"\x08http/1.1"), "each answer has its own connection");
    assert_eq!(error.code(), Code::ProviderUnavailable);
}

#[tokio::test]
async fn an_endless_error_is_not_read_to_its_end() {
    let endless = || async {
        let pieces = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1000])));
        Response::builder().status(503).body(Body::from_stream(pieces)).unwrap()
    };
    let base = serve(Router::new().fallback(endless)).await;
    for kind in KINDS {
        let error = failure(kind, &base).await;
        assert_eq!((error.code(), error.get("status")), (Code::ProviderUnavailable, Some("503")), "{kind}");
    }
}

#[tokio::test]
async fn a_network_that_is_not_allowed_is_refused_at_once() {
    for kind in KINDS {
        let error = failure(kind, "http://192.0.2.1/v1").await;
        assert_eq!(error.code(), Code::PermissionDenied, "{kind}");
        assert!(!error.is_retryable());
    }
}

/// A server that sends the start of an answer and then nothing, and tells when its reader has gone.
async fn stuck(kind: &str) -> (String, oneshot::Receiver<()>) {
    let (gone_tx, gone_rx) = oneshot::channel::<()>();
    let gone_tx = Arc::new(Mutex::new(Some(gone_tx)));
    let start = good_start(kind);
    let respond = move || {
        let gone_tx = gone_tx.lock().take();
        async move {
            let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(start))]).chain(stream::once(async move {
                // Dropped, with what it holds, when the connection closes.
                let _held = gone_tx;
                std::future::pending().await
            }));
            Response::new(Body::from_stream(body))
        }
    };
    (serve(Router::new().fallback(respond)).await, gone_rx)
}

#[tokio::test]
async fn drop_cancels_the_request_in_flight() {
    for kind in KINDS {
        let (base, gone) = stuck(kind).await;
        let mut stream = model(kind, &base).stream(hello(), context());
        while !matches!(stream.next().await.unwrap().unwrap(), ModelChunk::Text { .. }) {}
        drop(stream);
        assert!(gone.await.is_err(), "the server's sender is dropped with the connection");
    }
}

#[tokio::test]
async fn cancel_ends_the_stream_and_the_request() {
    for kind in KINDS {
        let (base, gone) = stuck(kind).await;
        let cx = context();
        let mut stream = model(kind, &base).stream(hello(), cx.clone());
        while !matches!(stream.next().await.unwrap().unwrap(), ModelChunk::Text { .. }) {}
        let (item, ()) = tokio::join!(stream.next(), async { cx.cancel_token().cancel() });
        assert_eq!(item.unwrap().unwrap_err().code(), Code::Cancelled, "{kind}");
        assert!(stream.next().await.is_none());
        assert!(gone.await.is_err());
    }
}

#[tokio::test]
async fn the_deadline_ends_a_slow_stream() {
    for kind in KINDS {
        let (base, gone) = stuck(kind).await;
        let cx = CallContext::new().with_timeout(host().now(), Duration::from_millis(150));
        let (chunks, failure) = chunks(&model(kind, &base), cx).await;
        assert!(chunks.iter().any(Content::is_content), "{kind}");
        assert_eq!(failure.unwrap().code(), Code::Timeout, "{kind}");
        assert!(gone.await.is_err());
    }
}

#[tokio::test]
async fn a_vendor_that_stops_in_the_middle_is_timed_out() {
    for kind in KINDS {
        let (base, gone) = stuck(kind).await;
        let model = model_on(hasty_host(), kind, &base, |_| ());
        let (chunks, failure) = chunks(&model, CallContext::new()).await;
        assert!(chunks.iter().any(Content::is_content), "{kind}");
        let failure = failure.unwrap();
        assert_eq!((failure.code(), failure.message()), (Code::Timeout, "the vendor was silent for 120s"), "{kind}");
        assert!(gone.await.is_err());
    }
}

#[tokio::test]
async fn a_vendor_that_never_begins_is_timed_out() {
    let base = serve(Router::new().fallback(std::future::pending::<StatusCode>)).await;
    for kind in KINDS {
        let model = model_with(kind, &base, |config| config.timeout = Duration::from_millis(100));
        let (_, failure) = chunks(&model, context()).await;
        let failure = failure.unwrap();
        assert_eq!(failure.code(), Code::Timeout, "{kind}");
        assert!(failure.is_retryable());
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_first_poll_or_after_a_cancellation() {
    let (hit_tx, mut hit_rx) = mpsc::unbounded_channel();
    let respond = move || {
        hit_tx.send(()).unwrap();
        async { StatusCode::OK }
    };
    let base = serve(Router::new().fallback(respond)).await;
    for kind in KINDS {
        let model = model(kind, &base);
        drop(model.stream(hello(), context()));
        let cx = context();
        cx.cancel_token().cancel();
        let (_, failure) = chunks(&model, cx).await;
        assert_eq!(failure.unwrap().code(), Code::Cancelled);
        assert!(hit_rx.try_recv().is_err(), "{kind}");
        let (_, failure) = chunks(&model, context()).await;
        assert_eq!(failure.unwrap().code(), Code::ProviderUnavailable, "an empty answer is none");
        hit_rx.recv().await.unwrap();
    }
}

#[tokio::test]
async fn a_finished_answer_leaves_its_connection_for_the_next() {
    let peers: Arc<Mutex<Vec<std::net::SocketAddr>>> = Arc::default();
    async fn respond(
        State(peers): State<Arc<Mutex<Vec<std::net::SocketAddr>>>>,
        axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<std::net::SocketAddr>,
    ) -> Response {
        peers.lock().push(peer);
        // In two pieces, so that the body has no length and its end comes by itself.
        let pieces = [Ok::<_, std::io::Error>(Bytes::from(CHAT)), Ok(Bytes::new())];
        Response::new(Body::from_stream(stream::iter(pieces)))
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().fallback(respond).with_state(Arc::clone(&peers));
    let service = router.into_make_service_with_connect_info::<std::net::SocketAddr>();
    #[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
    tokio::spawn(async move { axum::serve(listener, service).await });
    let model = model("openai", &base);
    for _ in 0..3 {
        model.generate(hello(), context()).await.unwrap();
        // Putting a connection back takes a few turns of its tasks.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let peers = peers.lock();
    assert_eq!(peers.len(), 3);
    assert!(peers.iter().all(|peer| *peer == peers[0]), "{peers:?}");
}
