//! `[cluster]`: which nodes share the sessions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::period::Period;
use super::service::{JournalKind, JournalSync};
use super::settings::Config;

/// How many replicas a bucket or a stream of JetStream may have.
const REPLICAS: [u32; 3] = [1, 3, 5];

/// How many replicas survive a loss of power.
const REPLICAS_SAFE: u32 = 3;

/// The cluster a node is in. Without a name it is in none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterSettings {
    /// Its name: nodes of one name, on one NATS server or cluster of servers, share their sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many of the sessions the node takes in comparison with the others.
    #[schemars(range(min = 1, max = 1000))]
    pub weight: u32,
    /// How many NATS servers keep each thing: 1, 3 or 5. Counts when the journal and the cluster are made.
    pub replicas: u32,
    /// Into how many shards sessions are put. Counts for the cluster's first node; never changes.
    #[schemars(range(min = 1, max = 16_384))]
    pub shards: u16,
    /// How long calls may take to end when their shard goes to another node.
    pub grace: Period,
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self { name: None, weight: 1, replicas: 1, shards: 1024, grace: Period::from_secs(10) }
    }
}

impl ClusterSettings {
    pub(super) fn check(&self, config: &Config, check: &mut Check<'_>) {
        if let Some(name) = &self.name {
            if beluga_core::TenantId::parse(name).is_err() {
                let hint = format!("a name has 1 to {} of A-Z a-z 0-9 _ -", beluga_core::ID_MAX_BYTES);
                check.problem(&["cluster", "name"], "is no name", Some(hint));
            }
            if config.journal.kind != JournalKind::Nats {
                let hint = "kind = \"nats\": the next node reads what the one before wrote".to_owned();
                check.problem(&["journal", "kind"], "must be \"nats\" in a cluster", Some(hint));
            }
        }
        if !REPLICAS.contains(&self.replicas) {
            check.problem(&["cluster", "replicas"], "must be 1, 3 or 5", None);
        }
        let is_on_nats = config.journal.kind == JournalKind::Nats;
        if is_on_nats && config.journal.sync != JournalSync::Off && self.replicas < REPLICAS_SAFE {
            let hint = "\"off\", or [cluster] replicas = 3 with three NATS servers".to_owned();
            let message = "promises more than fewer than three replicas keep: no loss of power is survived";
            check.problem(&["journal", "sync"], message, Some(hint));
        }
    }
}
