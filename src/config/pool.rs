//! `pool = { workers = 4, queue = 100, routing = "key" }` of a tool or a provider: how many calls run at a time.

use beluga_runtime::{Overflow, PoolSettings as Size, Routing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of workers that run the calls, one at a time each, and a queue before them. What finds the queue full is
/// refused as overloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolSettings {
    /// The most calls at the same time.
    // As `WORKERS_MAX`; an attribute takes no constant.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: usize,
    /// The most calls that wait: in all, or for each worker if each has a queue of its own.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default = "default_queue")]
    pub queue: usize,
    /// Which worker gets a call.
    #[serde(default)]
    pub routing: PoolRouting,
}

/// Which worker gets a call. The key of a tool's call is its session, that of a model's call its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolRouting {
    /// Any free one.
    #[default]
    Free,
    /// One after the other; each has a queue of its own.
    RoundRobin,
    /// The one that has a call of the same key, else any free one: calls of a key run one after the other.
    Sticky,
    /// The same one for a key at all times; each has a queue of its own.
    Key,
}

fn default_queue() -> usize {
    Size::default().queue
}

impl PoolSettings {
    /// Returns the size as the kernel takes it.
    #[must_use]
    pub fn size(self) -> Size {
        let routing = match self.routing {
            PoolRouting::Free => Routing::Queuer,
            PoolRouting::RoundRobin => Routing::RoundRobin,
            PoolRouting::Sticky => Routing::Sticky,
            PoolRouting::Key => Routing::KeyPersistent,
        };
        Size { workers: self.workers, queue: self.queue, overflow: Overflow::Reject, routing }
    }
}
