//! The kernel's test kit: faults on purpose, probes, and a check that a test leaks no actor.
//!
//! With the feature `testkit`, `testkit::run` gives a test its own system on paused time (time jumps as soon as every task
//! waits, so it is only for tests whose I/O is all in memory; see [`task::external`](crate::task::external)).

mod fault;
mod golden;
mod inject;
mod leak;
mod probe;

pub use crate::shelf::clear as clear_shelf;
pub use fault::{kill, pause, quiet_panics, resume};
pub use golden::golden;
pub(crate) use inject::{Injected, Mishap, befall, crashes};
pub use inject::{LOST_MAX, crash, delay, heal, lose};
#[cfg(feature = "testkit")]
pub use leak::run;
pub use leak::{TestSystem, system};
pub use probe::{PROBE_CAPACITY, Probe, ProbeActor, Received, ReceivedStream};
