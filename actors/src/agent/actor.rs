//! How an agent reacts: it supervises its sessions and takes handoffs.

use std::sync::Arc;

use beluga_core::{AgentName, Error, Result};
use beluga_runtime::{Actor, Cx, Handler, Silent, task};
use serde_json::{Value, json};

use super::handoff::HANDOFFS_MAX;
use super::message::{AcceptHandoff, AgentProtocol};
use crate::session::{Sessions, Shared};

/// The supervisor of all agents of a node.
pub(crate) struct AgentsActor;

impl Actor for AgentsActor {
    type Protocol = Silent;
    const KIND: &'static str = "agents";
}

/// The actor of one agent.
pub(crate) struct AgentActor {
    name: AgentName,
    shared: Arc<Shared>,
    incarnation: u64,
    handoffs: u64,
}

impl AgentActor {
    pub(crate) fn new(name: AgentName, shared: Arc<Shared>, incarnation: u64) -> Self {
        Self { name, shared, incarnation, handoffs: 0 }
    }
}

impl Actor for AgentActor {
    type Protocol = AgentProtocol;
    const KIND: &'static str = "agent";

    /// A restarted agent lost its sessions with it: those in the middle of a turn are brought back.
    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        if self.incarnation > 1 {
            let sessions = Sessions(Arc::clone(&self.shared));
            task::spawn("agent.resume", async move {
                if let Err(error) = sessions.resume().await {
                    tracing::warn!(%error, "open turns could not be resumed");
                }
            });
        }
        Ok(())
    }

    fn status(&self) -> Value {
        let spec = self.shared.agents.spec(&self.name).ok();
        json!({
            "agent": self.name,
            "model": spec.as_ref().map(|spec| spec.model.info().model),
            "tools": spec.as_ref().map(|spec| spec.tool_names()),
            "handoffs_taken": self.handoffs,
        })
    }
}

impl Handler<AcceptHandoff> for AgentActor {
    async fn handle(&mut self, AcceptHandoff(notice): AcceptHandoff, _cx: &mut Cx<Self>) -> Result<()> {
        if notice.hops > HANDOFFS_MAX {
            return Err(Error::overloaded(format!("a turn makes at most {HANDOFFS_MAX} handoffs")));
        }
        self.handoffs += 1;
        tracing::info!(from = %notice.from, to = %notice.to, mode = ?notice.mode, hops = notice.hops, "handoff");
        Ok(())
    }
}
