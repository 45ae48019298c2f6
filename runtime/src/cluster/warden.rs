//! The actor each node has for what others ask of the node itself.

use std::sync::Weak;

use beluga_core::{Error, Result};
use beluga_macros::Message;
use serde::{Deserialize, Serialize};

use super::inner::Inner;
use crate::actor::{Actor, Handler};
use crate::cx::Cx;
use crate::protocol;

/// The name of the actor.
pub(super) const NAME: &str = "cluster";

/// Asks a node to hand over what it has and to leave. Answered once it has begun to.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(name = "cluster.leave", version = 1, reply = ())]
pub(crate) struct Leave;

protocol!(
    /// What may be asked of a node.
    pub(crate) WardenProtocol: Leave
);

/// Takes what others ask of this node.
pub(super) struct Warden(pub(super) Weak<Inner>);

impl Actor for Warden {
    type Protocol = WardenProtocol;
    const KIND: &'static str = "warden";
}

impl Handler<Leave> for Warden {
    async fn handle(&mut self, _leave: Leave, _cx: &mut Cx<Self>) -> Result<()> {
        let inner = self.0.upgrade().ok_or_else(|| Error::unavailable("the node is going down"))?;
        inner.drain();
        Ok(())
    }
}
