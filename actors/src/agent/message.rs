//! What may be said to an agent.

use beluga_runtime::{Message, protocol};

use super::handoff::HandoffNotice;

/// Offers a conversation to the agent. Its answer accepts; an error refuses, and the model is told.
#[derive(Debug, Message)]
#[message(name = "agent.accept_handoff", version = 1)]
pub(crate) struct AcceptHandoff(pub(crate) HandoffNotice);

protocol!(
    /// What may be said to an agent.
    pub(crate) AgentProtocol: AcceptHandoff
);
