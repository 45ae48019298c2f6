//! What carries publishes between nodes.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, Result};
use bytes::Bytes;

use super::node::NodeId;

/// Carries heartbeats to all nodes, and frames to one life of a node.
///
/// Laws: a publish arrives whole or not at all; what was sent for one life reaches no other. Publishes may be lost, late,
/// doubled, and out of order; where they mostly are not, calls are fast.
pub trait Link: fmt::Debug + Send + Sync + 'static {
    /// Lets everything for one life of this node come in from now on, and nothing for an earlier one any more. The inbox is
    /// called by one task at a time, and does not block.
    ///
    /// # Errors
    /// `unavailable` without a connection.
    fn open(&self, me: &NodeId, inbox: Arc<dyn Inbox>) -> BoxFuture<'static, Result<()>>;

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

/// What takes what comes in.
pub trait Inbox: fmt::Debug + Send + Sync + 'static {
    /// Takes frames.
    fn frames(&self, publish: &[u8]);

    /// Takes a heartbeat.
    fn heartbeat(&self, bytes: &[u8]);
}
