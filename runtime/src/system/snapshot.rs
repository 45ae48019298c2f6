//! The tree as introspection shows it: actors and jobs, with queue depths, restarts and ages.
//!
//! It is looked at level by level, so that bounds leave out what is deep and what is many, and never the upper levels.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use beluga_core::Result;
use serde::Serialize;
use serde_json::Value;

use super::System;
use crate::address::Address;
use crate::breaker::BreakerState;
use crate::job::JobRecord;
use crate::slot::{Phase, Slot};
use crate::time;

/// How many messages wait in each lane.
///
/// See [`System::snapshot`] for an example.
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
///
/// See [`System::snapshot`] for an example.
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
///
/// See [`System::snapshot`] for an example.
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
    /// Whether its messages are held back ([`Address::pause`]).
    pub paused: bool,
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
    /// The message whose handler has been awaiting; `None` for a job and for a step of the actor's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'static str>,
    /// Its circuit breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerNode>,
    /// What the actor itself shows, as of the last time it was idle.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub status: Value,
    /// Children in the order they were started, then jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<TreeNode>,
    /// How many of its children and jobs the bounds of this look left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub truncated: usize,
}

/// How much of a tree to look at.
///
/// ```
/// use beluga_runtime::TreeBounds;
///
/// let bounds = TreeBounds { depth: 1, ..TreeBounds::default() };
/// assert_eq!(bounds.nodes, usize::MAX, "the default is the whole tree");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeBounds {
    /// How many levels below the first node.
    pub depth: usize,
    /// How many nodes in all, at least 1. Upper levels come first, and older siblings before younger ones.
    pub nodes: usize,
}

impl Default for TreeBounds {
    fn default() -> Self {
        Self { depth: usize::MAX, nodes: usize::MAX }
    }
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
    /// ```
    /// # use beluga_runtime::{Phase, testkit, time};
    /// # use beluga_core::Result;
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
    /// # #[derive(Message)]
    /// # #[message(name = "counter.add", reply = u64)]
    /// # struct Add(u64);
    /// # protocol!(CounterProtocol: Add);
    /// # #[derive(Default)]
    /// # struct Counter { total: u64 }
    /// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
    /// # impl Handler<Add> for Counter {
    /// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
    /// #         self.total += n;
    /// #         Ok(self.total)
    /// #     }
    /// # }
    /// # beluga_runtime::testkit::run(1, |system| async move {
    /// let counter = system.spawn("counter", Counter::default).await?;
    /// counter.ask(Add(1)).await?;
    /// testkit::pause(&system, "counter");
    /// counter.tell(Add(1)).await?;
    /// let tree = system.snapshot()?;
    /// let node = tree.find("counter").unwrap();
    /// assert_eq!((node.kind.as_str(), node.state, node.supervisor.as_deref()), ("counter", Phase::Running, Some("test")));
    /// assert_eq!((node.handled, node.lanes.normal, node.restarts), (1, 1, 0));
    /// testkit::resume(&system, "counter");
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `unavailable` once the system was shut down.
    pub fn snapshot(&self) -> Result<TreeNode> {
        Ok(look(&self.root()?, TreeBounds::default()))
    }
}

impl Address {
    /// Returns the tree from this actor down, as [`System::snapshot`] does for the root, also of one that is gone.
    #[must_use]
    pub fn snapshot(&self, bounds: TreeBounds) -> TreeNode {
        look(&self.0, bounds)
    }
}

/// What stands behind a node while its children are looked for.
enum Source {
    Actor(Arc<Slot>),
    /// One job among those of its actor.
    Job(Arc<[(u64, JobRecord)]>, usize),
}

/// A node below the first one, with the place of its parent among those found.
struct Found {
    parent: Option<usize>,
    depth: usize,
    node: TreeNode,
    source: Source,
}

fn look(slot: &Arc<Slot>, bounds: TreeBounds) -> TreeNode {
    let now_ns = slot.ground.clock.read();
    let supervisor = slot.supervisor();
    let mut first = actor(slot, supervisor.as_ref().map(|above| &**above.name()), now_ns);
    let room = |depth: usize, found: usize| {
        if depth < bounds.depth { bounds.nodes.saturating_sub(found + 1) } else { 0 }
    };
    let mut found = Vec::new();
    let below = open(&mut first, &Source::Actor(Arc::clone(slot)), room(0, 0), now_ns);
    found.extend(below.into_iter().map(|(node, source)| Found { parent: None, depth: 1, node, source }));
    let (mut place, mut total) = (0, found.len());
    while let Some(current) = found.get_mut(place) {
        let below = open(&mut current.node, &current.source, room(current.depth, total), now_ns);
        let (parent, depth) = (Some(place), current.depth + 1);
        found.extend(below.into_iter().map(|(node, source)| Found { parent, depth, node, source }));
        (place, total) = (place + 1, found.len());
    }
    // From the last one back, each has its own children by the time it joins its parent's.
    while let Some(Found { parent, mut node, .. }) = found.pop() {
        node.children.reverse();
        let above = parent.and_then(|place| found.get_mut(place));
        above.map_or(&mut first.children, |above| &mut above.node.children).push(node);
    }
    first.children.reverse();
    first
}

