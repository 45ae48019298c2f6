//! The typed references users hold: one tool, or all tools of a node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use beluga_core::{Effect, Error, Registry, Result, Tool, ToolContext, ToolDefinition, ToolOutput};
use beluga_runtime::{Address, Pool, PoolKey, PoolSpec, Ref, Silent, Spec, System};
use parking_lot::RwLock;
use serde_json::Value;

use super::actor::{ToolActor, ToolSettings, ToolState, ToolTotals, ToolsActor};
use super::message::{CallTool, ToolProtocol};

/// A reference to a supervised tool. Stays valid over restarts; cheap to clone.
#[derive(Clone)]
pub struct ToolRef {
    state: Arc<ToolState>,
    actor: Ref<ToolProtocol>,
    pool: Option<Pool<ToolProtocol>>,
}

impl ToolRef {
    /// Returns what the model knows of the tool.
    #[must_use]
    pub fn definition(&self) -> &ToolDefinition {
        self.state.tool.definition()
    }

    /// Returns the effect class of a call with these arguments.
    #[must_use]
    pub fn effect(&self, arguments: &Value) -> Effect {
        self.state.tool.effect(arguments)
    }

    /// Runs the tool. Dropping the future cancels the call.
    ///
    /// # Errors
    /// `invalid_input` (arguments), `tool_failed` (also a panic), `timeout`, `overloaded`, `circuit_open`, `cancelled`,
    /// `unknown_outcome` (the tool was killed in the middle), and what the tool itself answers.
    pub async fn call(&self, arguments: Value, context: ToolContext) -> Result<ToolOutput> {
        let mut limit = self.definition().timeout.unwrap_or(self.state.settings.timeout);
        if self.pool.is_some() {
            limit = limit.saturating_mul(2);
        }
        let call = context.call.clone();
        // The tool's own limit ends the call; the ask waits a little longer to hear of it.
        self.actor.ask(CallTool { arguments, context }).with_context(&call).within(limit + REPLY_GRACE).await
    }

    /// Brings the tool's pool to that many workers, as [`Pool::resize`].
    ///
    /// # Errors
    /// `unsupported` for a tool without a pool, and those of [`Pool::resize`].
    pub async fn resize(&self, workers: usize) -> Result<()> {
        let name = &self.definition().name;
        let pool = self.pool.as_ref();
        pool.ok_or_else(|| Error::unsupported("the tool has no pool").with("tool", name))?.resize(workers).await
    }

    /// Stops the actor for good.
    pub fn stop(&self) {
        self.actor.stop();
    }
}

/// How long a caller waits for the word that a tool's time is up.
const REPLY_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

impl fmt::Debug for ToolRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolRef").field("name", &self.definition().name).finish_non_exhaustive()
    }
}

/// The tools of a node, by name. A second tool of a name is refused.
#[derive(Clone)]
pub struct Tools {
    system: System,
    root: Address,
    shared: Arc<RwLock<Registry<ToolRef>>>,
    /// For their totals. Weak: a tool that ended is forgotten.
    states: Arc<RwLock<BTreeMap<String, Weak<ToolState>>>>,
}

impl Tools {
    /// Starts the supervisor of tools in a system.
    ///
    /// # Errors
    /// `conflict` if the system has one already.
    pub async fn start(system: &System) -> Result<Self> {
        let root: Ref<Silent> = system.spawn("tools", || ToolsActor).await?;
        let shared = Arc::new(RwLock::new(Registry::new("tool")));
        Ok(Self { system: system.clone(), root: root.address()?, shared, states: Arc::default() })
    }

    /// Puts a tool under supervision, to be shared by agents.
    ///
    /// # Errors
    /// `conflict` if the name is taken, `config` if its schema is no JSON Schema, `invalid_input` for a pool without
    /// workers or with too many.
    pub async fn add(&self, tool: Arc<dyn Tool>, settings: ToolSettings) -> Result<ToolRef> {
        let name = tool.definition().name.clone();
        if self.shared.read().get(&name).is_ok() {
            return Err(Error::conflict("a tool of this name is there already").with("tool", name));
        }
        let tool = self.spawn_as(name.clone(), tool, settings).await?;
        self.shared.write().add(name, tool.clone())?;
        Ok(tool)
    }

    /// Returns a shared tool.
    ///
    /// # Errors
    /// `not_found` lists the tools there are.
    pub fn get(&self, name: &str) -> Result<ToolRef> {
        self.shared.read().get(name).cloned()
    }

    /// Returns the shared tools, sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<ToolRef> {
        self.shared.read().iter().map(|(_, tool)| tool.clone()).collect()
    }

    /// Removes a shared tool and stops its actor.
    ///
    /// # Errors
    /// `not_found` if there is none of this name.
    pub fn remove(&self, name: &str) -> Result<()> {
        let removed = self.shared.write().remove(name);
        removed.map(|tool| tool.stop()).ok_or_else(|| Error::not_found("no tool of this name").with("tool", name))
    }

    /// Puts a tool under supervision under a name of its own.
    pub(crate) async fn spawn_as(
        &self,
        actor_name: String,
        tool: Arc<dyn Tool>,
        settings: ToolSettings,
    ) -> Result<ToolRef> {
        let (breaker, pool) = (settings.breaker, settings.pool);
        let state = Arc::new(ToolState::new(tool, settings, self.system.random().fork())?);
        let factory = {
            let state = Arc::clone(&state);
            move || ToolActor::new(Arc::clone(&state))
        };
        let mut spec = Spec::new(actor_name.as_str(), factory).kept();
        let (actor, pool) = match pool {
            Some(size) => {
                let mut spec = PoolSpec::sized(actor_name.as_str(), size, spec)
                    .key_of::<CallTool>(|call| Some(PoolKey::of(call.context.session.as_str())))
                    .kept();
                if let Some(config) = breaker {
                    spec = spec.breaker(config);
                }
                let pool = self.system.spawn_pool_under(&self.root, spec).await?;
                (pool.actor(), Some(pool))
            }
            None => {
                if let Some(config) = breaker {
                    spec = spec.breaker(config);
                }
                (self.system.spawn_under(&self.root, spec).await?, None)
            }
        };
        let mut states = self.states.write();
        states.retain(|_, state| state.strong_count() > 0);
        states.insert(actor_name, Arc::downgrade(&state));
        Ok(ToolRef { state, actor, pool })
    }

    /// Returns what the calls of each tool came to, those of single agents included, sorted by name.
    #[must_use]
    pub fn totals(&self) -> Vec<ToolTotals> {
        let states = self.states.read();
        states.iter().filter_map(|(name, state)| Some(state.upgrade()?.totals(name))).collect()
    }
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tools").field("shared", &self.shared.read()).finish_non_exhaustive()
    }
}
