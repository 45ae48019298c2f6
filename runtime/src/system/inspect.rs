//! One actor in detail: where it stands, what its bounds are, what becomes of it when it fails.

use std::time::Duration;

use serde::Serialize;

use super::TreeNode;
use super::snapshot::{actor, job};
use crate::address::Address;
use crate::mailbox::{LaneSettings, Lanes, Overflow};
use crate::message::Lane;
use crate::slot::Slot;
use crate::spec::{OnExhausted, Restart, Strategy};

/// The most children and jobs that are shown of one actor.
pub const INSPECT_MAX: usize = 1024;

/// One actor, as [`Address::inspect`] shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ActorView {
    /// The actor itself, with nothing below it.
    #[serde(flatten)]
    pub node: TreeNode,
    /// The number of the supervisor's slot; `None` for the root.
    pub supervisor_id: Option<u64>,
    /// The number of the latest incarnation; 1 for the first.
    pub incarnation: u32,
    /// The numbers of its children's slots, in the order they were started; at most [`INSPECT_MAX`].
    pub child_ids: Vec<u64>,
    /// Its jobs and those below them, in the order they were started; at most [`INSPECT_MAX`].
    pub jobs: Vec<TreeNode>,
    /// The bounds of its lanes.
    pub limits: LaneLimits,
    /// What its supervisor does when it ends.
    pub policy: Policy,
}

/// The bounds of the four lanes of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LaneLimits {
    /// The control lane.
    pub control: LaneLimit,
    /// The interrupt lane.
    pub interrupt: LaneLimit,
    /// The normal lane.
    pub normal: LaneLimit,
    /// The bulk lane.
    pub bulk: LaneLimit,
}

/// The bound of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LaneLimit {
    /// How many messages may wait.
    pub capacity: usize,
    /// What happens to the next one: `wait`, `reject`, `drop_oldest`, `drop_newest` or `shed`.
    pub overflow: &'static str,
}

/// How an actor is supervised. Durations are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// When it is built anew.
    pub restart: Restart,
    /// Whom the failure of one of its children takes along.
    pub strategy: Strategy,
    /// How many restarts are tolerated within the window.
    pub max_restarts: u32,
    /// The length of the window.
    pub window_ms: u64,
    /// For how long callers are refused when the restarts are used up; `None` if its supervisor fails instead.
    pub gate_ms: Option<u64>,
    /// The bound of its start.
    pub start_timeout_ms: u64,
    /// The bound of each step of its stop.
    pub stop_grace_ms: u64,
    /// How long a handler may go on after its call was cancelled.
    pub cancel_grace_ms: u64,
    /// After how long without work it leaves memory; `None` for never.
    pub idle_after_ms: Option<u64>,
    /// Whether its slot outlives its supervisor's incarnations.
    pub kept: bool,
}

impl Address {
    /// Returns the actor in detail, also one that is gone. Nothing waits for the actor.
    ///
    /// [`TreeNode::truncated`] counts the children and jobs beyond [`INSPECT_MAX`] of each.
    #[must_use]
    pub fn inspect(&self) -> ActorView {
        let slot = &*self.0;
        let supervisor = slot.supervisor();
        let above = supervisor.as_ref().map(|supervisor| &**supervisor.name());
        let mut node = actor(slot, above, slot.ground.clock.read());
        let children = slot.children.lock().all();
        let (number, incarnation) = {
            let life = slot.life.lock();
            (life.number, life.incarnation.clone())
        };
        let records = incarnation.map(|incarnation| incarnation.jobs.records()).unwrap_or_default();
        node.truncated = children.len().saturating_sub(INSPECT_MAX) + records.len().saturating_sub(INSPECT_MAX);
        let jobs = records.iter().take(INSPECT_MAX).map(|(_, record)| {
            let above = record.parent.and_then(|id| records.iter().find(|(other, _)| *other == id));
            job(record, above.map_or(slot.name(), |(_, above)| &above.path))
        });
        ActorView {
            node,
            supervisor_id: supervisor.as_ref().map(|supervisor| supervisor.id()),
            incarnation: number,
            child_ids: children.iter().take(INSPECT_MAX).map(|child| child.id()).collect(),
            jobs: jobs.collect(),
            limits: limits(slot.mailbox.settings()),
            policy: policy(slot),
        }
    }
}

fn limits(lanes: Lanes) -> LaneLimits {
    let of = |lane| {
        let LaneSettings { capacity, overflow } = lanes.of(lane);
        let overflow = match overflow {
            Overflow::Wait => "wait",
            Overflow::Reject => "reject",
            Overflow::DropOldest => "drop_oldest",
            Overflow::DropNewest => "drop_newest",
            Overflow::Shed { .. } => "shed",
        };
        LaneLimit { capacity, overflow }
    };
    LaneLimits {
        control: of(Lane::Control),
        interrupt: of(Lane::Interrupt),
        normal: of(Lane::Normal),
        bulk: of(Lane::Bulk),
    }
}

fn policy(slot: &Slot) -> Policy {
    let settings = &slot.settings;
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Policy {
        restart: settings.restart,
        strategy: settings.strategy,
        max_restarts: settings.intensity.max_restarts,
        window_ms: ms(settings.intensity.window),
        gate_ms: match settings.on_exhausted {
            OnExhausted::Escalate => None,
            OnExhausted::OpenGate { reset_after } => Some(ms(reset_after)),
        },
        start_timeout_ms: ms(settings.graces.start),
        stop_grace_ms: ms(settings.graces.stop),
        cancel_grace_ms: ms(settings.graces.cancel),
        idle_after_ms: slot.seat.as_ref().and_then(|seat| seat.idle_after()).map(ms),
        kept: settings.is_kept(),
    }
}
