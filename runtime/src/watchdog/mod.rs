//! The watchdog: finds handlers that are stuck, threads that one poll blocks, and handlers that await each other.
//!
//! [`System::troubles`](crate::System::troubles) looks when it is asked and needs nobody else. With
//! [`SystemBuilder::watchdog`](crate::SystemBuilder::watchdog) a thread of the system's own looks in each period,
//! works while every worker is blocked, logs each trouble once when it begins and once when it is over, and sets the
//! system's coarse clock. It ends with the system.
//!
//! How it knows:
//!
//! - *Stuck*: the shell notes since when a handler awaits. Longer than `stuck_after` is stuck, unless the actor is
//!   paused or its spec has another limit. What is on its way through a job holds no handler up and is never stuck.
//! - *Blocked*: a thread notes whose code it polls ([`beats`]), with a plain store when a poll begins and one when it
//!   ends. Two samples that see the same poll, `blocked_after` apart, prove that it lasted at least so long. So a
//!   blocked thread is found by the second look, and its age is what was seen of it, not what passed.
//! - *Deadlocked*: the asks in flight form a circle of handlers.
//!
//! It only looks: nothing is killed and nothing is refused. Limits: [`TROUBLES_LISTED_MAX`] troubles of each sort are
//! listed, the oldest first, and the others counted; of a system's threads two for each worker of its runtime and
//! [`SPARE_SEATS`](beats::SPARE_SEATS) more are watched; the thread walks the tree for at most a fiftieth of its time.
//! Not seen: code outside of actors, and a job that awaits for ever. A handler that blocks in `block_in_place` shows
//! as blocked, although the runtime has replaced the worker.

pub(crate) mod beats;
mod log;
mod look;
mod settings;
mod thread;
mod troubles;

pub use settings::{BLOCKED_AFTER, STUCK_AFTER, WATCHDOG_PERIOD, WATCHDOG_PERIOD_MIN, WatchdogSettings};
pub use troubles::{BlockedWorker, KindTroubles, StuckHandler, TROUBLES_LISTED_MAX, TroubleCounts, Troubles};

pub(crate) use settings::Patience;
pub(crate) use thread::Watchdog;
