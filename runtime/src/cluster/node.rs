//! One life of a node.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A node's name and its epoch: a node that comes back under its name is another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId {
    /// Its name, one per cluster.
    pub name: Arc<str>,
    /// Rises with each life of the name.
    pub epoch: u64,
}

impl NodeId {
    /// Names one life of a node.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, epoch: u64) -> Self {
        Self { name: name.into(), epoch }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.name, self.epoch)
    }
}
