//! Bounds and policies of the lanes of one mailbox.

use std::time::Duration;

use crate::message::Lane;

/// What happens to a message that meets a full lane.
///
/// ```
/// # use beluga_core::Code;
/// # use beluga_runtime::{Lane, Overflow, Spec, testkit};
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
/// let spec = Spec::new("counter", Counter::default).lane(Lane::Normal, 2, Overflow::Reject);
/// let counter = system.spawn_with(spec).await?;
/// testkit::pause(&system, "counter"); // So that messages wait.
/// counter.tell(Add(1)).await?;
/// counter.tell(Add(1)).await?;
/// assert_eq!(counter.tell(Add(1)).await.unwrap_err().code(), Code::Overloaded);
/// testkit::resume(&system, "counter");
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The sender waits for a place; `try_tell` answers `overloaded`.
    #[default]
    Wait,
    /// The sender gets `overloaded`.
    Reject,
    /// The oldest waiting message becomes a dead letter.
    DropOldest,
    /// The new message becomes a dead letter.
    DropNewest,
    /// The sender gets `overloaded` with this long to wait, also while the lane has places but its oldest message has
    /// waited for longer: what is accepted is served soon, or not at all.
    Shed {
        /// The longest a message may have waited, to the precision of the system's coarse clock.
        after: Duration,
    },
}

/// The bound and the policy of one lane.
///
/// See [`Lanes`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneSettings {
    /// How many messages may wait, at least 1.
    pub capacity: usize,
    /// What happens to the next one.
    pub overflow: Overflow,
}

/// The bounds and policies of all four lanes.
///
/// ```
/// use beluga_runtime::{Lane, Lanes, Overflow};
///
/// let lanes = Lanes::default().with(Lane::Bulk, 16, Overflow::DropOldest);
/// assert_eq!(lanes.of(Lane::Bulk).capacity, 16);
/// assert_eq!(lanes.of(Lane::Normal).capacity, 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lanes([LaneSettings; Lane::COUNT]);

impl Lanes {
    /// The default bound of the control and of the interrupt lane, in messages.
    pub const URGENT_CAPACITY: usize = 128;
    /// The default bound of the normal and of the bulk lane, in messages.
    pub const CAPACITY: usize = 1024;

    pub(crate) fn new(lanes: [LaneSettings; Lane::COUNT]) -> Self {
        Self(lanes)
    }

    /// Replaces bound and policy of one lane. A capacity of 0 is raised to 1.
    #[must_use]
    pub fn with(mut self, lane: Lane, capacity: usize, overflow: Overflow) -> Self {
        if let Some(settings) = self.0.get_mut(lane as usize) {
            *settings = LaneSettings { capacity: capacity.max(1), overflow };
        }
        self
    }

    /// Returns bound and policy of one lane.
    #[must_use]
    pub fn of(&self, lane: Lane) -> LaneSettings {
        let [control, interrupt, normal, bulk] = self.0;
        match lane {
            Lane::Control => control,
            Lane::Interrupt => interrupt,
            Lane::Normal => normal,
            Lane::Bulk => bulk,
        }
    }
}

impl Default for Lanes {
    fn default() -> Self {
        let lane = |capacity| LaneSettings { capacity, overflow: Overflow::Wait };
        let (urgent, ordinary) = (lane(Self::URGENT_CAPACITY), lane(Self::CAPACITY));
        Self([urgent, urgent, ordinary, ordinary])
    }
}
