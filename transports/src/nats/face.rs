//! What every request sees of the node, and how requests come in.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message, Subscriber};
use beluga_actors::agent::Agents;
use beluga_core::{CallContext, CancelToken, Code, Error, Result, TenantId};
use beluga_runtime::telemetry::{HopKind, Sampler, log_ids, request_id};
use beluga_runtime::{SystemRandom, hop, task, time};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{FusedStream, select_all};
use tokio::sync::Semaphore;

use super::connection::Connection;
use super::counts::{Counts, Endpoint};
use super::discovery::Discovery;
use super::header::{self, RequestHeaders};
use super::subject::Subject;
use super::{call, stream};

/// Names of OpenTelemetry's messaging conventions, version 1.41
/// (<https://opentelemetry.io/docs/specs/semconv/messaging/>).
const MESSAGING_SYSTEM: &str = "messaging.system";
const DESTINATION: &str = "messaging.destination.template";

/// How long the last answers may take to reach the server when the face closes.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The settings of the face.
#[derive(Debug, Clone)]
pub struct FaceSettings {
    /// The tenants served; all of them if empty.
    pub tenants: Vec<TenantId>,
    /// The most requests at the same time; a further one is `overloaded`.
    pub requests_max: usize,
    /// The largest request, in bytes; the server's own limit comes before.
    pub body_limit_bytes: usize,
    /// The most time one call may take.
    pub call_timeout: Duration,
    /// Which share of requests is traced.
    pub sampler: Sampler,
    /// The service tiers of tenants, where they have one.
    pub tiers: HashMap<TenantId, Arc<str>>,
}

impl Default for FaceSettings {
    fn default() -> Self {
        Self {
            tenants: Vec::new(),
            requests_max: 1_024,
            body_limit_bytes: 1024 * 1024,
            call_timeout: Duration::from_secs(600),
            sampler: Sampler::default(),
            tiers: HashMap::new(),
        }
    }
}

/// The NATS face of a node. Clones are the same face.
#[derive(Clone)]
pub struct Face(pub(super) Arc<State>);

pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) agents: Agents,
    pub(super) settings: FaceSettings,
    pub(super) random: SystemRandom,
    pub(super) counts: Counts,
    /// The places of requests.
    places: Arc<Semaphore>,
    /// Cancelled when no new request is taken any more.
    draining: CancelToken,
    /// Cancelled when every stream has to end.
    pub(super) closing: CancelToken,
}

/// One request, and the way back.
pub(super) struct Request {
    pub(super) face: Face,
    pub(super) message: Message,
    pub(super) subject: Subject,
    pub(super) context: CallContext,
}

impl Face {
    /// Makes the face of these agents. `random` gives the ids of traces and streams.
    #[must_use]
    pub fn new(connection: Connection, agents: Agents, settings: FaceSettings, random: SystemRandom) -> Self {
        let places = Arc::new(Semaphore::new(settings.requests_max.clamp(1, Semaphore::MAX_PERMITS)));
        Self(Arc::new(State {
            connection,
            agents,
            settings,
            random,
            counts: Counts::default(),
            places,
            draining: CancelToken::new(),
            closing: CancelToken::new(),
        }))
    }

    /// Takes no new request from now on; requests that run go on.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Returns whether no new request is taken any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Ends every stream that is still open with `unavailable`, and waits until the last answers are on their way.
    pub async fn close(&self) {
        self.0.draining.cancel();
        self.0.closing.cancel();
        let all = u32::try_from(self.0.settings.requests_max).unwrap_or(u32::MAX);
        let gone = async {
            drop(self.0.places.acquire_many(all).await);
            self.0.connection.client().flush().await
        };
        if !matches!(time::timeout(FLUSH_TIMEOUT, gone).await, Ok(Ok(()))) {
            tracing::warn!("the last answers may not have reached the nats server");
        }
    }

    /// Returns the connection.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Serves until the face drains.
    ///
    /// # Errors
    /// `unavailable` if the connection was given up; to be called again.
    pub(super) async fn serve(&self) -> Result<()> {
        let lost = |error: &dyn fmt::Display| Error::unavailable("the nats connection is closed").with("why", error);
        let client = self.0.connection.client();
        let mut taken: Vec<futures_util::stream::Map<Subscriber, _>> = Vec::new();
        for endpoint in Endpoint::ALL {
            for subject in self.subjects(endpoint) {
                let subscription = client.queue_subscribe(subject, endpoint.queue_group().to_owned()).await;
                let subscription = subscription.map_err(|error| lost(&error))?;
                taken.push(subscription.map(move |message| (endpoint, message)));
            }
        }
        let mut requests = select_all(taken);
        let discovery = Discovery::open(self).await?;
        let answering = task::spawn("nats.discovery", discovery.serve()).abort_on_drop();
        loop {
            let next = tokio::select! {
                biased;
                () = self.0.draining.cancelled() => break,
                next = requests.next() => next,
            };
            match next {
                Some((endpoint, message)) => self.take(endpoint, message),
                None if requests.is_terminated() => return Err(lost(&"every subscription ended")),
                None => {}
            }
        }
        drop(answering);
        for subscription in requests.iter_mut() {
            subscription.get_mut().unsubscribe().await.map_err(|error| lost(&error))?;
        }
        // What the server sent before it heard of the end is refused in words; another node takes it.
        let rest = async {
            while let Some((endpoint, message)) = requests.next().await {
                self.take(endpoint, message);
            }
        };
        drop(time::timeout(FLUSH_TIMEOUT, rest).await);
        Ok(())
    }

