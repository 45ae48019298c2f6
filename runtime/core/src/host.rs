//! The machine a component runs on: time, spawning and randomness behind one contract.
//!
//! Whoever does I/O (a store, a provider, a tool) takes an `Arc<dyn Host>`, so that a test gives it paused time and
//! seeded randomness. The runtime implements it; nothing else reads a clock or spawns.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use crate::BoxFuture;
use crate::error::Result;

/// Time, spawning and randomness of the node.
///
/// Laws: `now` never goes back; `sleep` ends no earlier than asked, on the same clock as `now`; two hosts of one seed
/// give the same random numbers.
pub trait Host: fmt::Debug + Send + Sync + 'static {
    /// Returns the monotonic time.
    fn now(&self) -> Instant;

    /// Returns the calendar time, UTC.
    fn wall(&self) -> SystemTime;

    /// Waits. Cancel safe: dropping the future ends the wait.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Returns 64 random bits.
    fn random(&self) -> u64;

    /// Runs a future in the background until it ends.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>);

    /// Starts an own OS thread for work that blocks for its whole life, such as a database writer.
    ///
    /// # Errors
    /// `internal` when the operating system refuses the thread.
    fn spawn_thread(&self, name: &'static str, run: Box<dyn FnOnce() + Send>) -> Result<()>;

    /// Runs blocking work of more than a millisecond off the async threads and waits for it.
    fn block(&self, run: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}
