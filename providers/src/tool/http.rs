//! The `http` tool: requests to servers on an allow-list.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    BoxFuture, BoxStream, Code, Effect, Error, Host, Result, Tool, ToolContext, ToolDefinition, ToolOutput,
};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::allow_list::AllowList;
use super::page::{End, render};
use crate::http::{HttpClient, HttpRequest, HttpResponse};

/// The most redirects one call follows.
pub const REDIRECTS_MAX: usize = 5;

/// How much longer than its own time limit the runtime lets a call live.
const MARGIN: Duration = Duration::from_secs(5);

/// The most headers one call may set.
const HEADERS_MAX: usize = 32;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers that belong to the connection or to the runtime, never to a model.
const FORBIDDEN_HEADERS: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "idempotency-key",
];

const DESCRIPTION: &str = "Sends an HTTP request to one of the servers it is allowed to reach, and returns status, \
    content type and body as text. `body` may be text or JSON.";

/// The limits of the tool.
#[derive(Debug, Clone)]
pub struct HttpToolSettings {
    /// The servers it may reach; none by default.
    pub allow: AllowList,
    /// The most bytes of a body that are read; the rest is cut off with a note.
    pub body_max_bytes: usize,
    /// The most time a call takes, redirects included.
    pub timeout: Duration,
}

impl Default for HttpToolSettings {
    fn default() -> Self {
        Self { allow: AllowList::default(), body_max_bytes: 256 * 1024, timeout: Duration::from_secs(20) }
    }
}

/// Sends HTTP requests for a model: `{url, method = "GET", headers?, body?}`.
///
/// Nothing may be reached unless its `host:port` is on the [`AllowList`]; each redirect is checked against it again. GET
/// and HEAD are `idempotent`; every other method is `once` and carries the call's idempotency key as `Idempotency-Key`.
/// A failed request that may have arrived is `unknown_outcome`, never repeated. Secrets do not belong into a model's
/// arguments: give the server on the list its own.
#[derive(Clone)]
pub struct HttpTool(Arc<Inner>);

struct Inner {
    client: HttpClient,
    host: Arc<dyn Host>,
    settings: HttpToolSettings,
    definition: ToolDefinition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    url: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    body: Option<Value>,
}

/// A request as it stands after some redirects.
#[derive(Clone)]
struct Step {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl HttpTool {
    /// Makes the tool. The client's network policy holds besides the allow-list.
    #[must_use]
    pub fn new(client: HttpClient, host: Arc<dyn Host>, settings: HttpToolSettings) -> Self {
        let definition = ToolDefinition {
            name: "http".to_owned(),
            description: DESCRIPTION.to_owned(),
            input_schema: schema(),
            effect: Effect::Once,
            timeout: Some(settings.timeout.saturating_add(MARGIN)),
            notes: None,
        };
        Self(Arc::new(Inner { client, host, settings, definition }))
    }
}

impl Tool for HttpTool {
    fn definition(&self) -> &ToolDefinition {
        &self.0.definition
    }

    fn effect(&self, arguments: &Value) -> Effect {
        match arguments.get("method") {
            None | Some(Value::Null) => Effect::Idempotent,
            Some(Value::String(method)) if method == "GET" || method == "HEAD" => Effect::Idempotent,
            Some(_) => Effect::Once,
        }
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.run(arguments, &cx).await.map_err(|error| error.with_op("http.call")) })
    }
}