/// Returns what is below a node, as much as there is room for, and notes in the node what is left out.
fn open(node: &mut TreeNode, source: &Source, room: usize, now_ns: u64) -> Vec<(TreeNode, Source)> {
    let (children, jobs, above) = match source {
        Source::Actor(slot) => {
            let children = slot.children.lock().all();
            let incarnation = slot.life.lock().incarnation.clone();
            let jobs = incarnation.map(|incarnation| incarnation.jobs.records()).unwrap_or_default();
            (children, Arc::from(jobs), None)
        }
        Source::Job(jobs, place) => (Vec::new(), Arc::clone(jobs), jobs.get(*place).map(|(id, _)| *id)),
    };
    let own = |(_, (_, record)): &(usize, &(u64, JobRecord))| record.parent == above;
    let own = jobs.iter().enumerate().filter(own).collect::<Vec<_>>();
    node.truncated = (children.len() + own.len()).saturating_sub(room);
    let mut below: Vec<(TreeNode, Source)> = Vec::new();
    below.extend(children.into_iter().take(room).map(|child| {
        let shown = actor(&child, Some(&node.name), now_ns);
        (shown, Source::Actor(child))
    }));
    let room = room - below.len();
    let own = own.into_iter().take(room);
    below.extend(own.map(|(place, (_, record))| (job(record, &node.name), Source::Job(Arc::clone(&jobs), place))));
    below
}

/// One actor, without what is below it.
pub(super) fn actor(slot: &Slot, supervisor: Option<&str>, now_ns: u64) -> TreeNode {
    let ([control, interrupt, normal, bulk], oldest) = slot.mailbox.depths();
    let age_ms = |since_ns: u64| now_ns.saturating_sub(since_ns) / 1_000_000;
    let hand = slot.stats.hand_since_ns.load(Ordering::Relaxed);
    TreeNode {
        id: slot.id(),
        name: slot.name().to_string(),
        kind: slot.kind().to_owned(),
        supervisor: supervisor.map(str::to_owned),
        state: slot.phase(),
        paused: slot.mailbox.is_suspended(),
        lanes: LaneDepths { control, interrupt, normal, bulk },
        restarts: slot.stats.restarts.load(Ordering::Relaxed),
        panics: slot.stats.panics.load(Ordering::Relaxed),
        job_panics: slot.stats.job_panics.load(Ordering::Relaxed),
        handled: slot.stats.handled.load(Ordering::Relaxed),
        oldest_message_age_ms: oldest.map(age_ms),
        handler_age_ms: (hand != 0).then(|| age_ms(hand)),
        message: if hand == 0 { None } else { *slot.stats.hand_message.lock() },
        breaker: breaker_of(slot),
        status: status(slot),
        children: Vec::new(),
        truncated: 0,
    }
}

/// One job, without what is below it.
pub(super) fn job(record: &JobRecord, supervisor: &str) -> TreeNode {
    TreeNode {
        id: 0,
        name: record.path.to_string(),
        kind: record.kind.to_string(),
        supervisor: Some(supervisor.to_owned()),
        state: Phase::Running,
        paused: false,
        lanes: LaneDepths::default(),
        restarts: 0,
        panics: 0,
        job_panics: 0,
        handled: 0,
        oldest_message_age_ms: None,
        handler_age_ms: Some(
            u64::try_from(time::now().saturating_duration_since(record.since).as_millis()).unwrap_or(u64::MAX),
        ),
        message: None,
        breaker: None,
        status: Value::Null,
        children: Vec::new(),
        truncated: 0,
    }
}

pub(super) fn breaker_of(slot: &Slot) -> Option<BreakerNode> {
    let status = slot.breaker.as_ref()?.status();
    Some(BreakerNode { state: status.state, failures: status.failures, opened: status.opened })
}

/// Asks the actor's source, outside its lock.
fn status(slot: &Slot) -> Value {
    let source = slot.status();
    source.map(|source| source.read()).unwrap_or_default()
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}
