//! The HTTP face of a node: where it listens, who may, and how it closes.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use beluga_actors::agent::Agents;
use beluga_core::{BoxFuture, Error, Result, SecretString, TenantId};
use beluga_runtime::telemetry::Sampler;
use beluga_runtime::{Health, Lifecycle, System};
use beluga_transports::http::{EndpointRates, Face, FaceSettings, Listener, Readiness, Server, ServerSettings};
use parking_lot::Mutex;

use super::parts::{MARGIN, turns_end};
use super::start::Node;
use crate::config::{Config, Environment, JournalKind, parse_addr};
use crate::telemetry::{Metrics, Telemetry};

/// How long open connections may take to end once their streams have.
const CONNECTION_GRACE: Duration = Duration::from_secs(2);

/// How to listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// The bearer token.
    pub token: Option<SecretString>,
    /// Whether listening beyond loopback without a token is meant.
    pub insecure: bool,
    /// The metrics behind `/metrics`.
    pub metrics: Option<Metrics>,
    /// Which share of requests is traced.
    pub sampler: Sampler,
}

impl Listen {
    /// Listens on a free port of this machine.
    #[must_use]
    pub fn loopback(telemetry: &Telemetry) -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: None,
            insecure: false,
            metrics: Some(telemetry.metrics().clone()),
            sampler: telemetry.sampler(),
        }
    }

    /// Listens as `[http]` says.
    ///
    /// # Errors
    /// `config` if the address is none or the token's variable is not set.
    pub fn configured(config: &Config, environment: &Environment, telemetry: &Telemetry) -> Result<Self> {
        let wrong = || Error::config(format!("http.addr: \"{}\" is no address and port", config.http.addr));
        let address = parse_addr(&config.http.addr).ok_or_else(wrong)?;
        let token = match &config.http.token_env {
            None => None,
            Some(variable) => {
                let unset = || Error::config(format!("http.token_env: the variable {variable} is not set"));
                Some(SecretString::from(environment.get(variable).ok_or_else(unset)?))
            }
        };
        Ok(Self { address, token, ..Self::loopback(telemetry) })
    }
}

/// The face as a part of the node: it listens from its start to its stop.
struct FacePart {
    face: Face,
    system: System,
    agents: Agents,
    /// How long running turns may take to end.
    grace: Duration,
    /// Bound, until it is started.
    server: Mutex<Option<Server>>,
    listener: OnceLock<Listener>,
}

impl Node {
    /// Opens the HTTP face and returns its address as a URL, which is also written into the data directory.
    ///
    /// # Errors
    /// `config` if the address cannot be used, or lies beyond loopback without a token and without `insecure`;
    /// `conflict` if the node listens already. A listener that does not start ends the node.
    pub async fn listen(&mut self, listen: Listen) -> Result<String> {
        if self.is_listening {
            return Err(Error::conflict("the node listens already"));
        }
        let loopback = listen.address.ip().to_canonical().is_loopback();
        if !loopback && listen.token.is_none() && !listen.insecure {
            return Err(Error::config(
                "listening beyond this machine needs a bearer token: set [http] token_env, or pass --insecure-http",
            )
            .with("addr", listen.address));
        }
        let http = &self.config.http;
        let settings = FaceSettings {
            check_host: loopback && listen.token.is_none(),
            token: listen.token,
            trust_tenant_header: http.trust_tenant_header,
            allowed_hosts: http.allowed_hosts.clone(),
            body_limit_bytes: http.body_limit_bytes,
            keep_alive: http.keep_alive.get(),
            invoke_timeout: http.invoke_timeout.get(),
            rates: EndpointRates { invoke: http.rates.invoke, stream: http.rates.stream, read: http.rates.read },
            sampler: listen.sampler,
            tiers: tiers(&self.config)?,
        };
        let server = ServerSettings { max_connections: http.max_connections, write_timeout: http.write_timeout.get() };
        let server = Server::bind(listen.address, server)?;
        let url = url_of(server.address());
        let mut face = Face::new(self.agents.clone(), settings, self.system.random().clone(), self.readiness());
        if let Some(metrics) = listen.metrics {
            let node = self.metrics.clone();
            face = face.with_metrics(move || metrics.render() + &node.render());
        }
        if let Some(cluster) = &self.cluster {
            face = face.with_cluster(cluster.clone());
        }
        let part = FacePart {
            face,
            system: self.system.clone(),
            agents: self.agents.clone(),
            grace: self.config.limits.shutdown_grace.get(),
            server: Mutex::new(Some(server)),
            listener: OnceLock::new(),
        };
        self.parts.add(Arc::new(part));
        self.parts.start().await?;
        self.is_listening = true;
        self.directory.publish(&url)?;
        Ok(url)
    }

    fn readiness(&self) -> Readiness {
        let note = match self.config.journal.kind {
            JournalKind::Sqlite => "sqlite: sessions stay on this node",
            JournalKind::Nats => "nats: sessions are where the journal is",
            JournalKind::Memory => "memory: sessions end with the process",
        };
        Readiness::of(&self.parts).note("journal", note)
    }
}

impl Lifecycle for FacePart {
    fn name(&self) -> &'static str {
        "http"
    }

    fn start(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let server = self.server.lock().take().ok_or_else(|| Error::conflict("the face was started before"))?;
            let router = self.face.router();
            let listener = Listener::start(&self.system, "http", server, router, CONNECTION_GRACE).await?;
            self.listener.set(listener).map_err(|_| Error::conflict("the face was started before"))
        })
    }

    /// Refuses new turns, waits for running ones, ends the streams and the listener.
    fn stop(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.face.drain();
            turns_end(&self.agents, self.grace).await;
            self.face.close();
            if let Some(listener) = self.listener.get() {
                listener.stop().await;
            }
            Ok(())
        })
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.grace + CONNECTION_GRACE + MARGIN)
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        let draining = self.face.is_draining();
        let health = if draining { Health::unhealthy("no new turns are taken") } else { Health::healthy() };
        Box::pin(std::future::ready(health))
    }
}

/// Returns the tier of each tenant that has one.
pub(super) fn tiers(config: &Config) -> Result<HashMap<TenantId, Arc<str>>> {
    let tiers = config.tenants.iter().filter_map(|(name, tenant)| Some((name, tenant.tier.as_deref()?)));
    tiers.map(|(name, tier)| Ok((TenantId::parse(name)?, Arc::from(tier)))).collect()
}

/// Returns the URL others on this machine use.
fn url_of(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{host}:{}", address.port())
}
