//! How an agent reacts: it supervises its sessions and takes handoffs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use beluga_core::{AgentName, Error, Result};
use beluga_runtime::telemetry::request_id;
use beluga_runtime::{Actor, Cx, Handler, Silent, StatusSource};
use serde_json::json;

use super::handoff::{HANDOFFS_MAX, HandoffNotice};
use super::message::{AcceptHandoff, AgentProtocol};
use crate::session::Shared;

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
    handoffs: Arc<AtomicU64>,
}

impl AgentActor {
    pub(crate) fn new(name: AgentName, shared: Arc<Shared>) -> Self {
        Self { name, shared, handoffs: Arc::default() }
    }
}

impl Actor for AgentActor {
    type Protocol = AgentProtocol;
    const KIND: &'static str = "agent";

    fn status(&self) -> Option<StatusSource> {
        let (name, shared, handoffs) = (self.name.clone(), Arc::clone(&self.shared), Arc::clone(&self.handoffs));
        Some(StatusSource::new(move || {
            let spec = shared.agents.spec(&name).ok();
            json!({
                "agent": name,
                "model": spec.as_ref().map(|spec| spec.model.info().model),
                "tools": spec.as_ref().map(|spec| spec.tool_names()),
                "handoffs_taken": handoffs.load(Ordering::Relaxed),
            })
        }))
    }
}

impl Handler<AcceptHandoff> for AgentActor {
    async fn handle(&mut self, AcceptHandoff(notice): AcceptHandoff, cx: &mut Cx<Self>) -> Result<()> {
        if notice.hops > HANDOFFS_MAX {
            return Err(Error::overloaded(format!("a turn makes at most {HANDOFFS_MAX} handoffs")));
        }
        self.handoffs.fetch_add(1, Ordering::Relaxed);
        let HandoffNotice { from, to, mode, hops } = notice;
        let request_id = request_id(cx.context());
        tracing::info!(%from, %to, ?mode, hops, request_id, "handoff");
        Ok(())
    }
}