impl fmt::Debug for HttpTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTool").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Inner {
    async fn run(&self, arguments: Value, cx: &ToolContext) -> Result<ToolOutput> {
        let now = self.host.now();
        cx.call.check(now)?;
        let step = first_step(arguments, &cx.idempotency_key)?;
        let is_safe = step.is_safe();
        let limit = cx.call.remaining(now).map_or(self.settings.timeout, |left| left.min(self.settings.timeout));
        let mut clock = self.host.sleep(limit);
        let mut cancelled = cx.call.cancel_token().cancelled();
        let mut end = select(&mut clock, &mut cancelled);
        let exchange = std::pin::pin!(self.exchange(step));
        let (response, unfollowed) = match select(exchange, &mut end).await {
            Either::Left((response, _)) => response?,
            Either::Right((Either::Left(_), _)) if is_safe => {
                return Err(Error::timeout(format!("no answer within {limit:?}")));
            }
            Either::Right((Either::Left(_), _)) => {
                return Err(Error::unknown_outcome(format!(
                    "no answer within {limit:?}; the request may have arrived"
                )));
            }
            Either::Right((Either::Right(_), _)) => return Err(Error::cancelled("the call was cancelled")),
        };
        let HttpResponse { status, headers, body } = response;
        let mut read = Vec::new();
        let how = match select(std::pin::pin!(read_body(body, self.settings.body_max_bytes, &mut read)), end).await {
            Either::Left((how, _)) => how,
            Either::Right((Either::Left(_), _)) => End::Time,
            Either::Right((Either::Right(_), _)) => return Err(Error::cancelled("the call was cancelled")),
        };
        let mut page = render(status, &headers, &read, how);
        if let Some(reason) = &unfollowed {
            page.push_str(&format!("\n[the redirect was not followed: {reason}]"));
        }
        let is_error = unfollowed.is_some() || status.is_client_error() || status.is_server_error();
        Ok(if is_error { ToolOutput::failed(page) } else { ToolOutput::text(page) })
    }

    /// Sends the request and follows its redirects, each checked like the first address. Where a redirect cannot be
    /// followed the response that asks for it is returned, with the reason.
    async fn exchange(&self, mut step: Step) -> Result<(HttpResponse, Option<String>)> {
        let is_safe = step.is_safe();
        self.settings.allow.check(&step.url)?;
        let mut response = self.send(&step).await.map_err(|error| explain(error, is_safe))?;
        for _ in 0..REDIRECTS_MAX {
            let next = match step.next(&response) {
                Ok(None) => return Ok((response, None)),
                Ok(Some(next)) => next,
                Err(reason) => return Ok((response, Some(reason))),
            };
            if let Err(error) = self.settings.allow.check(&next.url) {
                return Ok((response, Some(error.message().to_owned())));
            }
            step = next;
            response = match self.send(&step).await {
                Ok(response) => response,
                Err(error) if is_safe => return Err(explain(error, true)),
                // The first server has had the request, whatever became of this one.
                Err(error) => {
                    return Err(Error::unknown_outcome("a redirect of the request failed").with_source(error));
                }
            };
        }
        let reason = step.next(&response).is_ok_and(|next| next.is_some());
        Ok((response, reason.then(|| format!("more than {REDIRECTS_MAX} redirects"))))
    }

    async fn send(&self, step: &Step) -> Result<HttpResponse> {
        let Step { method, url, headers, body } = step.clone();
        self.client.send(HttpRequest { method, url, headers, body }).await
    }
}

impl Step {
    fn is_safe(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// Returns the step a redirect asks for (RFC 9110 §15.4); `None` if the response is none.
    fn next(&self, response: &HttpResponse) -> Result<Option<Step>, String> {
        let keeps_method = match response.status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method != Method::POST,
            StatusCode::SEE_OTHER => self.method == Method::HEAD,
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
            _ => return Ok(None),
        };
        let Some(location) = response.headers.get(LOCATION) else { return Ok(None) };
        let url = location.to_str().ok().and_then(|location| self.url.join(location).ok());
        let Some(url) = url else { return Err("it leads to no address".to_owned()) };
        let mut next = Step { url, ..self.clone() };
        if !keeps_method {
            next.method = Method::GET;
            next.body = Bytes::new();
            next.headers.remove(CONTENT_TYPE);
            next.headers.remove(IDEMPOTENCY_KEY);
        }
        if next.url.origin() != self.url.origin() {
            // What was meant for one server is not for another, whatever the header is called.
            let all = std::mem::take(&mut next.headers);
            next.headers = all.into_iter().filter_map(|(name, value)| Some((name?, value))).filter(is_public).collect();
        }
        Ok(Some(next))
    }
}

