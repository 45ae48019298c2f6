//! What a system shows of itself, so that one driver gives all of them the same work.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::restart::Stopwatch;

/// A system with a counter (a `u64` that is added to and asked for) and two players.
///
/// Errors of a tell are dropped: whoever told asks for the total at the end, and compares.
pub(crate) trait Peer: Send + Sync + 'static {
    /// The handle users hold of an actor.
    type Counter: Clone + Send + Sync + 'static;
    /// What is awaited after an actor was told to stop.
    type End: Send + 'static;

    /// Starts a counter. Systems that name their actors name it by the number.
    fn counter(&self, number: u64) -> impl Future<Output = (Self::Counter, Self::End)> + Send;

    /// Tells a number to add.
    fn tell(counter: &Self::Counter, n: u64) -> impl Future<Output = ()> + Send;

    /// Tells many numbers in one message.
    fn tell_items(counter: &Self::Counter, items: Vec<u64>) -> impl Future<Output = ()> + Send;

    /// Asks for the total.
    fn total(counter: &Self::Counter) -> impl Future<Output = u64> + Send;

    /// Stops a counter and waits until it is gone.
    fn stop(counter: Self::Counter, end: Self::End) -> impl Future<Output = ()> + Send;

    /// Starts two actors and returns when they have passed a message to and fro, so many times in all.
    fn bounce(&self, hops: u64) -> impl Future<Output = ()> + Send;

    /// Tells one to add in each way the system has, four in all.
    fn use_all(counter: &Self::Counter) -> impl Future<Output = ()> + Send {
        async {
            for _ in 0..4 {
                Self::tell(counter, 1).await;
            }
        }
    }

    /// Starts an actor under a supervisor and makes it panic; returns when its replacement runs. Only of systems that take
    /// part in `restart`.
    fn restart(&self, number: u64, stopwatch: &mut Stopwatch) -> impl Future<Output = Duration> + Send {
        let _ = (number, stopwatch);
        async { unreachable!("this system restarts nothing") }
    }

    /// Spawns a task as users of the system do.
    fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        tokio::spawn(task)
    }
}
