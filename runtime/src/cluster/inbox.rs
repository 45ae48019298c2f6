//! What comes in for a node.

use std::fmt;
use std::sync::{Arc, Weak};

use super::heartbeat::Heartbeat;
use super::inner::Inner;
use crate::time;
use crate::wire::frame;

/// Takes what comes in for one node. Clones are the same; none keeps the node alive.
#[derive(Clone)]
pub struct Inbox(Weak<Inner>);

impl Inbox {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(inner))
    }

    /// Takes frames.
    pub fn frames(&self, publish: &[u8]) {
        let Some(inner) = self.0.upgrade() else { return };
        match frame::decode(publish) {
            Ok(frames) => frames.into_iter().for_each(|frame| inner.take(frame)),
            Err(error) => tracing::warn!(%error, "what came in is no publish of a node"),
        }
    }

    /// Takes a heartbeat.
    pub fn heartbeat(&self, bytes: &[u8]) {
        let Some(inner) = self.0.upgrade() else { return };
        match Heartbeat::decode(bytes) {
            Ok(beat) => inner.member.lock().heard(&beat, time::now()),
            Err(error) => tracing::warn!(%error, "what came in is no heartbeat"),
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}
