//! The connection of a node: made once, kept by the client, watched here.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, Event, ServerError};
use beluga_core::{Code, Error, Result};
use beluga_runtime::{Health, SystemRandom};
use parking_lot::Mutex;

use super::settings::{ConnectSettings, address, shown};

/// The most time the first connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the client waits between two tries to connect again, at least and at most; in between by chance.
const RECONNECT_DELAY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How often the client asks the server for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How many commands wait for the connection before a sender has to.
const COMMANDS_MAX: usize = 4_096;

/// How many messages of one subscription wait to be taken; further ones are lost and counted.
const SUBSCRIPTION_MAX: usize = 8_192;

/// The most refusals of the server that are remembered.
const REFUSALS_MAX: usize = 16;

/// A connection to NATS. Clones share it.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    watch: Arc<Watch>,
}

/// What the server told of the connection.
#[derive(Debug, Default)]
struct Watch {
    is_lost: AtomicBool,
    is_leaving: AtomicBool,
    dropped: AtomicU64,
    refusals: Mutex<VecDeque<String>>,
}

impl Connection {
    /// Connects. Later breaks are healed by the client, for ever; [`health`](Self::health) tells of them.
    ///
    /// # Errors
    /// `config` (an address, a file), `auth_error` (the server knows no such user), `unavailable` (no server answers).
    pub async fn open(settings: &ConnectSettings, random: &SystemRandom) -> Result<Self> {
        settings.check()?;
        let servers: Vec<async_nats::ServerAddr> =
            settings.servers.iter().map(|server| address(server)).collect::<Result<_>>()?;
        let watch = Arc::new(Watch::default());
        let options = options(settings, random.fork(), &watch).await?;
        let client = options.connect(servers.as_slice()).await.map_err(|error| {
            let (code, message) = match error.kind() {
                ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                    (Code::AuthError, "the nats server refused the credentials")
                }
                ConnectErrorKind::Tls => (Code::Config, "the nats server and this node agree on no encryption"),
                _ => (Code::Unavailable, "no nats server answers"),
            };
            let servers: Vec<String> = servers.iter().map(shown).collect();
            Error::new(code, message).with_op("nats.connect").with("servers", servers.join(", ")).with_source(error)
        })?;
        Ok(Self { client, watch })
    }

    /// Returns the client underneath.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns whether no server answers at the moment.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.watch.is_lost.load(Ordering::Relaxed)
    }

    /// Returns the largest payload the server takes, in bytes.
    #[must_use]
    pub fn payload_max(&self) -> usize {
        self.client.max_payload()
    }

    /// Returns how the connection is: unhealthy once the server refused a subscription, degraded while it is away.
    #[must_use]
    pub fn health(&self) -> Health {
        if let Some(refusal) = self.watch.refusals.lock().iter().find(|refusal| is_subscription(refusal)) {
            return Health::unhealthy(format!("the server refused: {refusal}"));
        }
        if self.is_lost() {
            return Health::degraded("no nats server answers; the node connects again by itself");
        }
        if self.watch.is_leaving.load(Ordering::Relaxed) {
            return Health::degraded("the nats server is going away; the node moves to another");
        }
        match self.watch.dropped.load(Ordering::Relaxed) {
            0 => Health::healthy(),
            times => Health::degraded(format!("messages came faster than they were taken, {times} times")),
        }
    }

    /// Returns what the server refused lately, oldest first.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        self.watch.refusals.lock().iter().cloned().collect()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("watch", &self.watch).finish_non_exhaustive()
    }
}

async fn options(
    settings: &ConnectSettings,
    random: SystemRandom,
    watch: &Arc<Watch>,
) -> Result<async_nats::ConnectOptions> {
    let watch = Arc::clone(watch);
    let mut options = async_nats::ConnectOptions::new()
        .name(&settings.name)
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .client_capacity(COMMANDS_MAX)
        .subscription_capacity(SUBSCRIPTION_MAX)
        .max_reconnects(None)
        .reconnect_delay_callback(move |_| {
            let (least, most) = RECONNECT_DELAY;
            least + (most - least).mul_f64(random.unit())
        })
        .event_callback(move |event| {
            watch.take(&event);
            std::future::ready(())
        });
    if !settings.inbox_prefix.is_empty() {
        options = options.custom_inbox_prefix(&settings.inbox_prefix);
    }
    if settings.tls.required {
        options = options.require_tls(true);
    }
    if let Some(authority) = &settings.tls.authority {
        options = options.add_root_certificates(authority.clone());
    }
    if let Some((certificate, key)) = &settings.tls.identity {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    settings.credentials.apply(options).await
}

impl Watch {
    fn take(&self, event: &Event) {
        match event {
            Event::Connected => {
                let was_lost = self.is_lost.swap(false, Ordering::Relaxed);
                self.is_leaving.store(false, Ordering::Relaxed);
                // Permissions may have changed meanwhile; what is refused still is refused again.
                self.refusals.lock().clear();
                if was_lost {
                    tracing::info!("connected to nats again");
                }
            }
            Event::Disconnected => {
                self.is_lost.store(true, Ordering::Relaxed);
                tracing::warn!("the connection to nats is lost");
            }
            Event::LameDuckMode => {
                self.is_leaving.store(true, Ordering::Relaxed);
                tracing::info!("the nats server is going away");
            }
            Event::SlowConsumer(subscription) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                metrics::counter!("beluga_nats_slow_consumer_total").increment(1);
                tracing::warn!(subscription, "messages came faster than they were taken, and were lost");
            }
            Event::ServerError(ServerError::Other(text)) => self.refused(text),
            Event::ServerError(error) => self.refused(&error.to_string()),
            Event::ClientError(error) => tracing::warn!(%error, "the nats client failed"),
            Event::Draining | Event::Closed => {}
        }
    }

    /// Remembers what the server complains of: nobody else is told, a publisher least of all.
    fn refused(&self, text: &str) {
        metrics::counter!("beluga_nats_refusals_total").increment(1);
        tracing::warn!(refusal = text, "the nats server refused");
        let mut refusals = self.refusals.lock();
        if refusals.iter().any(|known| known == text) {
            return;
        }
        if refusals.len() == REFUSALS_MAX {
            refusals.pop_front();
        }
        refusals.push_back(text.to_owned());
    }
}

/// Returns whether a complaint is about a subscription ("Permissions Violation for Subscription to …").
fn is_subscription(refusal: &str) -> bool {
    refusal.to_ascii_lowercase().contains("for subscription")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_subscription_is_worse_than_a_refused_message() {
        let watch = Watch::default();
        for number in 0..40 {
            watch.refused(&format!("Permissions Violation for Publish to \"a.{number}\""));
        }
        assert_eq!(watch.refusals.lock().len(), REFUSALS_MAX);
        assert!(!watch.refusals.lock().iter().any(|refusal| is_subscription(refusal)));
        watch.refused("Permissions Violation for Subscription to \"b\"");
        assert!(watch.refusals.lock().iter().any(|refusal| is_subscription(refusal)));
        watch.take(&Event::Connected);
        assert!(watch.refusals.lock().is_empty());
    }

    #[tokio::test]
    async fn no_server_is_told_by_address_and_without_secrets() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let settings = ConnectSettings::new(format!("nats://ann:pw-9@127.0.0.1:{port}"));
        let error = Connection::open(&settings, &SystemRandom::seeded(1)).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.to_string().contains(&port.to_string()) && !error.to_string().contains("pw-9"), "{error}");
    }
}
