//! Puts a node together, and takes it apart in order.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::agent::Agents;
use beluga_actors::memory::{CoreMemory, RecallMemory};
use beluga_actors::model::Models;
use beluga_actors::session::Settings;
use beluga_actors::tool::ToolSettings as ActorSettings;
use beluga_core::{Host, Result};
use beluga_providers::sqlite::Sqlite;
use beluga_runtime::System;

use super::agents::{self, Memories};
use super::data_dir::DataDir;
use super::face::OpenFace;
use super::models::ModelSet;
use super::reload::Applied;
use super::stores;
use super::tools::ToolSet;
use crate::config::{Config, Environment, Watcher};

/// How long the actors may take to end once no turn runs.
const SYSTEM_GRACE: Duration = Duration::from_secs(10);

/// A running node.
#[derive(Debug)]
pub struct Node {
    pub(super) system: System,
    pub(super) agents: Agents,
    pub(super) config: Config,
    pub(super) applied: Option<Applied>,
    pub(super) watcher: Option<Watcher>,
    pub(super) sqlite: Option<Sqlite>,
    pub(super) face: Option<OpenFace>,
    pub(super) directory: DataDir,
}

impl Node {
    /// Starts the parts of a configuration. Open turns are not resumed yet, and nothing listens.
    ///
    /// # Errors
    /// `config` names the wrong setting; what the store answers.
    pub async fn start(config: Config, environment: &Environment, directory: DataDir, name: &str) -> Result<Self> {
        let system = System::builder(name).shutdown_grace(SYSTEM_GRACE).build()?;
        let host: Arc<dyn Host> = system.host();
        let open = stores::open(&config.journal, &directory, &host, environment)?;
        let mut models = ModelSet::new(Models::start(&system).await?, Arc::clone(&host))?;
        let settings = Settings {
            idle_after: config.limits.session_idle.get(),
            max_active: config.limits.active_sessions,
            turn_timeout: config.limits.turn_timeout.get(),
            ..Settings::default()
        };
        let agents = Agents::start(&system, &open.stores, settings).await?;
        let tools = ToolSet::start(agents.tools(), &config.tools, &host).await?;
        let memories = Memories {
            core: CoreMemory::start(&system, Arc::clone(&open.stores.state)).await?,
            recall: RecallMemory::start(&system, Arc::clone(&open.stores.messages)).await?,
        };
        for tool in memories.core.tools().into_iter().chain([memories.recall.tool()]) {
            agents.tools().add(tool, ActorSettings::default()).await?;
        }
        let built = models.build(&config, environment)?;
        models.apply(&config, built).await?;
        let specs = agents::build(&agents, &config, &models, &memories).await?;
        agents::apply(&agents, specs).await?;
        let applied = Applied { agents: agents.clone(), models, tools, memories, config: config.clone() };
        Ok(Self {
            system,
            agents,
            config,
            applied: Some(applied),
            watcher: None,
            sqlite: open.sqlite,
            face: None,
            directory,
        })
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
        let grace = self.config.limits.shutdown_grace.get();
        if let Some(face) = self.face.take() {
            face.shutdown(&self.agents, grace).await;
        }
        let ended = self.system.shutdown(SYSTEM_GRACE).await;
        let closed = match &self.sqlite {
            Some(sqlite) => sqlite.close().await,
            None => Ok(()),
        };
        ended.and(closed)
    }
}
