//! The tree as introspection shows it: actors and jobs, with queue depths, restarts and ages.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use beluga_core::Result;
use serde::Serialize;
use serde_json::Value;

use super::System;
use crate::breaker::BreakerState;
use crate::job::JobRecord;
use crate::slot::{Phase, Slot};
use crate::time;

/// How many messages wait in each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LaneDepths {
    /// The control lane.
    pub control: usize,
    /// The interrupt lane.
    pub interrupt: usize,
    /// The normal lane.
    pub normal: usize,
    /// The bulk lane.
    pub bulk: usize,
}

/// A circuit breaker as the tree shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BreakerNode {
    /// What it does with the next call.
    pub state: BreakerState,
    /// Failures in a row, counted while closed.
    pub failures: u32,
    /// How often it has opened.
    pub opened: u64,
}

/// One actor or job of the tree.
#[derive(Debug, Clone, Serialize)]
pub struct TreeNode {
    /// The number of the slot; 0 for a job.
    pub id: u64,
    /// The path.
    pub name: String,
    /// What kind of actor or job it is.
    pub kind: String,
    /// The path of the supervisor; `None` for the root.
    pub supervisor: Option<String>,
    /// What it is doing; a job is `running`.
    pub state: Phase,
    /// How many messages wait.
    pub lanes: LaneDepths,
    /// How often it was built anew.
    pub restarts: u32,
    /// How many of its handlers panicked.
    pub panics: u64,
    /// How many of its jobs panicked.
    pub job_panics: u64,
    /// How many messages it has handled.
    pub handled: u64,
    /// How long the oldest waiting message has waited, to the precision of the system's coarse clock.
    pub oldest_message_age_ms: Option<u64>,
    /// For how long its handler has been awaiting; for a job, how long it has run.
    pub handler_age_ms: Option<u64>,
    /// Its circuit breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerNode>,
    /// What the actor itself shows, as of the last time it was idle.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub status: Value,
    /// Children in the order they were started, then jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<TreeNode>,
}

impl TreeNode {
    /// Finds a node by its path.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&TreeNode> {
        if self.name == name {
            return Some(self);
        }
        self.children.iter().find_map(|child| child.find(name))
    }

    /// Visits this node and all below it, parents first.
    pub fn visit<'a>(&'a self, look: &mut impl FnMut(&'a TreeNode)) {
        look(self);
        self.children.iter().for_each(|child| child.visit(look));
    }
}

impl System {
    /// Returns the tree as it is now. Each actor is read on its own, so the whole is no consistent cut. Nothing waits
    /// for an actor: a stuck one shows like any other.
    ///
    /// # Errors
    /// `unavailable` once the system was shut down.
    pub fn snapshot(&self) -> Result<TreeNode> {
        let root = self.root()?;
        let now_ns = root.ground.clock.read();
        Ok(node(&root, None, now_ns))
    }
}

fn node(slot: &Arc<Slot>, supervisor: Option<&str>, now_ns: u64) -> TreeNode {
    let ([control, interrupt, normal, bulk], oldest) = slot.mailbox.depths();
    let age_ms = |since_ns: u64| now_ns.saturating_sub(since_ns) / 1_000_000;
    let hand = slot.stats.hand_since_ns.load(Ordering::Relaxed);
    let children = slot.children.lock().list.clone();
    let incarnation = slot.life.lock().incarnation.clone();
    let mut below: Vec<TreeNode> = children.iter().map(|child| node(child, Some(slot.name()), now_ns)).collect();
    let jobs = incarnation.map(|incarnation| incarnation.jobs.records()).unwrap_or_default();
    below.extend(jobs_below(&jobs, None, slot.name()));
    TreeNode {
        id: slot.id(),
        name: slot.name().to_string(),
        kind: slot.kind().to_owned(),
        supervisor: supervisor.map(str::to_owned),
        state: slot.phase(),
        lanes: LaneDepths { control, interrupt, normal, bulk },
        restarts: slot.stats.restarts.load(Ordering::Relaxed),
        panics: slot.stats.panics.load(Ordering::Relaxed),
        job_panics: slot.stats.job_panics.load(Ordering::Relaxed),
        handled: slot.stats.handled.load(Ordering::Relaxed),
        oldest_message_age_ms: oldest.map(age_ms),
        handler_age_ms: (hand != 0).then(|| age_ms(hand)),
        breaker: breaker_of(slot),
        status: status(slot),
        children: below,
    }
}

pub(super) fn breaker_of(slot: &Slot) -> Option<BreakerNode> {
    let status = slot.breaker.as_ref()?.status();
    Some(BreakerNode { state: status.state, failures: status.failures, opened: status.opened })
}

/// Asks the actor's source, outside its lock.
fn status(slot: &Slot) -> Value {
    let source = slot.status.lock().clone();
    source.map(|source| source.read()).unwrap_or_default()
}

fn jobs_below(jobs: &[(u64, JobRecord)], parent: Option<u64>, supervisor: &str) -> Vec<TreeNode> {
    let own = jobs.iter().filter(|(_, record)| record.parent == parent);
    own.map(|(id, record)| TreeNode {
        id: 0,
        name: record.path.to_string(),
        kind: record.kind.to_string(),
        supervisor: Some(supervisor.to_owned()),
        state: Phase::Running,
        lanes: LaneDepths::default(),
        restarts: 0,
        panics: 0,
        job_panics: 0,
        handled: 0,
        oldest_message_age_ms: None,
        handler_age_ms: Some(
            u64::try_from(time::now().saturating_duration_since(record.since).as_millis()).unwrap_or(u64::MAX),
        ),
        breaker: None,
        status: Value::Null,
        children: jobs_below(jobs, Some(*id), &record.path),
    })
    .collect()
}
