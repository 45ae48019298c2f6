//! The one model implementation: send, decode as it comes, end with the caller.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use beluga_core::{
    BoxFuture, BoxStream, CallContext, Cancelled, ChatModel, Code, Error, ExposeSecret, Host, ModelChunk, ModelInfo,
    ModelRequest, Result, SchemaSupport, SecretString,
};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, Method};
use url::Url;

use super::answer::{AnswerDecoder, AnswerHead};
use super::authorize::Authorize;
use super::profile::Profile;
use crate::http::{HttpClient, HttpRequest, HttpResponse};

/// The most time until the first byte of an answer, where the configuration does not say.
pub const FIRST_BYTE_DEFAULT: Duration = Duration::from_secs(30);

/// The most time between two pieces of an answer; keep-alive comments and pings count as pieces.
pub const STREAM_IDLE_MAX: Duration = Duration::from_secs(120);

/// The most time the closing bytes of a complete answer are waited for; then the connection is given up.
const CLOSING_MAX: Duration = Duration::from_secs(1);

/// A vendor's model. A clone is the same model.
#[derive(Clone)]
pub(super) struct HttpModel(pub(super) Arc<Settings>);

/// Everything a call needs besides its request.
pub(super) struct Settings {
    pub(super) profile: Profile,
    pub(super) model: String,
    /// The vendor's address; that of a call is made of it.
    pub(super) base: Url,
    /// A key that travels in the query.
    pub(super) query_key: Option<&'static str>,
    /// What makes the credential, where it is no header.
    pub(super) authorizer: Option<Arc<dyn Authorize>>,
    /// With the key, marked as sensitive.
    pub(super) headers: HeaderMap,
    pub(super) key: Option<SecretString>,
    pub(super) client: HttpClient,
    pub(super) host: Arc<dyn Host>,
    /// The most time until the first byte.
    pub(super) timeout: Duration,
    pub(super) streams: bool,
    pub(super) supports_tools: bool,
    /// How the vendor takes the schema of an answer.
    pub(super) schema: SchemaSupport,
    pub(super) max_tokens: Option<u32>,
}

impl ChatModel for HttpModel {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            provider: self.0.profile.otel_name.to_owned(),
            model: self.0.model.clone(),
            supports_tools: self.0.supports_tools,
            schema: self.0.schema.clone(),
        }
    }

    fn stream(&self, request: Arc<ModelRequest>, cx: CallContext) -> BoxStream<'static, Result<ModelChunk>> {
        Box::pin(AnswerStream {
            settings: Arc::clone(&self.0),
            cancelled: cx.cancel_token().cancelled(),
            cx,
            phase: Phase::Waiting(request),
            failure: None,
            limit: None,
            sleep: None,
        })
    }
}

impl fmt::Debug for HttpModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpModel")
            .field("provider", &self.0.profile.name)
            .field("model", &self.0.model)
            .finish_non_exhaustive()
    }
}

/// One call. Nothing is sent before the first poll; dropping it closes the request.
struct AnswerStream {
    settings: Arc<Settings>,
    cx: CallContext,
    cancelled: Cancelled,
    phase: Phase,
    /// An error that waits until the chunks before it are taken.
    failure: Option<Error>,
    /// When the vendor has been silent for too long.
    limit: Option<Instant>,
    sleep: Option<BoxFuture<'static, ()>>,
}

enum Phase {
    Waiting(Arc<ModelRequest>),
    Sending(BoxFuture<'static, Result<HttpResponse>>),
    Reading { body: BoxStream<'static, Result<Bytes>>, decoder: Box<AnswerDecoder> },
    Ended,
}

impl Stream for AnswerStream {
    type Item = Result<ModelChunk>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let item = ready!(this.poll_item(cx));
        if item.as_ref().is_none_or(|item| matches!(item, Err(_) | Ok(ModelChunk::Finished { .. }))) {
            this.end(cx);
        }
        Poll::Ready(item)
    }
}

impl AnswerStream {
    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<ModelChunk>>> {
        loop {
            if matches!(self.phase, Phase::Ended) {
                return Poll::Ready(None);
            }
            if self.cancelled.poll_unpin(cx).is_ready() {
                return Poll::Ready(Some(Err(self.explain(Error::cancelled("the call was cancelled")))));
            }
            if let Phase::Reading { decoder, .. } = &mut self.phase
                && let Some(chunk) = decoder.pop()
            {
                return Poll::Ready(Some(Ok(chunk)));
            }
            if let Some(error) = self.failure.take() {
                return Poll::Ready(Some(Err(error)));
            }
            match self.poll_progress(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => self.fail(error),
                Poll::Pending => {
                    let error = ready!(self.poll_silence(cx));
                    return Poll::Ready(Some(Err(self.explain(error))));
                }
            }
        }
    }

