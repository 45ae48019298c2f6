//! Applies an edited configuration to a running node.

use std::path::Path;

use beluga_actors::agent::Agents;
use beluga_actors::model::ModelRef;
use beluga_core::Result;
use beluga_runtime::{task, time};
use tokio::sync::mpsc;

use super::agents::{self, Memories};
use super::budgets;
use super::models::ModelSet;
use super::retrievals::{Retired, RetrievalSet};
use super::start::Node;
use super::tools::ToolSet;
use crate::config::{Config, Environment, Sources, SpendSettings, Watcher};

/// How many edits may wait while one is applied; each is whole, so only the last counts.
const EDITS_WAITING: usize = 8;

/// What a configuration became in a running node.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) agents: Agents,
    pub(super) models: ModelSet,
    pub(super) retrievals: RetrievalSet,
    pub(super) tools: ToolSet,
    pub(super) memories: Memories,
    pub(super) config: Config,
}

impl Node {
    /// Watches the configuration file; `loaded` is what the node was started with. An edit that passes every check is
    /// applied: providers, routers, embedders, rerankers, tools, agents, budgets, prices and facts of models change for the
    /// next turn; `[journal]`, `[cluster]`, `[http]`, `[limits]` and `[watchdog]` change with the next start. A broken file changes
    /// nothing.
    ///
    /// # Errors
    /// `config` when the file cannot be watched.
    pub fn watch(&mut self, path: &Path, loaded: &Sources) -> Result<()> {
        let Some(mut applied) = self.applied.take() else { return Ok(()) };
        let (edits, mut waiting) = mpsc::channel(EDITS_WAITING);
        let watcher = Watcher::start(path, loaded, move |config: Config| {
            if edits.try_send(config).is_err() {
                tracing::warn!("too many edits at once; the configuration is read again with the next one");
            }
        })?;
        // What the command line changed is no edit of the file.
        applied.config = Config::load(loaded)?;
        let environment = loaded.environment().clone();
        drop(task::spawn("config.apply", async move {
            // Ends with the watcher, which owns the other end.
            while let Some(config) = waiting.recv().await {
                match applied.apply(config, &environment).await {
                    Ok(()) => tracing::info!("the edited configuration is in force"),
                    Err(error) => tracing::error!(%error, "the edited configuration cannot be applied"),
                }
            }
        }));
        self.watcher = Some(watcher);
        Ok(())
    }
}

impl Applied {
    /// Builds everything first, so that a configuration that cannot be built leaves the old one in force.
    async fn apply(&mut self, config: Config, environment: &Environment) -> Result<()> {
        let old = &self.config;
        let fixed = |config: &Config| {
            let tenants = (config.tenants.clone(), config.tiers.clone());
            let shared = (config.journal.clone(), config.cluster.clone());
            (shared, config.http.clone(), config.limits.clone(), config.watchdog.clone(), tenants)
        };
        if fixed(old) != fixed(&config) {
            tracing::warn!(
                "changes of [journal], [cluster], [http], [limits], [watchdog], [tenants] and [tiers] take effect with the next \
                 start"
            );
        }
        let built = self.models.build(&config, environment)?;
        let searching = self.retrievals.build(&config, environment)?;
        let spends = |config: &Config| {
            let of = |budget: &Option<SpendSettings>| *budget;
            let tenants: Vec<_> =
                config.tenants.iter().map(|(name, tenant)| (name.clone(), of(&tenant.budget))).collect();
            let tiers: Vec<_> = config.tiers.iter().map(|(name, tier)| (name.clone(), of(&tier.budget))).collect();
            (config.budgets.clone(), config.prices.clone(), tenants, tiers)
        };
        if spends(old) != spends(&config) {
            self.models.budgets().configure(budgets::settings(&config)?).await?;
        }
        let retired = self.models.apply(&config, built).await?;
        let unused = self.retrievals.apply(&config, searching).await?;
        let specs = agents::build(&self.agents, &config, &self.models, &self.memories).await?;
        agents::apply(&self.agents, specs).await?;
        self.tools.apply(&config.tools)?;
        self.retire(retired, unused);
        self.config = config;
        Ok(())
    }

    /// Ends replaced models, embedders and rerankers once no turn can use them any more.
    fn retire(&self, models: Vec<ModelRef>, retrievals: Retired) {
        if models.is_empty() && retrievals.is_empty() {
            return;
        }
        let longest_turn = self.config.limits.turn_timeout.get();
        drop(task::spawn("config.retire", async move {
            time::sleep(longest_turn).await;
            models.iter().for_each(ModelRef::stop);
            retrievals.stop();
        }));
    }
}
