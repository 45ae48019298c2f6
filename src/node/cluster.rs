//! A node's place in a cluster.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::Agents;
use beluga_core::{BoxFuture, Error, Result};
use beluga_runtime::cluster::{Cluster, ClusterSettings, Standing};
use beluga_runtime::{Health, Lifecycle, System, time};
use beluga_transports::nats::{Connection, NatsLink, NatsStore};

use super::parts::MARGIN;
use crate::config::Config;

/// How long a node that leaves waits for the others to take its shards, beyond the grace of its calls.
const LEAVE_MAX: Duration = Duration::from_secs(20);

/// Lets a node take part in the cluster the configuration names; `None` if it names none.
///
/// # Errors
/// `config` if there is no NATS server; what JetStream answers.
pub(super) async fn join(
    config: &Config,
    system: &System,
    connection: Option<&Connection>,
    name: &str,
    agents: &Agents,
) -> Result<Option<Cluster>> {
    let settings = &config.cluster;
    let Some(cluster) = &settings.name else { return Ok(None) };
    let unset = || Error::config("cluster.name: a cluster needs nats.servers, or --nats");
    let connection = connection.ok_or_else(unset)?;
    let store = NatsStore::open(connection, cluster, settings.replicas as usize).await?;
    let link = NatsLink::new(connection.clone(), cluster)?;
    let (weight, shards, grace) = (settings.weight, settings.shards, settings.grace.get());
    let settings = ClusterSettings { weight, shards, grace, ..ClusterSettings::new(name) };
    let cluster = Cluster::start(system, Arc::new(link), Arc::new(store), settings)?;
    agents.sessions().join(&cluster).await?;
    Ok(Some(cluster))
}

/// The node's place as a part of it: it leaves before the actors end.
pub(super) struct ClusterPart {
    pub(super) cluster: Cluster,
    pub(super) grace: Duration,
}

impl Lifecycle for ClusterPart {
    fn name(&self) -> &'static str {
        "cluster"
    }

    /// Hands the sessions over. Without an answer of the others they find out by themselves.
    fn stop(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { time::timeout(self.grace + LEAVE_MAX, self.cluster.leave()).await })
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.grace + LEAVE_MAX + MARGIN)
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        let standing = self.cluster.standing();
        let health = match standing {
            _ if self.cluster.is_ready() => Health::healthy(),
            Standing::Joining => Health::unhealthy("the node waits until the cluster takes it in"),
            Standing::Up => Health::unhealthy("the others do not hear the node, or the store does not answer"),
            Standing::Draining | Standing::Left => Health::unhealthy("the node leaves the cluster"),
            Standing::Out => Health::unhealthy("the cluster took the node out; it comes back as another"),
        };
        Box::pin(std::future::ready(health))
    }
}
