//! What carries publishes between nodes.

use std::fmt;

use beluga_core::{BoxFuture, Result};
use bytes::Bytes;

use super::inbox::Inbox;
use super::node::NodeId;

/// Carries heartbeats to all nodes, and frames to one life of a node.
///
/// Laws: a publish arrives whole or not at all; what was sent for one life reaches no other. Publishes may be lost, late,
/// doubled, and out of order; where they mostly are not, calls are fast.
pub trait Link: fmt::Debug + Send + Sync + 'static {
    /// Lets everything for one life of this node come in from now on, and nothing for an earlier one any more. The inbox
    /// does not block; frames are given to it by one task.
    ///
    /// # Errors
    /// `unavailable` without a connection.
    fn open(&self, me: &NodeId, inbox: Inbox) -> BoxFuture<'static, Result<()>>;

    /// Sends frames to one life of a node. It never waits.
    ///
    /// # Errors
    /// `overloaded` or `unavailable`: certainly nothing was sent.
    fn send(&self, to: &NodeId, publish: Bytes) -> Result<()>;

    /// Sends a heartbeat to all nodes. It never waits.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn beat(&self, heartbeat: Bytes) -> Result<()>;
}
