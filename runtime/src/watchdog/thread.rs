//! The thread that looks in each period, off the runtime's workers.

use std::convert::Infallible;
use std::future::pending;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use beluga_core::Result;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::log::{self, Open};
use super::look;
use super::settings::WATCHDOG_PERIOD_MIN;
use super::troubles::{BlockedWorker, StuckHandler};
use crate::ground::Ground;
use crate::system::{Deadlock, System};
use crate::task::AbortOnDrop;
use crate::{task, time};

/// The name of the thread; an operating system may show 15 bytes of it.
const THREAD: &str = "beluga-watchdog";

/// After walking the tree the thread does not walk it again for so many times as long: a fiftieth of its time at most.
const REST_PER_WALK: u32 = 49;

/// The thread of one system, if it has one.
///
/// The thread holds the system weakly, and ends when this is dropped or [ended](Self::end), when the system is down,
/// and when its runtime is dropped.
#[derive(Debug, Default)]
pub(crate) struct Watchdog(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    bell: Bell,
    thread: JoinHandle<()>,
    /// Closed by the thread's last act.
    ended: oneshot::Receiver<Infallible>,
    /// Rings when the runtime is dropped, which a system that nobody shut down may outlive.
    _with_runtime: AbortOnDrop<()>,
}

/// Ends the thread when it is dropped.
#[derive(Debug)]
struct Bell(SyncSender<()>);

impl Drop for Bell {
    fn drop(&mut self) {
        // Full: it rang already.
        let _ = self.0.try_send(());
    }
}

impl Watchdog {
    /// Starts the thread, if the settings want one. The system has its root.
    pub(crate) fn start(&self, ground: &Arc<Ground>) -> Result<()> {
        let Some(period) = ground.settings.watchdog.period else { return Ok(()) };
        let period = period.max(WATCHDOG_PERIOD_MIN);
        let (bell, heard) = mpsc::sync_channel(1);
        let weak = Arc::downgrade(ground);
        let (ending, ended) = oneshot::channel();
        let thread = task::spawn_thread(THREAD, move || {
            let _ending = ending;
            watch(&weak, &heard, period);
        })?;
        let of_runtime = Bell(bell.clone());
        let with_runtime = task::spawn("watchdog.bell", async move {
            let _bell = of_runtime;
            pending::<()>().await;
        });
        *self.0.lock() = Some(Running { bell: Bell(bell), thread, ended, _with_runtime: with_runtime.abort_on_drop() });
        Ok(())
    }

    /// Ends the thread and waits for it, which takes one look at most. A dropped future leaves it ending.
    pub(crate) async fn end(&self) {
        let Some(Running { bell, thread, ended, .. }) = self.0.lock().take() else { return };
        drop(bell);
        let paused_time_waits = task::external();
        drop(ended.await);
        drop(paused_time_waits);
        if let Err(panic) = thread.join() {
            tracing::error!(panic = task::panic_text(panic.as_ref()), "the watchdog panicked");
        }
    }
}

fn watch(ground: &Weak<Ground>, bell: &Receiver<()>, period: Duration) {
    let mut rounds = Rounds::default();
    while bell.recv_timeout(period) == Err(RecvTimeoutError::Timeout) {
        let Some(ground) = ground.upgrade() else { return };
        let system = System::of(&ground);
        if system.is_down() {
            return;
        }
        rounds.go(&system);
    }
}

/// What the thread remembers between two looks.
#[derive(Default)]
struct Rounds {
    stuck: Open<StuckHandler>,
    blocked: Open<BlockedWorker>,
    deadlocks: Open<Deadlock>,
    next_walk: Option<Instant>,
}

impl Rounds {
    fn go(&mut self, system: &System) {
        log::blocked(system.name(), &self.blocked.update(&look::blocked(system)));
        let begun = time::now();
        if self.next_walk.is_some_and(|next| begun < next) {
            return;
        }
        log::stuck(system.name(), &self.stuck.update(&look::stuck(system)));
        log::deadlocks(system.name(), &self.deadlocks.update(&look::deadlocks(system)));
        let ended = time::now();
        self.next_walk = Some(ended + ended.saturating_duration_since(begun) * REST_PER_WALK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watchdog::WatchdogSettings;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_thread_whose_bell_rings_ends_at_once() {
        let system = System::builder("test").build().unwrap();
        let (bell, heard) = mpsc::sync_channel(1);
        let weak = Arc::downgrade(system.ground());
        let thread = task::spawn_thread("test", move || watch(&weak, &heard, LONG)).unwrap();
        drop(Bell(bell));
        thread.join().unwrap();
        system.shutdown(LONG).await.unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_waits_for_the_thread() {
        let settings = WatchdogSettings { period: Some(LONG), ..WatchdogSettings::default() };
        let system = System::builder("test").watchdog(settings).build().unwrap();
        assert_eq!(Arc::weak_count(system.ground()), 1, "the thread's");
        system.shutdown(LONG).await.unwrap();
        assert_eq!(Arc::weak_count(system.ground()), 0);
    }

    #[tokio::test]
    async fn a_system_has_no_thread_unless_it_wants_one() {
        let system = System::builder("test").build().unwrap();
        assert!(system.ground().watchdog.0.lock().is_none());
        system.shutdown(LONG).await.unwrap();
    }
}
