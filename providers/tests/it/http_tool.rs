//! The `http` tool against servers of this machine.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use beluga_core::{
    AgentName, CallContext, Code, Effect, Result, SessionId, StateAccess, Tool, ToolContext, ToolOutput, TurnId,
};
use beluga_providers::http::{HttpClient, Network};
use beluga_providers::tool::{AllowList, HttpTool, HttpToolSettings};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{context, host, raw};

type Seen = Arc<Mutex<Vec<(Method, Uri, HeaderMap, Bytes)>>>;

/// A server that remembers what it is sent; returns its `host:port`.
#[allow(clippy::disallowed_methods, reason = "the servers of these tests are tasks")]
async fn server(router: Router<Seen>, seen: &Seen) -> String {
    async fn keep(State(seen): State<Seen>, request: Request, next: axum::middleware::Next) -> Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        seen.lock().push((head.method.clone(), head.uri.clone(), head.headers.clone(), body.clone()));
        next.run(Request::from_parts(head, Body::from(body))).await
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let layer = axum::middleware::from_fn_with_state(Arc::clone(seen), keep);
    let router = router.layer(layer).with_state(Arc::clone(seen));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn tool(allow: &[&str]) -> HttpTool {
    tool_with(allow, |_| ())
}

fn tool_with(allow: &[&str], change: impl FnOnce(&mut HttpToolSettings)) -> HttpTool {
    let mut settings = HttpToolSettings { allow: AllowList::parse(allow).unwrap(), ..HttpToolSettings::default() };
    change(&mut settings);
    HttpTool::new(HttpClient::new(Network::LoopbackOnly).unwrap(), host(), settings)
}

fn tool_context(call: CallContext) -> ToolContext {
    ToolContext {
        call,
        idempotency_key: "session/turn/call é".into(),
        session: SessionId::parse("s").unwrap(),
        turn: TurnId::parse("t").unwrap(),
        agent: AgentName::parse("a").unwrap(),
        state: StateAccess::default(),
    }
}

async fn call(tool: &HttpTool, arguments: Value) -> Result<ToolOutput> {
    tool.call(arguments, tool_context(context())).await
}

fn page(output: &ToolOutput) -> &str {
    output.parts[0].as_text().unwrap()
}

#[tokio::test]
async fn nothing_is_permitted_unless_it_is_listed() {
    let seen = Seen::default();
    let server = server(Router::new().fallback(|| async { "hello" }), &seen).await;
    let url = format!("http://{server}/x");
    let error = call(&tool(&[]), json!({"url": url})).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    let error = call(&tool(&["127.0.0.1:1", "localhost:80"]), json!({"url": url})).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains(&server), "{error}");
    assert!(seen.lock().is_empty(), "nothing was sent");
    let output = call(&tool(&[&server]), json!({"url": url})).await.unwrap();
    assert!(page(&output).ends_with("\n\nhello") && page(&output).starts_with("HTTP 200 OK\n"), "{output:?}");
    assert!(!output.is_error);
}

#[tokio::test]
async fn other_schemes_and_credentials_are_refused() {
    for url in ["file:///etc/passwd", "ftp://127.0.0.1:80/", "http://user:pass@127.0.0.1:80/", "no address", ""] {
        let error = call(&tool(&["127.0.0.1:80"]), json!({"url": url})).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidInput, "{url}");
    }
}

#[tokio::test]
async fn reading_is_idempotent_and_everything_else_happens_once_under_a_key() {
    let seen = Seen::default();
    let server = server(Router::new().fallback(|| async { "ok" }), &seen).await;
    let tool = tool(&[&server]);
    let url = format!("http://{server}/");
    for (method, effect) in [("GET", Effect::Idempotent), ("HEAD", Effect::Idempotent), ("POST", Effect::Once)] {
        let arguments = json!({"url": url, "method": method});
        assert_eq!(tool.effect(&arguments), effect);
        call(&tool, arguments).await.unwrap();
    }
    assert_eq!(tool.effect(&json!({"url": url})), Effect::Idempotent);
    let seen = seen.lock();
    assert!(!seen[0].2.contains_key("idempotency-key") && !seen[1].2.contains_key("idempotency-key"));
    assert_eq!(seen[2].2["idempotency-key"], "session/turn/call%20%C3%A9");
}