    /// Returns the subjects of an endpoint, with wildcards.
    pub(super) fn subjects(&self, endpoint: Endpoint) -> Vec<String> {
        let (kind, verb) = (endpoint.kind(), endpoint.verb());
        match self.0.settings.tenants.as_slice() {
            [] => Subject::of_kind(None, kind, verb).into(),
            tenants => tenants.iter().flat_map(|tenant| Subject::of_kind(Some(tenant), kind, verb)).collect(),
        }
    }

    /// Takes one request: nothing here waits, so that a burst is refused in words and not lost in silence.
    fn take(&self, endpoint: Endpoint, message: Message) {
        let started = time::now();
        let face = self.clone();
        let place = Arc::clone(&self.0.places).try_acquire_owned();
        task::spawn("nats.request", async move {
            let outcome = match place {
                Ok(_place) => face.run(endpoint, message).await,
                Err(_) => {
                    let error = Error::overloaded("the node serves as many requests as it may")
                        .with("requests_max", face.0.settings.requests_max);
                    face.refuse(message.reply.as_ref(), &error).await;
                    Err(error)
                }
            };
            face.0.counts.add(endpoint, time::now().saturating_duration_since(started), outcome.as_ref().err());
        });
    }

    /// Runs one request under its span. The error is for whoever counts: the caller has been told.
    async fn run(&self, endpoint: Endpoint, message: Message) -> Result<()> {
        let reply = message.reply.clone();
        let (context, subject) = match self.admit(&message) {
            Ok(admitted) => admitted,
            Err(error) => {
                self.refuse(reply.as_ref(), &error).await;
                return Err(error);
            }
        };
        let identity = self.0.settings.sampler.start(RequestHeaders(message.headers.as_ref()).trace(), &self.0.random);
        let (context, span) = hop!(
            context,
            identity,
            HopKind::Server,
            endpoint.name(),
            { MESSAGING_SYSTEM } = "nats",
            { DESTINATION } = endpoint.name()
        );
        let span = span.guard(&context);
        let (trace_id, span_id) = log_ids(&context);
        let request_id = request_id(&context).map(str::to_owned);
        let request = Request { face: self.clone(), message, subject, context };
        let outcome = match endpoint {
            Endpoint::AgentCall => call::call(request).await,
            Endpoint::AgentTell => call::tell(request).await,
            Endpoint::SessionCall => call::session(request).await,
            Endpoint::AgentStream => stream::agent(request).await,
            Endpoint::SessionStream => stream::session(request).await,
        };
        let endpoint = endpoint.name();
        match &outcome {
            Err(error) if error.http_status() >= 500 => {
                span.fail(error);
                tracing::warn!(%trace_id, %span_id, request_id, endpoint, %error, "a request failed");
            }
            _ => {
                span.end();
                tracing::debug!(%trace_id, %span_id, request_id, endpoint, "a request was answered");
            }
        }
        outcome
    }

    /// Reads who asks: the subject says it, because the server's permissions are kept on it. No header is believed.
    fn admit(&self, message: &Message) -> Result<(CallContext, Subject)> {
        let subject = Subject::parse(&message.subject)?;
        let headers = RequestHeaders(message.headers.as_ref());
        headers.check_codec()?;
        let limit = self.0.settings.body_limit_bytes;
        if message.payload.len() > limit {
            return Err(Error::invalid_input("the body is too large").with_status(413).with("limit_bytes", limit));
        }
        let mut context = CallContext::new().with_tenant(subject.tenant.clone());
        if let Some(user) = &subject.user {
            context = context.with_principal(user.as_str());
        }
        if let Some(tier) = self.0.settings.tiers.get(&subject.tenant) {
            context = context.with_tier(Arc::clone(tier));
        }
        if let Some(id) = headers.request_id() {
            context = context.with_request_id(id);
        }
        if self.is_draining() {
            return Err(Error::unavailable("the node is going away"));
        }
        Ok((context, subject))
    }

    /// Sends an answer. What the server does not take is told to the caller instead.
    pub(super) async fn answer(&self, to: &async_nats::Subject, headers: HeaderMap, body: Bytes) -> Result<()> {
        let limit = self.0.connection.payload_max();
        if body.len() > limit {
            let error = Error::new(Code::Unsupported, "the answer is larger than the nats server takes")
                .with("bytes", body.len())
                .with("limit_bytes", limit);
            self.refuse(Some(to), &error).await;
            return Err(error);
        }
        self.send(to, headers, body).await
    }

    /// Tells an error: micro headers, and the problem as the body.
    pub(super) async fn refuse(&self, to: Option<&async_nats::Subject>, error: &Error) {
        let Some(to) = to else { return };
        let mut headers = HeaderMap::new();
        header::put_error(&mut headers, error);
        let body = serde_json::to_vec(&error.problem()).unwrap_or_default();
        if let Err(second) = self.send(to, headers, body.into()).await {
            tracing::debug!(%error, %second, "an error could not be told");
        }
    }

    pub(super) async fn send(&self, to: &async_nats::Subject, headers: HeaderMap, body: Bytes) -> Result<()> {
        let client = self.0.connection.client();
        let sent = if headers.is_empty() {
            client.publish(to.clone(), body).await
        } else {
            client.publish_with_headers(to.clone(), headers, body).await
        };
        sent.map_err(|error| Error::unavailable("the nats connection is closed").with_source(error))
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face")
            .field("settings", &self.0.settings)
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}
