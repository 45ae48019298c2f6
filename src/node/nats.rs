//! The NATS face of a node: which server, who the node is there, and how it closes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use beluga_actors::agent::Agents;
use beluga_core::{BoxFuture, Error, Result, SecretString, TenantId};
use beluga_runtime::telemetry::Sampler;
use beluga_runtime::{Health, Lifecycle, System};
use beluga_transports::nats::{ConnectSettings, Connection, Credentials, Face, FaceSettings, Listener, TlsSettings};

use super::face::tiers;
use super::parts::{MARGIN, turns_end};
use super::start::Node;
use crate::config::{Config, Environment, NatsSettings};

/// How long the last answers may take to leave.
const CLOSING_GRACE: Duration = Duration::from_secs(3);

/// How to connect.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The server, and who the node is there.
    pub settings: ConnectSettings,
    /// Which share of requests is traced.
    pub sampler: Sampler,
}

impl Connect {
    /// Connects as `[nats]` says; `None` if it names no server. `name` is the node's.
    ///
    /// # Errors
    /// `config` if a variable is not set.
    pub fn configured(
        config: &Config,
        environment: &Environment,
        name: &str,
        sampler: Sampler,
    ) -> Result<Option<Self>> {
        Ok(settings(config, environment, name)?.map(|settings| Self { settings, sampler }))
    }
}

/// Returns where the server is and who the node is there; `None` if `[nats]` names no server.
///
/// # Errors
/// `config` if a variable is not set.
pub(super) fn settings(config: &Config, environment: &Environment, name: &str) -> Result<Option<ConnectSettings>> {
    let nats = &config.nats;
    if nats.servers.is_empty() {
        return Ok(None);
    }
    Ok(Some(ConnectSettings {
        servers: nats.servers.clone(),
        name: name.to_owned(),
        credentials: credentials(nats, environment)?,
        tls: TlsSettings {
            required: nats.tls,
            authority: nats.tls_authority.clone(),
            identity: nats.tls_certificate.clone().zip(nats.tls_key.clone()),
        },
        allow_plaintext: nats.allow_plaintext,
        inbox_prefix: nats.inbox_prefix.clone().unwrap_or_default(),
    }))
}

fn credentials(nats: &NatsSettings, environment: &Environment) -> Result<Credentials> {
    let secret = |key: &'static str, variable: &String| {
        let unset = || Error::config(format!("nats.{key}: the variable {variable} is not set"));
        environment.get(variable).map(|text| SecretString::from(text.to_owned())).ok_or_else(unset)
    };
    if let (Some(user), Some(variable)) = (&nats.user, &nats.password_env) {
        return Ok(Credentials::Password { user: user.clone(), password: secret("password_env", variable)? });
    }
    if let Some(variable) = &nats.token_env {
        return Ok(Credentials::Token(secret("token_env", variable)?));
    }
    if let Some(variable) = &nats.nkey_env {
        return Ok(Credentials::Nkey(secret("nkey_env", variable)?));
    }
    Ok(nats.credentials.clone().map_or(Credentials::None, Credentials::File))
}

/// The face as a part of the node: it serves from its start to its stop.
struct NatsPart {
    face: Face,
    system: System,
    agents: Agents,
    /// How long running turns may take to end.
    grace: Duration,
    listener: OnceLock<Listener>,
}

impl Node {
    /// Connects to NATS and serves the agents there.
    ///
    /// # Errors
    /// `config` (an address, a file), `auth_error`, `unavailable` (no server answers); `conflict` if the node serves there
    /// already.
    pub async fn connect(&mut self, connect: Connect) -> Result<()> {
        if self.is_connected {
            return Err(Error::conflict("the node serves over nats already"));
        }
        let nats = &self.config.nats;
        let settings = FaceSettings {
            tenants: nats.tenants.iter().map(TenantId::parse).collect::<Result<_>>()?,
            requests_max: nats.max_requests,
            body_limit_bytes: nats.body_limit_bytes,
            call_timeout: nats.call_timeout.get(),
            sampler: connect.sampler,
            tiers: tiers(&self.config)?,
        };
        let random = self.system.random();
        let connection = match &self.connection {
            Some(connection) => connection.clone(),
            None => Connection::open(&connect.settings, random).await?,
        };
        let part = NatsPart {
            face: Face::new(connection, self.agents.clone(), settings, random.clone()),
            system: self.system.clone(),
            agents: self.agents.clone(),
            grace: self.config.limits.shutdown_grace.get(),
            listener: OnceLock::new(),
        };
        self.parts.add(Arc::new(part));
        self.parts.start().await?;
        self.is_connected = true;
        Ok(())
    }
}

impl Lifecycle for NatsPart {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn start(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let listener = Listener::start(&self.system, "nats", self.face.clone()).await?;
            self.listener.set(listener).map_err(|_| Error::conflict("the face was started before"))
        })
    }

    /// Takes no more requests, waits for running turns, ends the streams.
    fn stop(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if let Some(listener) = self.listener.get() {
                listener.stop().await;
            }
            turns_end(&self.agents, self.grace).await;
            self.face.close().await;
            Ok(())
        })
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.grace + CLOSING_GRACE + MARGIN)
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(std::future::ready(self.face.connection().health()))
    }
}