#[tokio::test]
async fn bodies_are_text_or_json() {
    let seen = Seen::default();
    let server = server(Router::new().fallback(|| async { StatusCode::NO_CONTENT }), &seen).await;
    let tool = tool(&[&server]);
    let url = format!("http://{server}/");
    call(&tool, json!({"url": url, "method": "POST", "body": {"a": [1]}})).await.unwrap();
    call(&tool, json!({"url": url, "method": "PUT", "body": "plain", "headers": {"X-A": "b"}})).await.unwrap();
    let error = call(&tool, json!({"url": url, "body": {"a": 1}})).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidInput);
    let seen = seen.lock();
    assert_eq!(
        (&seen[0].2["content-type"], &seen[0].3[..]),
        (&"application/json".parse().unwrap(), &b"{\"a\":[1]}"[..])
    );
    assert_eq!((&seen[1].2["x-a"], &seen[1].3[..]), (&"b".parse().unwrap(), &b"plain"[..]));
}

#[tokio::test]
async fn headers_of_the_connection_cannot_be_set() {
    let tool = tool(&["127.0.0.1:1"]);
    for name in ["Host", "content-length", "Transfer-Encoding", "Connection", "Idempotency-Key", "bad name", "é"] {
        let arguments = json!({"url": "http://127.0.0.1:1/", "headers": {name: "x"}});
        assert_eq!(call(&tool, arguments).await.unwrap_err().code(), Code::InvalidInput, "{name}");
    }
    let arguments = json!({"url": "http://127.0.0.1:1/", "headers": {"X-A": "b\r\nX-C: d"}});
    assert_eq!(call(&tool, arguments).await.unwrap_err().code(), Code::InvalidInput);
    let arguments = json!({"url": "http://127.0.0.1:1/", "surprise": 1});
    assert_eq!(call(&tool, arguments).await.unwrap_err().code(), Code::InvalidInput);
}

#[tokio::test]
async fn a_redirect_is_checked_again_and_takes_no_secret_along() {
    let (seen, seen_other) = (Seen::default(), Seen::default());
    let other = server(Router::new().fallback(|| async { "there" }), &seen_other).await;
    let target = format!("http://{other}/landing");
    let to = |status: u16, target: String| {
        any(move || async move { (StatusCode::from_u16(status).unwrap(), [("location", target)]).into_response() })
    };
    let router = Router::new()
        .route("/out", to(307, target.clone()))
        .route("/see", to(303, target.clone()))
        .route("/near", to(302, "/here".to_owned()))
        .route("/loop", to(302, "/loop".to_owned()))
        .route("/file", to(302, "file:///etc/passwd".to_owned()))
        .route("/here", get(|| async { "here" }));
    let server = server(router, &seen).await;
    let arguments = |path: &str, method: &str| json!({"url": format!("http://{server}{path}"), "method": method, "headers": {"Authorization": "Bearer s", "X-Key": "s", "Accept": "text/*"}});

    let narrow = tool(&[&server]);
    let output = call(&narrow, arguments("/out", "POST")).await.unwrap();
    assert!(output.is_error && page(&output).contains("[the redirect was not followed: "), "{output:?}");
    assert!(seen_other.lock().is_empty(), "the other server was not reached");
    let output = call(&narrow, arguments("/file", "GET")).await.unwrap();
    assert!(output.is_error && !page(&output).contains("root:"), "{output:?}");
    assert!(page(&call(&narrow, arguments("/near", "GET")).await.unwrap()).ends_with("here"));
    assert!(seen.lock().last().unwrap().2.contains_key("authorization"), "the same server keeps the headers");
    let output = call(&narrow, arguments("/loop", "GET")).await.unwrap();
    assert!(page(&output).ends_with("[the redirect was not followed: more than 5 redirects]"), "{output:?}");
    assert_eq!(seen.lock().iter().filter(|request| request.1.path() == "/loop").count(), 6);

    let wide = tool(&[&server, &other]);
    assert!(page(&call(&wide, arguments("/out", "POST")).await.unwrap()).ends_with("there"));
    assert!(page(&call(&wide, arguments("/see", "POST")).await.unwrap()).ends_with("there"));
    let seen = seen_other.lock();
    assert_eq!((&seen[0].0, &seen[1].0), (&Method::POST, &Method::GET));
    for request in seen.iter() {
        assert!(!request.2.contains_key("authorization") && !request.2.contains_key("x-key"), "{:?}", request.2);
        assert_eq!(request.2["accept"], "text/*");
    }
    assert!(seen[0].2.contains_key("idempotency-key") && !seen[1].2.contains_key("idempotency-key"));
}

