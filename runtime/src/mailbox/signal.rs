//! What the kernel says to a drain: served before every message, also while a handler awaits.

use std::sync::Arc;
use std::time::Instant;

use crate::actor::StopReason;
use crate::address::Address;
use crate::exit::ExitReason;
use crate::slot::Slot;

/// A word from the kernel. Their number is bounded by the children, watches and timers of the actor.
#[derive(Debug)]
pub(crate) enum Signal {
    /// End this incarnation.
    Stop(Stop),
    /// An incarnation of a child started.
    ChildUp(Arc<Slot>),
    /// An incarnation of a child ended: the last act of its guard.
    ChildDown(Arc<Slot>, ExitReason),
    /// A child has ended for good, and nothing is to be decided.
    ChildGone(Arc<Slot>, ExitReason),
    /// The back-off of a child is over, or its open gate gets a new try. The number guards against stale timers.
    RestartDue(Arc<Slot>, u32),
    /// End this incarnation if it is idle: its place is wanted.
    Passivate,
    /// A watched actor is gone for good.
    WatchedGone(Address, ExitReason),
}

/// How to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    pub(crate) reason: StopReason,
    /// Whether the messages already accepted are handled first.
    pub(crate) drain: bool,
    /// When patience ends for the whole subtree; each actor's own grace applies too.
    pub(crate) deadline: Option<Instant>,
}