/// Returns whether a header may follow a redirect to another server.
fn is_public((name, _): &(HeaderName, HeaderValue)) -> bool {
    *name == CONTENT_TYPE || *name == IDEMPOTENCY_KEY || name.as_str().starts_with("accept")
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "The address, http:// or https://."},
            "method": {
                "type": "string",
                "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
                "default": "GET",
            },
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "maxProperties": HEADERS_MAX,
                "description": "Further headers of the request.",
            },
            "body": {
                "type": ["string", "object", "array", "number", "boolean", "null"],
                "description": "The body: text is sent as it is, anything else as JSON. Not with GET and HEAD.",
            },
        },
        "required": ["url"],
        "additionalProperties": false,
    })
}

fn first_step(arguments: Value, idempotency_key: &str) -> Result<Step> {
    let arguments: Arguments =
        serde_json::from_value(arguments).map_err(|error| Error::invalid_input(format!("arguments: {error}")))?;
    let url = Url::parse(arguments.url.trim()).map_err(|error| Error::invalid_input(format!("url: {error}")))?;
    let method = match arguments.method.as_deref().unwrap_or("GET") {
        "GET" => Method::GET,
        "HEAD" => Method::HEAD,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "PATCH" => Method::PATCH,
        "DELETE" => Method::DELETE,
        _ => return Err(Error::invalid_input("method is none of GET, HEAD, POST, PUT, PATCH, DELETE")),
    };
    let mut headers = request_headers(arguments.headers.unwrap_or_default())?;
    let (body, content_type) = match arguments.body {
        None | Some(Value::Null) => (Bytes::new(), None),
        Some(Value::String(text)) if text.is_empty() => (Bytes::new(), None),
        Some(Value::String(text)) => (Bytes::from(text), Some("text/plain; charset=utf-8")),
        Some(value) => (Bytes::from(value.to_string()), Some("application/json")),
    };
    let is_safe = matches!(method, Method::GET | Method::HEAD);
    if is_safe && !body.is_empty() {
        return Err(Error::invalid_input(format!("body: {method} has none")));
    }
    if let Some(content_type) = content_type {
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(content_type));
    }
    if !is_safe {
        headers.insert(IDEMPOTENCY_KEY, printable(idempotency_key)?);
    }
    Ok(Step { method, url, headers, body })
}

fn request_headers(given: BTreeMap<String, String>) -> Result<HeaderMap> {
    if given.len() > HEADERS_MAX {
        return Err(Error::invalid_input(format!("headers: more than {HEADERS_MAX}")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let shown = name.escape_debug();
        let Ok(key) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(Error::invalid_input(format!("headers: \"{shown}\" is no header name")));
        };
        if FORBIDDEN_HEADERS.contains(&key.as_str()) {
            return Err(Error::invalid_input(format!("headers: \"{shown}\" cannot be set")));
        }
        let Ok(value) = HeaderValue::from_str(&value) else {
            return Err(Error::invalid_input(format!("headers: the value of \"{shown}\" has forbidden characters")));
        };
        headers.insert(key, value);
    }
    Ok(headers)
}

/// Returns a key as a header; vendors make up the ids in it, so what a header cannot carry is percent-encoded.
fn printable(key: &str) -> Result<HeaderValue> {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    let text: String = key
        .bytes()
        .map(|byte| if fits(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    HeaderValue::from_str(&text).map_err(|_| Error::internal("the idempotency key fits no header"))
}

/// Reads up to a limit; what was read stays in `read`, also if the future is dropped.
async fn read_body(mut body: BoxStream<'static, Result<Bytes>>, max_bytes: usize, read: &mut Vec<u8>) -> End {
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else { return End::Broken };
        let room = max_bytes.saturating_sub(read.len()).min(piece.len());
        read.extend_from_slice(piece.get(..room).unwrap_or_default());
        if room < piece.len() {
            return End::Size(max_bytes);
        }
    }
    End::Whole
}

/// Says what a failed request means for its effect.
fn explain(error: Error, is_safe: bool) -> Error {
    let server = error.get("host").unwrap_or("the server").to_owned();
    match error.code() {
        Code::NotSent => Error::tool_failed(format!("no connection to {server}")).with_source(error),
        Code::ProviderUnavailable if is_safe => {
            Error::tool_failed(format!("the connection to {server} broke")).with_source(error)
        }
        Code::ProviderUnavailable => {
            let text = format!("the connection to {server} broke; the request may have arrived");
            Error::unknown_outcome(text).with_source(error)
        }
        _ => error,
    }
}
