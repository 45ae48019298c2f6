//! What every request sees of the node, and the table of routes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use beluga_actors::agent::Agents;
use beluga_core::{CancelToken, ExposeSecret, SecretString, TenantId};
use beluga_runtime::SystemRandom;
use beluga_runtime::cluster::Cluster;
use beluga_runtime::telemetry::Sampler;
use tower_http::catch_panic::CatchPanicLayer;

use super::health::Readiness;
use super::rate::{EndpointRates, Rates};
use super::{access, cluster, control, health, identify, introspect, observe, problem, session, turn, usage};

/// The settings of the face.
#[derive(Debug, Clone)]
pub struct FaceSettings {
    /// The bearer token; every route but the health routes needs it. None: open to whoever reaches the listener.
    pub token: Option<SecretString>,
    /// Whether `X-Beluga-Tenant` is believed from callers that are not on this machine.
    pub trust_tenant_header: bool,
    /// Whether the `Host` header must be a loopback name or one of [`allowed_hosts`](Self::allowed_hosts).
    pub check_host: bool,
    /// Names of this node besides the loopback names, without port.
    pub allowed_hosts: Vec<String>,
    /// The largest request body, in bytes.
    pub body_limit_bytes: usize,
    /// The time between two keep-alive comments on a quiet stream.
    pub keep_alive: Duration,
    /// The most time one invoke may take.
    pub invoke_timeout: Duration,
    /// How often each tenant may call an endpoint; no limit by default.
    pub rates: EndpointRates,
    /// Which share of requests is traced.
    pub sampler: Sampler,
    /// The service tiers of tenants, where they have one.
    pub tiers: HashMap<TenantId, Arc<str>>,
}

impl Default for FaceSettings {
    fn default() -> Self {
        Self {
            token: None,
            trust_tenant_header: false,
            check_host: true,
            allowed_hosts: Vec::new(),
            body_limit_bytes: 1024 * 1024,
            keep_alive: Duration::from_secs(15),
            invoke_timeout: Duration::from_secs(600),
            rates: EndpointRates::default(),
            sampler: Sampler::default(),
            tiers: HashMap::new(),
        }
    }
}

/// Renders the metrics in the Prometheus text format.
pub(super) type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// The HTTP face of a node. Clones are the same face.
#[derive(Clone)]
pub struct Face(pub(super) Arc<State>);

pub(super) struct State {
    pub(super) agents: Agents,
    pub(super) settings: FaceSettings,
    pub(super) rates: Rates,
    pub(super) random: SystemRandom,
    pub(super) readiness: Readiness,
    pub(super) metrics: Option<Metrics>,
    pub(super) cluster: Option<Cluster>,
    /// Cancelled when no new turn is taken any more.
    pub(super) draining: CancelToken,
    /// Cancelled when every stream has to end.
    pub(super) closing: CancelToken,
}

impl Face {
    /// Makes the face of these agents. `random` gives trace ids.
    #[must_use]
    pub fn new(agents: Agents, settings: FaceSettings, random: SystemRandom, readiness: Readiness) -> Self {
        Self(Arc::new(State {
            agents,
            rates: Rates::new(settings.rates),
            settings,
            random,
            readiness,
            metrics: None,
            cluster: None,
            draining: CancelToken::new(),
            closing: CancelToken::new(),
        }))
    }

    /// Sets what `/metrics` answers; without it the route answers `unsupported`. To be called before the first clone.
    #[must_use]
    pub fn with_metrics(self, render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(state) => Self(Arc::new(State { metrics: Some(Arc::new(render)), ..state })),
            Err(shared) => Self(shared),
        }
    }

    /// Sets the cluster that `/api/v1/cluster` shows; without it the route answers `unsupported`. To be called before the first
    /// clone.
    #[must_use]
    pub fn with_cluster(self, cluster: Cluster) -> Self {
        match Arc::try_unwrap(self.0) {
            Ok(state) => Self(Arc::new(State { cluster: Some(cluster), ..state })),
            Err(shared) => Self(shared),
        }
    }

    /// Takes no new turn from now on: `readyz` answers 503, new turns are `unavailable`, readers of sessions are sent
    /// away with their cursor. Running turns go on.
    pub fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Returns whether no new turn is taken any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Ends every stream that is still open, each with a comment that names its cursor.
    pub fn close(&self) {
        self.0.draining.cancel();
        self.0.closing.cancel();
    }

    /// Returns the routes as a service, for [`Server`](super::Server) or another axum service to nest.
    ///
    /// Without [`Server`](super::Server) the caller's address is unknown and counts as not loopback.
    pub fn router(&self) -> Router {
        let api = Router::new()
            .route("/api/v1/agents/{agent}/invoke", post(turn::invoke))
            .route("/api/v1/agents/{agent}/stream", post(turn::stream))
            .route("/api/v1/sessions/{id}", get(session::conversation))
            .route("/api/v1/sessions/{id}/events", get(session::events))
            .route("/api/v1/sessions/{id}/cancel", post(session::cancel))
            .route("/api/v1/agents", get(introspect::agents))
            .route("/api/v1/tree", get(introspect::tree))
            .route("/api/v1/usage", get(usage::usage))
            .route("/api/v1/cluster", get(cluster::show))
            .route("/healthz", get(health::live))
            .route("/readyz", get(health::ready))
            .route("/metrics", get(introspect::metrics))
            .merge(control::routes().route_layer(from_fn_with_state(self.clone(), access::operator)))
            .method_not_allowed_fallback(problem::method_not_allowed)
            .layer(from_fn_with_state(self.clone(), observe::observe))
            .fallback(problem::no_such_route);
        api.layer(from_fn_with_state(self.clone(), access::check))
            .layer(DefaultBodyLimit::disable())
            .layer(CatchPanicLayer::custom(problem::panicked))
            .layer(from_fn(problem::limit_head))
            .layer(from_fn_with_state(self.clone(), identify::identify))
            .with_state(self.clone())
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.0.settings.token.as_ref().map(ExposeSecret::expose_secret)
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Face")
            .field("settings", &self.0.settings)
            .field("draining", &self.0.draining.is_cancelled())
            .finish_non_exhaustive()
    }
}
