//! Puts a node together, and takes it apart in order.

use std::sync::Arc;

use beluga_actors::agent::Agents;
use beluga_actors::budget::Budgets;
use beluga_actors::memory::{CoreMemory, RecallMemory};
use beluga_actors::model::Models;
use beluga_actors::retrieval::{EmbedderRef, RerankerRef};
use beluga_actors::session::{Settings, Stores};
use beluga_actors::tool::ToolSettings as ActorSettings;
use beluga_core::{Host, Result};
use beluga_runtime::cluster::Cluster;
use beluga_runtime::{Lifecycles, System, WatchdogSettings};
use beluga_transports::nats::Connection;

use super::agents::{self, Memories};
use super::budgets;
use super::cluster::{self, ClusterPart};
use super::data_dir::DataDir;
use super::metrics::NodeMetrics;
use super::models::ModelSet;
use super::nats;
use super::parts::{ActorsPart, JournalPart, ProvidersPart, SYSTEM_GRACE};
use super::reload::Applied;
use super::retrievals::{RetrievalSet, Running};
use super::stores;
use super::tools::ToolSet;
use crate::config::{Config, Environment, JournalKind, Watcher};

/// A running node.
#[derive(Debug)]
pub struct Node {
    pub(super) system: System,
    pub(super) agents: Agents,
    pub(super) config: Config,
    pub(super) applied: Option<Applied>,
    retrievals: Running,
    pub(super) watcher: Option<Watcher>,
    /// What is ended in reverse, and asked for its health.
    pub(super) parts: Arc<Lifecycles>,
    pub(super) is_listening: bool,
    pub(super) is_connected: bool,
    /// The one connection to NATS, where the journal lies there.
    pub(super) connection: Option<Connection>,
    /// The cluster the node is in.
    pub(super) cluster: Option<Cluster>,
    pub(super) metrics: NodeMetrics,
    pub(super) directory: DataDir,
}

impl Node {
    /// Starts the parts of a configuration. Open turns are not resumed yet, and nothing listens.
    ///
    /// # Errors
    /// `config` names the wrong setting; what the store answers.
    pub async fn start(config: Config, environment: &Environment, directory: DataDir, name: &str) -> Result<Self> {
        let builder = System::builder(name).shutdown_grace(SYSTEM_GRACE);
        let system = builder.watchdog(watchdog(&config)).build()?;
        let connection = connection(&config, environment, &system, name).await?;
        let open = stores::open(&config, &directory, &system, connection.as_ref(), environment).await?;
        let parts = Arc::new(Lifecycles::default());
        parts.add(Arc::new(JournalPart(open.sqlite.clone())));
        parts.add(Arc::new(ActorsPart(system.clone())));
        parts.add(Arc::new(ProvidersPart(system.clone())));
        parts.start().await?;
        let assembled = async {
            let applied = Self::assemble(&config, environment, &system, &open.stores).await?;
            let cluster = cluster::join(&config, &system, connection.as_ref(), name, &applied.agents).await?;
            if let Some(cluster) = cluster.clone() {
                let grace = config.cluster.grace.get();
                parts.add(Arc::new(ClusterPart { cluster, grace }));
                parts.start().await?;
            }
            Ok((applied, cluster))
        };
        match assembled.await {
            Ok((applied, cluster)) => {
                let (agents, models) = (applied.agents.clone(), applied.models.handle().clone());
                let metrics = NodeMetrics { agents: agents.clone(), models, sqlite: open.sqlite };
                Ok(Self {
                    agents,
                    system,
                    config,
                    retrievals: applied.retrievals.running().clone(),
                    applied: Some(applied),
                    watcher: None,
                    parts,
                    is_listening: false,
                    is_connected: false,
                    connection,
                    cluster,
                    metrics,
                    directory,
                })
            }
            Err(error) => {
                if let Err(second) = parts.stop().await {
                    tracing::warn!(error = %second, "a part did not stop after a failed start");
                }
                Err(error)
            }
        }
    }

    /// Fills a system with models, tools, memory and agents.
    async fn assemble(config: &Config, environment: &Environment, system: &System, stores: &Stores) -> Result<Applied> {
        let host: Arc<dyn Host> = system.host();
        let budgets = Budgets::start(system, budgets::settings(config)?).await?;
        let models = Models::start(system).await?;
        let mut retrievals = RetrievalSet::new(&models, Arc::clone(&host))?;
        let mut models = ModelSet::new(models, budgets.clone(), Arc::clone(&host), system.random().fork())?;
        let settings = Settings {
            idle_after: config.limits.session_idle.get(),
            max_active: config.limits.active_sessions,
            turn_timeout: config.limits.turn_timeout.get(),
            budgets: Some(budgets),
            ..Settings::default()
        };
        let agents = Agents::start(system, stores, settings).await?;
        let tools = ToolSet::start(agents.tools(), &config.tools, &host).await?;
        let memories = Memories {
            core: CoreMemory::start(system, Arc::clone(&stores.state)).await?,
            recall: RecallMemory::start(system, Arc::clone(&stores.messages)).await?,
        };
        for tool in memories.core.tools().into_iter().chain([memories.recall.tool()]) {
            agents.tools().add(tool, ActorSettings::default()).await?;
        }
        let built = models.build(config, environment)?;
        models.apply(config, built).await?;
        let built = retrievals.build(config, environment)?;
        retrievals.apply(config, built).await?;
        let specs = agents::build(&agents, config, &models, &memories).await?;
        agents::apply(&agents, specs).await?;
        Ok(Applied { agents, models, retrievals, tools, memories, config: config.clone() })
    }

    /// Returns the configuration the node was started with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the agents.
    #[must_use]
    pub fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Returns the embedder of `[embedders.NAME]`. Ask anew after the configuration was edited: a section that changed
    /// has a new one.
    ///
    /// # Errors
    /// `not_found` lists the names there are.
    pub fn embedder(&self, name: &str) -> Result<EmbedderRef> {
        self.retrievals.embedder(name)
    }

    /// Returns the reranker of `[rerankers.NAME]`, as [`embedder`](Self::embedder) does.
    ///
    /// # Errors
    /// `not_found` lists the names there are.
    pub fn reranker(&self, name: &str) -> Result<RerankerRef> {
        self.retrievals.reranker(name)
    }

    /// Returns the system.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Takes up the turns a crash left open; returns how many sessions.
    ///
    /// # Errors
    /// What the journal answers.
    pub async fn resume(&self) -> Result<usize> {
        self.agents.sessions().resume().await
    }

    /// Ends the node: no new turn is taken, running turns get `[limits] shutdown_grace`, then the listener, the actors
    /// and the store end in this order. A turn that did not end in time is resumed by the next start.
    ///
    /// # Errors
    /// `timeout` if something had to be killed; what the store answers.
    pub async fn shutdown(mut self) -> Result<()> {
        drop(self.watcher.take());
        self.parts.stop().await
    }
}

/// Connects to NATS if the journal lies there.
async fn connection(
    config: &Config,
    environment: &Environment,
    system: &System,
    name: &str,
) -> Result<Option<Connection>> {
    if config.journal.kind != JournalKind::Nats {
        return Ok(None);
    }
    match nats::settings(config, environment, name)? {
        Some(settings) => Connection::open(&settings, system.random()).await.map(Some),
        None => Ok(None),
    }
}

fn watchdog(config: &Config) -> WatchdogSettings {
    let settings = &config.watchdog;
    WatchdogSettings {
        period: settings.enabled.then(|| settings.period.get()),
        stuck_after: settings.stuck_after.get(),
        blocked_after: settings.blocked_after.get(),
    }
}
