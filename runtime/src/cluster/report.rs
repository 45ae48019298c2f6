//! A cluster as people and programs look at it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::membership::Standing;
use super::node::NodeId;
use super::view::{MemberState, View};

/// What one node knows of its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// The node that tells.
    pub node: NodeId,
    /// Where it stands.
    pub standing: Standing,
    /// Whether it may serve what it has at this moment.
    #[serde(rename = "ready")]
    pub is_ready: bool,
    /// Calls of this node that are on their way.
    pub calls_out: usize,
    /// Calls it serves.
    pub calls_in: usize,
    /// The version of the view it knows; `None` before it knows one.
    pub version: Option<u64>,
    /// The shards of the cluster.
    pub shards: u16,
    /// Shards nobody has.
    pub shards_unowned: usize,
    /// The members, the oldest first.
    pub members: Vec<MemberReport>,
}

/// A member as one node knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// Which life of which node.
    pub node: NodeId,
    /// What it does.
    pub state: MemberState,
    /// The name of the member that hears nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspected_by: Option<Arc<str>>,
    /// How much it takes in comparison with the others.
    pub weight: u32,
    /// How many shards it has.
    pub shards: usize,
    /// How many of these are to go to another member.
    pub leaving: usize,
    /// The version since which its word counts.
    pub since: u64,
}

impl ClusterReport {
    /// Fills in what the view says.
    pub(super) fn with_view(mut self, view: &View) -> Self {
        self.version = Some(view.version());
        self.shards = view.shards();
        let places = (0..view.shards()).filter_map(|shard| view.place(shard));
        self.shards_unowned = places.filter(|place| place.owner.is_none()).count();
        self.members = view
            .members()
            .iter()
            .map(|member| MemberReport {
                node: member.node.clone(),
                state: member.state,
                suspected_by: member.suspected_by.and_then(|by| view.member(by)).map(|by| Arc::clone(&by.node.name)),
                weight: member.weight,
                shards: view.owned(member.number).count(),
                leaving: view.owned(member.number).filter(|(_, place)| place.to.is_some()).count(),
                since: member.since,
            })
            .collect();
        self
    }
}
