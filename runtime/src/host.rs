//! The machine that components without knowledge of the runtime run on: [`beluga_core::Host`] over tokio.

use std::time::{Duration, Instant, SystemTime};

use beluga_core::{BoxFuture, Host, Result};
use tokio::runtime::Handle;

use crate::random::SystemRandom;
use crate::{task, time};

/// Time, spawning and randomness of one system for stores, providers and tools.
///
/// It remembers its runtime, so it works from own threads too, and there reads the same, possibly paused, clock.
///
/// ```
/// use std::time::Duration;
/// use beluga_core::Host;
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let host = system.host();
/// let before = host.now();
/// host.sleep(Duration::from_secs(5)).await;
/// assert_eq!(host.now() - before, Duration::from_secs(5));
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct RuntimeHost {
    runtime: Handle,
    random: SystemRandom,
}

impl RuntimeHost {
    /// Makes the host of the entered runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(random: SystemRandom) -> Self {
        Self { runtime: Handle::current(), random }
    }

    /// Returns the system's randomness.
    #[must_use]
    pub fn system_random(&self) -> &SystemRandom {
        &self.random
    }
}

impl Host for RuntimeHost {
    fn now(&self) -> Instant {
        if Handle::try_current().is_ok() {
            return time::now();
        }
        let _entered = self.runtime.enter();
        time::now()
    }

    fn wall(&self) -> SystemTime {
        time::wall()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let _entered = self.runtime.enter();
        Box::pin(time::sleep(duration))
    }

    fn random(&self) -> u64 {
        self.random.next_u64()
    }

    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        let _entered = self.runtime.enter();
        drop(task::spawn(name, future));
    }

    fn spawn_thread(&self, name: &'static str, run: Box<dyn FnOnce() + Send>) -> Result<()> {
        let _entered = self.runtime.enter();
        task::spawn_thread(name, run).map(drop)
    }

    /// Runs the work to its end even if the future is dropped. A panic in it panics the waiter, so that a supervisor
    /// sees it.
    fn block(&self, run: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let _entered = self.runtime.enter();
        let work =
            task::spawn_blocking("host.block", move || std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)));
        Box::pin(async move {
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(payload)) => std::panic::resume_unwind(payload),
                // The runtime shuts down and the work never ran: whoever waits is about to be dropped too.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn host(seed: u64) -> Arc<dyn Host> {
        Arc::new(RuntimeHost::new(SystemRandom::seeded(seed)))
    }

    #[tokio::test(start_paused = true)]
    async fn sleep_ends_no_earlier_than_asked_on_the_clock_of_now() {
        let host = host(1);
        let before = host.now();
        host.sleep(Duration::from_millis(1500)).await;
        assert_eq!(host.now() - before, Duration::from_millis(1500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_foreign_thread_reads_the_paused_clock_through_the_host() {
        let host = host(1);
        let paused = host.now();
        let other = Arc::clone(&host);
        let seen = std::thread::scope(|scope| scope.spawn(move || other.now()).join().unwrap());
        assert_eq!(seen, paused);
    }

    #[tokio::test]
    async fn two_hosts_of_one_seed_give_the_same_random_numbers() {
        let (a, b) = (host(9), host(9));
        assert!((0..100).all(|_| a.random() == b.random()));
    }

    #[tokio::test]
    async fn blocking_and_spawned_work_is_done() {
        let host = host(1);
        let (tx, rx) = std::sync::mpsc::channel();
        let (from_task, from_thread) = (tx.clone(), tx.clone());
        host.block(Box::new(move || tx.send("block").unwrap())).await;
        host.spawn("task", Box::pin(async move { from_task.send("spawn").unwrap() }));
        host.spawn_thread("thread", Box::new(move || from_thread.send("thread").unwrap())).unwrap();
        let mut seen = task::spawn_blocking("reader", move || rx.iter().collect::<Vec<_>>()).await.unwrap();
        seen.sort_unstable();
        assert_eq!(seen, ["block", "spawn", "thread"]);
    }
}
