//! Makes supervised tools of `[tools.X]`.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use beluga_actors::tool::builtin::{calculator, clock};
use beluga_actors::tool::{ToolSettings as ActorSettings, Tools};
use beluga_core::{BoxFuture, Effect, Host, Result, Tool, ToolContext, ToolDefinition, ToolOutput};
use beluga_providers::http::{HttpClient, Network};
use beluga_providers::tool::{AllowList, HttpTool, HttpToolSettings as Limits};
use serde_json::Value;

use crate::config::{HttpToolSettings, Period, PoolSettings, ToolSettings};

/// The built-in tools of a node, shared by its agents.
#[derive(Debug)]
pub(super) struct ToolSet {
    host: Arc<dyn Host>,
    http: Arc<Swapped>,
}

impl ToolSet {
    /// Starts the built-in tools.
    ///
    /// # Errors
    /// What the supervisor answers; `internal` if TLS cannot be set up.
    pub(super) async fn start(tools: &Tools, settings: &ToolSettings, host: &Arc<dyn Host>) -> Result<Self> {
        let within = |timeout: Period, pool: Option<PoolSettings>| ActorSettings {
            timeout: timeout.get(),
            pool: pool.map(PoolSettings::size),
            ..ActorSettings::default()
        };
        let ToolSettings { calculator: calculates, clock: tells, http: sends } = settings;
        tools.add(Arc::new(calculator), within(calculates.timeout, calculates.pool)).await?;
        tools.add(Arc::new(clock(Arc::clone(host))), within(tells.timeout, tells.pool)).await?;
        let http = Arc::new(Swapped::new(Arc::new(http_tool(&settings.http, host)?)));
        tools.add(Arc::clone(&http) as Arc<dyn Tool>, within(sends.timeout, sends.pool)).await?;
        Ok(Self { host: Arc::clone(host), http })
    }

    /// Applies changed settings: calls that run go on with the old ones. Time limits and pools change at the next start.
    ///
    /// # Errors
    /// `internal` if TLS cannot be set up.
    pub(super) fn apply(&self, settings: &ToolSettings) -> Result<()> {
        self.http.replace(Arc::new(http_tool(&settings.http, &self.host)?));
        Ok(())
    }
}

fn http_tool(settings: &HttpToolSettings, host: &Arc<dyn Host>) -> Result<HttpTool> {
    let limits = Limits {
        allow: AllowList::parse(&settings.allow)?,
        body_max_bytes: settings.body_limit_bytes,
        timeout: settings.timeout.get(),
    };
    Ok(HttpTool::new(HttpClient::new(Network::Allowed)?, Arc::clone(host), limits))
}

/// A tool whose settings may change while it is offered.
struct Swapped {
    definition: ToolDefinition,
    current: ArcSwap<Arc<dyn Tool>>,
}

impl Swapped {
    fn new(tool: Arc<dyn Tool>) -> Self {
        Self { definition: tool.definition().clone(), current: ArcSwap::from_pointee(tool) }
    }

    fn replace(&self, tool: Arc<dyn Tool>) {
        self.current.store(Arc::new(tool));
    }
}

impl fmt::Debug for Swapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Swapped").field("current", &self.current.load()).finish()
    }
}

impl Tool for Swapped {
    fn definition(&self) -> &ToolDefinition {
        &self.definition
    }

    fn effect(&self, arguments: &Value) -> Effect {
        self.current.load().effect(arguments)
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        self.current.load().call(arguments, cx)
    }
}
