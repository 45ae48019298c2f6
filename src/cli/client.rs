//! A node over HTTP, as the commands use it.

use std::collections::VecDeque;
use std::time::Duration;

use beluga_core::{BoxStream, Error, Numbered, Problem, Result, Retry, SessionId};
use beluga_providers::http::{HttpClient, HttpRequest, HttpResponse, Network, SseDecoder};
use beluga_runtime::time;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use url::Url;

use super::place::Turn;

/// The most bytes of an answer that is no stream.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A node under an address.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: HttpClient,
    base: Url,
    token: Option<HeaderValue>,
}

impl Client {
    /// Makes a client of an address. No I/O happens.
    ///
    /// # Errors
    /// `config` if it is no http address or the token is no header value.
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self> {
        let wrong = |why: String| Error::config(format!("--url {why}"));
        let mut base = Url::parse(url).map_err(|error| wrong(format!("is no address: {error}")))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong("must be an http or https address".to_owned()));
        }
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        let token = token.map(|token| HeaderValue::from_str(&format!("Bearer {token}"))).transpose();
        let mut token = token.map_err(|_| Error::config("the token is no header value"))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self { http: HttpClient::new(Network::Allowed)?, base, token })
    }

    /// Returns the node's address.
    pub(super) fn url(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// Gets a JSON document.
    ///
    /// # Errors
    /// What the node answered; `not_sent` or `provider_unavailable` if it did not.
    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    /// Posts a JSON document and returns the answer.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let response = self.send(method, path, body).await?;
        let (bytes, _) = accepted(response).await?.collect(ANSWER_MAX_BYTES).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::decode("the node's answer is no JSON").with_source(error))
    }

    /// Starts a turn.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) async fn stream(&self, agent: &str, input: &str, session: Option<&SessionId>) -> Result<Turn> {
        let body = json!({ "input": input, "session": session });
        let path = format!("api/v1/agents/{agent}/stream");
        let response = accepted(self.send(Method::POST, &path, Some(&body)).await?).await?;
        let named = |name: &str| Some(response.headers.get(name)?.to_str().ok()?.to_owned());
        let session = named("x-beluga-session").ok_or_else(|| Error::decode("the node did not name the session"))?;
        let session = SessionId::parse(session)?;
        let reading = Reading {
            client: self.clone(),
            session: session.clone(),
            turn: named("x-beluga-turn"),
            body: response.body,
            decoder: SseDecoder::new(),
            ready: VecDeque::new(),
            cursor: 0,
            resumes: 0,
            over: false,
        };
        Ok(Turn { session, events: reading.into_stream() })
    }

    /// Reads a session's events after a number.
    async fn events(&self, session: &SessionId, after: u64) -> Result<HttpResponse> {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", HeaderValue::from(after));
        let path = format!("api/v1/sessions/{session}/events");
        accepted(self.send_with(Method::GET, &path, None, headers).await?).await
    }

    /// Cancels the running turn of a session.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(super) async fn cancel(&self, session: &SessionId) -> Result<()> {
        let path = format!("api/v1/sessions/{session}/cancel");
        self.post(&path, &json!({})).await.map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<HttpResponse> {
        self.send_with(method, path, body, HeaderMap::new()).await
    }

    async fn send_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        mut headers: HeaderMap,
    ) -> Result<HttpResponse> {
        let url = self.base.join(path).map_err(|error| Error::internal("a path is wrong").with_source(error))?;
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let body = body.map(|body| body.to_string().into()).unwrap_or_default();
        self.http.send(HttpRequest { method, url, headers, body }).await
    }
}

/// Lets a good answer through; turns a problem into its error.
async fn accepted(response: HttpResponse) -> Result<HttpResponse> {
    if response.status.is_success() {
        return Ok(response);
    }
    let status = response.status;
    let (bytes, _) = response.collect(ANSWER_MAX_BYTES).await?;
    Err(match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => from_problem(problem),
        Err(_) => {
            Error::provider_unavailable("the node's answer is no problem document").with("status", status.as_u16())
        }
    })
}

/// Returns the error a problem tells of.
fn from_problem(problem: Problem) -> Error {
    let retry = match (problem.retryable, problem.retry_after_ms) {
        (true, Some(wait_ms)) => Retry::After(Duration::from_millis(wait_ms)),
        (true, None) => Retry::Now,
        (false, _) => Retry::Never,
    };
    Error::new(problem.code, problem.detail).with_retry(retry).with_status(problem.status)
}

/// How often a broken stream is taken up again without progress.
const RESUMES_MAX: u32 = 5;

/// The wait before a broken stream is taken up again.
const RESUME_PAUSE: Duration = Duration::from_millis(200);

/// A turn's events, read over one connection after the other.
struct Reading {
    client: Client,
    session: SessionId,
    turn: Option<String>,
    body: BoxStream<'static, Result<Bytes>>,
    decoder: SseDecoder,
    ready: VecDeque<Result<Numbered>>,
    cursor: u64,
    resumes: u32,
    over: bool,
}

impl Reading {
    /// Returns the events as a stream; it ends after the turn's last one, or with an error.
    fn into_stream(self) -> BoxStream<'static, Result<Numbered>> {
        let next = |mut reading: Self| async move { reading.next().await.map(|event| (event, reading)) };
        futures_util::stream::unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Option<Result<Numbered>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.over |= event.as_ref().map_or(true, |event| event.event.is_terminal());
                return Some(event);
            }
            if self.over {
                return None;
            }
            match self.body.next().await {
                Some(Ok(piece)) => self.take(&piece),
                Some(Err(error)) => self.resume(Some(error)).await,
                None => self.resume(None).await,
            }
        }
    }

    fn take(&mut self, piece: &[u8]) {
        let Self { decoder, ready, turn, cursor, resumes, .. } = self;
        let fed = decoder.feed(piece, |event| {
            let event: Numbered = serde_json::from_str(&event.data)
                .map_err(|error| Error::decode("an event of the node is no JSON").with_source(error))?;
            *cursor = event.number;
            *resumes = 0;
            if turn.as_deref().is_none_or(|turn| turn == event.turn.as_str()) {
                ready.push_back(Ok(event));
            }
            Ok(())
        });
        if let Err(error) = fed {
            self.ready.push_back(Err(error));
        }
    }

    /// Goes on after the last event seen: the node cut a slow reader off, or the connection broke.
    async fn resume(&mut self, cause: Option<Error>) {
        self.resumes += 1;
        if self.resumes > RESUMES_MAX {
            let lost = Error::unknown_outcome("the connection to the node ended before the turn")
                .with("session", &self.session);
            let lost = match cause {
                Some(cause) => lost.with_source(cause),
                None => lost,
            };
            self.ready.push_back(Err(lost));
            return;
        }
        time::sleep(RESUME_PAUSE).await;
        self.decoder = SseDecoder::new();
        self.body = match self.client.events(&self.session, self.cursor).await {
            Ok(response) => response.body,
            Err(error) if error.is_retryable() => futures_util::stream::once(async { Err(error) }).boxed(),
            Err(error) => {
                self.ready.push_back(Err(error));
                futures_util::stream::empty().boxed()
            }
        };
    }
}
