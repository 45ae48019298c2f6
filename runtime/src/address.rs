//! An actor's place, without its protocol: what death watch, supervision and introspection speak of.

use std::fmt;
use std::sync::Arc;

use crate::mailbox::{LaneSettings, Lanes, Overflow};
use crate::message::Lane;
use crate::slot::Slot;

/// Names one slot of one system. Cheap to clone; stays valid over restarts.
///
/// ```
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
/// let address = counter.address()?;
/// assert_eq!((address.name(), address.kind()), ("counter", "counter"));
/// assert_eq!(system.find("counter"), Some(address.clone()));
/// address.drain();
/// address.gone().await;
/// assert!(counter.is_gone() && system.find("counter").is_none());
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Address(pub(crate) Arc<Slot>);

impl Address {
    /// Returns the number of the slot, unique in its system and never used again.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id()
    }

    /// Returns the path: `a/b/x` is the child `x` of `a/b`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// Returns what kind of actor it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// Returns whether the actor ended for good.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    /// Stops the actor for good after the message in hand; what waits becomes dead letters and is answered `not_sent`.
    pub fn stop(&self) {
        self.0.request_stop(false);
    }

    /// Stops the actor for good after every message it has accepted; new ones are refused.
    pub fn drain(&self) {
        self.0.request_stop(true);
    }

    /// Returns bound and policy of each of its lanes.
    #[must_use]
    pub fn lanes(&self) -> Lanes {
        self.0.mailbox.settings()
    }

    /// Replaces bound and policy of one lane while the actor runs; the next restart keeps them. What waits stays, also
    /// beyond a lower bound. A capacity of 0 is raised to 1.
    pub fn set_lane(&self, lane: Lane, capacity: usize, overflow: Overflow) {
        self.0.mailbox.set_lane(lane, LaneSettings { capacity: capacity.max(1), overflow });
    }

    /// Waits until the actor has ended for good and its value is dropped. Cancel safe.
    pub async fn gone(&self) {
        self.0.wait_gone().await;
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Address {}

impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{} ({})", self.name(), self.id(), self.kind())
    }
}