#[tokio::test]
async fn a_large_body_is_cut_with_a_note_and_not_read_on() {
    let endless = || async {
        let pieces = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1000])));
        Response::new(Body::from_stream(pieces))
    };
    let server = server(Router::new().fallback(endless), &Seen::default()).await;
    let tool = tool_with(&[&server], |settings| settings.body_max_bytes = 2500);
    let output = call(&tool, json!({"url": format!("http://{server}/")})).await.unwrap();
    assert!(page(&output).ends_with("x\n[cut here: only the first 2500 bytes are shown]"), "{output:?}");
    assert_eq!(page(&output).matches('x').count(), 2500);
}

#[tokio::test]
async fn binary_is_described_and_a_failed_status_is_a_failed_answer() {
    let router = Router::new()
        .route("/image", get(|| async { ([("content-type", "image/png")], &b"\x89PNG\x00"[..]) }))
        .fallback(|| async { (StatusCode::NOT_FOUND, "nothing here") });
    let server = server(router, &Seen::default()).await;
    let tool = tool(&[&server]);
    let output = call(&tool, json!({"url": format!("http://{server}/image")})).await.unwrap();
    assert!(page(&output).ends_with("[binary, 5 bytes, not shown]"), "{output:?}");
    let output = call(&tool, json!({"url": format!("http://{server}/gone")})).await.unwrap();
    assert!(output.is_error && page(&output).starts_with("HTTP 404 Not Found"), "{output:?}");
}

#[tokio::test]
async fn a_hanging_server_is_given_up_and_an_effect_is_never_called_undone() {
    let server = server(Router::new().fallback(std::future::pending::<StatusCode>), &Seen::default()).await;
    let tool = tool_with(&[&server], |settings| settings.timeout = Duration::from_millis(100));
    let url = format!("http://{server}/");
    assert_eq!(call(&tool, json!({"url": url})).await.unwrap_err().code(), Code::Timeout);
    let error = call(&tool, json!({"url": url, "method": "POST"})).await.unwrap_err();
    assert_eq!(error.code(), Code::UnknownOutcome);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut_with_a_note() {
    let slow = || async {
        let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from("begin"))]).chain(stream::pending());
        Response::new(Body::from_stream(pieces))
    };
    let server = server(Router::new().fallback(slow), &Seen::default()).await;
    let tool = tool_with(&[&server], |settings| settings.timeout = Duration::from_millis(200));
    let output = call(&tool, json!({"url": format!("http://{server}/")})).await.unwrap();
    assert!(page(&output).ends_with("begin\n[cut here: the time was up]"), "{output:?}");
}

#[tokio::test]
async fn broken_connections_say_whether_the_request_may_have_arrived() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap().to_string();
    drop(listener);
    for method in ["GET", "POST"] {
        let arguments = json!({"url": format!("http://{closed}/"), "method": method});
        assert_eq!(call(&tool(&[&closed]), arguments).await.unwrap_err().code(), Code::ToolFailed, "{method}");
    }
    let mute = raw(String::new()).await;
    for (method, code) in [("GET", Code::ToolFailed), ("POST", Code::UnknownOutcome)] {
        let arguments = json!({"url": format!("http://{mute}/"), "method": method});
        assert_eq!(call(&tool(&[&mute]), arguments).await.unwrap_err().code(), code, "{method}");
    }
}

#[tokio::test]
async fn cancellation_ends_the_call() {
    let server = server(Router::new().fallback(std::future::pending::<StatusCode>), &Seen::default()).await;
    let cx = context();
    let running = tool(&[&server]).call(json!({"url": format!("http://{server}/")}), tool_context(cx.clone()));
    let (result, ()) = tokio::join!(running, async { cx.cancel_token().cancel() });
    assert_eq!(result.unwrap_err().code(), Code::Cancelled);
}

#[tokio::test]
async fn the_network_policy_holds_besides_the_list() {
    let error = call(&tool(&["192.0.2.1:80"]), json!({"url": "http://192.0.2.1/"})).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::PermissionDenied, "only this machine may be reached"));
}
