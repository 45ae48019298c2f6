//! What members tell each other all the time.

use beluga_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::node::NodeId;
use super::view::MEMBERS_MAX;

/// A sign of life, and which signs of life it answers. It goes to everybody.
///
/// A heartbeat whose number comes back in a peer's [`heard`](Self::heard) is confirmed by it: the peer will not take the
/// sender out before the lease that began when *this* heartbeat was sent, and the margin, are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who is alive.
    pub from: NodeId,
    /// Rises by one with each heartbeat of this life.
    pub number: u64,
    /// The generation of the view it knows; 0 before it knows one.
    pub generation: u64,
    /// The version of the view it knows.
    pub version: u64,
    /// The newest heartbeats it heard, by sender.
    pub heard: Vec<(NodeId, u64)>,
    /// The members it has not heard for the time of a suspicion.
    pub silent: Vec<NodeId>,
}

/// The most bytes of a heartbeat.
pub const HEARTBEAT_MAX_BYTES: usize = 64 << 10;

impl Heartbeat {
    /// Writes it, as JSON: tools can read along.
    ///
    /// # Errors
    /// `internal` if it cannot be written.
    pub fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::internal("a heartbeat cannot be written").with_source(error))
    }

    /// Reads one.
    ///
    /// # Errors
    /// `decode` for what is none.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > HEARTBEAT_MAX_BYTES {
            return Err(Error::decode("a heartbeat is too large").with("size_bytes", bytes.len()));
        }
        let read: serde_json::Result<Self> = serde_json::from_slice(bytes);
        let beat = read.map_err(|error| Error::decode("no heartbeat").with_source(error))?;
        if beat.heard.len() > MEMBERS_MAX || beat.silent.len() > MEMBERS_MAX {
            return Err(Error::decode("a heartbeat of more members than a cluster has"));
        }
        Ok(beat)
    }
}