    /// Does the next step: start, head, or one piece of the body.
    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.phase {
            Phase::Ended => Poll::Ready(Ok(())),
            Phase::Waiting(request) => {
                let request = Arc::clone(request);
                Poll::Ready(self.start(&request))
            }
            Phase::Sending(future) => {
                let response = ready!(future.poll_unpin(cx));
                Poll::Ready(response.map(|response| self.open(response)))
            }
            Phase::Reading { body, decoder } => {
                let piece = ready!(body.poll_next_unpin(cx));
                let result = match piece {
                    Some(Ok(piece)) => {
                        self.limit = self.settings.host.now().checked_add(STREAM_IDLE_MAX);
                        decoder.feed(&piece)
                    }
                    // A connection may break after the last word; the decoder knows.
                    Some(Err(error)) => decoder.end().map_err(|_| error),
                    None => decoder.end(),
                };
                Poll::Ready(result)
            }
        }
    }

    fn start(&mut self, request: &ModelRequest) -> Result<()> {
        let settings = &self.settings;
        let now = settings.host.now();
        self.cx.check(now)?;
        let body = settings.profile.encode(&settings.model, request, settings.streams, settings.max_tokens)?;
        let model = request.options.model.as_deref().unwrap_or(&settings.model);
        let mut url = settings.profile.endpoint(&settings.base, model, settings.streams);
        if let (Some(name), Some(key)) = (settings.query_key, &settings.key) {
            url.query_pairs_mut().append_pair(name, key.expose_secret().trim());
        }
        let request =
            HttpRequest { method: Method::POST, url, headers: settings.headers.clone(), body: Bytes::from(body) };
        let client = settings.client.clone();
        self.limit = now.checked_add(settings.timeout);
        self.phase = match settings.authorizer.clone() {
            None => Phase::Sending(Box::pin(async move { client.send(request).await })),
            Some(authorizer) => {
                Phase::Sending(Box::pin(async move { client.send(authorizer.authorize(request).await?).await }))
            }
        };
        Ok(())
    }

    fn open(&mut self, response: HttpResponse) {
        let host = &self.settings.host;
        let head =
            AnswerHead { status: response.status, headers: response.headers, wall: host.wall(), seed: host.random() };
        let decoder = AnswerDecoder::new(&self.settings.profile, head).with_secret(self.settings.key.clone());
        self.phase = Phase::Reading { body: response.body, decoder: Box::new(decoder) };
    }

    /// Waits for the deadline, or for the vendor to be silent too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.poll_unpin(cx));
                self.sleep = None;
            }
            let now = self.settings.host.now();
            let limit = match (self.cx.deadline(), self.limit) {
                (Some(deadline), _) if deadline <= now => return Poll::Ready(Error::timeout("the deadline passed")),
                (_, Some(limit)) if limit <= now => return Poll::Ready(self.silence()),
                (Some(deadline), Some(limit)) => deadline.min(limit),
                (deadline, limit) => match deadline.or(limit) {
                    Some(at) => at,
                    None => return Poll::Pending,
                },
            };
            self.sleep = Some(self.settings.host.sleep(limit.saturating_duration_since(now)));
        }
    }

    fn silence(&self) -> Error {
        let limit = match self.phase {
            Phase::Reading { .. } => STREAM_IDLE_MAX,
            _ => self.settings.timeout,
        };
        Error::timeout(format!("the vendor was silent for {limit:?}"))
    }

    fn fail(&mut self, error: Error) {
        let error = match error.code() {
            // Nothing arrived there: any repetition, here or elsewhere, is safe.
            Code::NotSent => Error::provider_unavailable("no connection to the vendor").with_source(error),
            _ => error,
        };
        self.failure = Some(self.explain(error));
    }

    fn explain(&self, error: Error) -> Error {
        if error.get("provider").is_some() {
            return error;
        }
        error.with_op("model.stream").with("provider", self.settings.profile.otel_name)
    }

    /// Lets go of the connection. After a complete answer it is read to its end first, so that it can be used again.
    fn end(&mut self, cx: &mut Context<'_>) {
        self.sleep = None;
        let Phase::Reading { mut body, decoder } = std::mem::replace(&mut self.phase, Phase::Ended) else { return };
        if decoder.is_complete() && !matches!(body.poll_next_unpin(cx), Poll::Ready(None | Some(Err(_)))) {
            let patience = self.settings.host.sleep(CLOSING_MAX);
            let closing = async move {
                let read = async { while let Some(Ok(_)) = body.next().await {} };
                futures_util::future::select(std::pin::pin!(read), patience).await;
            };
            self.settings.host.spawn("model.closing", Box::pin(closing));
        }
    }
}
