//! Parts of a node that are started, stopped and asked for their health: listeners, exporters, watchers.
//!
//! Actors have supervisors; this is for what stands beside the tree. [`Lifecycles`] starts in order and stops in reverse.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use beluga_core::{BoxFuture, Error, Result};
use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use serde::Serialize;

use crate::{task, time};

/// The most time one part has to start or to stop, unless another is given.
pub const PART_TIMEOUT: Duration = Duration::from_secs(10);

/// The most time one part has to answer for its health.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);

/// A part with a beginning and an end.
///
/// See [`Lifecycles`] for an example.
pub trait Lifecycle: Send + Sync + 'static {
    /// Returns its name, for errors and the health report.
    fn name(&self) -> &str;

    /// Starts it; ready means it serves. Dropping the future gives up. Nothing by default: it runs already.
    fn start(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Stops it; called only after a start that succeeded. Nothing by default.
    fn stop(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Returns the most time it has to start or to stop; that of the set if it names none.
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// Returns whether the process is to be started anew when it is unhealthy: whether liveness hangs on it.
    fn is_vital(&self) -> bool {
        false
    }

    /// Returns how it is. Healthy unless it knows better.
    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(std::future::ready(Health::healthy()))
    }
}

/// How a part is; ordered from good to bad.
///
/// See [`Lifecycles`] for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthState {
    /// It does all its work.
    Healthy,
    /// It does some of its work.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// How a part is, why, and when that was found.
///
/// See [`Lifecycles`] for an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// How it is.
    pub state: HealthState,
    /// Why; empty if there is nothing to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Calendar time of the check, milliseconds since 1970 UTC.
    pub at_ms: u64,
}

impl Health {
    /// Makes a report of now.
    #[must_use]
    pub fn new(state: HealthState, message: impl Into<String>) -> Self {
        let since = time::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { state, message: message.into(), at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Makes a report of a part that does some of its work.
    #[must_use]
    pub fn degraded(message: impl Into<String>) -> Self {
        Self::new(HealthState::Degraded, message)
    }

    /// Makes a report of a part that does not work.
    #[must_use]
    pub fn unhealthy(message: impl Into<String>) -> Self {
        Self::new(HealthState::Unhealthy, message)
    }

    /// Makes a report without a complaint.
    #[must_use]
    pub fn healthy() -> Self {
        Self::new(HealthState::Healthy, "")
    }
}

/// The health of all parts.
///
/// See [`Lifecycles`] for an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthReport {
    /// The worst state of any part; healthy without parts.
    pub state: HealthState,
    /// Each part by name, in the order of starting.
    pub parts: Vec<(String, Health)>,
}

/// An ordered set of parts.
///
/// ```
/// use std::sync::Arc;
/// use beluga_core::BoxFuture;
/// use beluga_runtime::{Health, HealthState, Lifecycle, Lifecycles};
///
/// struct Disk;
/// impl Lifecycle for Disk {
///     fn name(&self) -> &str { "disk" }
///
///     fn health(&self) -> BoxFuture<'_, Health> {
///         Box::pin(async { Health::degraded("90 % full") })
///     }
/// }
///
/// struct Listener;
/// impl Lifecycle for Listener {
///     fn name(&self) -> &str { "listener" }
/// }
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let parts = Lifecycles::default();
/// parts.add(Arc::new(Disk));
/// parts.add(Arc::new(Listener));
/// parts.start().await?; // The disk first.
/// let report = parts.health().await;
/// assert_eq!(report.state, HealthState::Degraded, "the worst of all");
/// assert_eq!((report.parts[0].0.as_str(), report.parts[1].1.state), ("disk", HealthState::Healthy));
/// parts.stop().await?; // The listener first.
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Lifecycles {
    parts: Mutex<Vec<Arc<dyn Lifecycle>>>,
    timeout: Duration,
    /// How many parts, from the first, are running.
    running: Mutex<usize>,
}

impl Lifecycles {
    /// Makes an empty set; each part gets `timeout` to start and to stop, unless it names
    /// a limit of its own.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { parts: Mutex::default(), timeout, running: Mutex::new(0) }
    }

    /// Adds a part, to be started after those before it by the next [`start`](Self::start).
    pub fn add(&self, part: Arc<dyn Lifecycle>) {
        self.parts.lock().push(part);
    }

    /// Starts all parts that do not run yet, in order. If one fails, all that run are stopped in reverse.
    ///
    /// # Errors
    /// The error of the part that failed, `timeout`, or `internal` if it panicked, with the key `part`.
    pub async fn start(&self) -> Result<()> {
        let first = *self.running.lock();
        for part in self.list().iter().skip(first) {
            if let Err(error) = self.bounded(part, part.start()).await {
                if let Err(second) = self.stop().await {
                    tracing::warn!(error = %second, "a part did not stop after a failed start");
                }
                return Err(error);
            }
            *self.running.lock() += 1;
        }
        Ok(())
    }

    /// Stops all running parts in reverse order. A part that fails or takes too long does not keep the others running.
    ///
    /// # Errors
    /// The first error, with the key `part`; later ones are logged.
    pub async fn stop(&self) -> Result<()> {
        let mut first = Ok(());
        while let Some(part) = self.last_running() {
            if let Err(error) = self.bounded(&part, part.stop()).await {
                match first {
                    Ok(()) => first = Err(error),
                    Err(_) => tracing::warn!(%error, "a part did not stop"),
                }
            }
        }
        first
    }

    /// Asks all parts at once for their health. One that does not answer within [`HEALTH_TIMEOUT`] is unhealthy.
    pub async fn health(&self) -> HealthReport {
        Self::ask(self.list()).await
    }

    /// Asks the vital parts alone: an unhealthy one means that the process is to be started anew.
    pub async fn liveness(&self) -> HealthReport {
        Self::ask(self.list().into_iter().filter(|part| part.is_vital()).collect()).await
    }

    async fn ask(parts: Vec<Arc<dyn Lifecycle>>) -> HealthReport {
        let checks = parts.iter().map(|part| async move {
            let health = bounded(part.name(), HEALTH_TIMEOUT, part.health().map(Ok)).await;
            let health = health.unwrap_or_else(|error| Health::new(HealthState::Unhealthy, error.to_string()));
            (part.name().to_owned(), health)
        });
        let parts = join_all(checks).await;
        let state = parts.iter().map(|(_, health)| health.state).max().unwrap_or(HealthState::Healthy);
        HealthReport { state, parts }
    }

    /// Takes the last running part out of the running ones.
    fn last_running(&self) -> Option<Arc<dyn Lifecycle>> {
        let mut running = self.running.lock();
        *running = running.checked_sub(1)?;
        self.parts.lock().get(*running).cloned()
    }

    fn list(&self) -> Vec<Arc<dyn Lifecycle>> {
        self.parts.lock().clone()
    }

    async fn bounded(&self, part: &Arc<dyn Lifecycle>, work: BoxFuture<'_, Result<()>>) -> Result<()> {
        bounded(part.name(), part.time_limit().unwrap_or(self.timeout), work).await
    }
}

impl Default for Lifecycles {
    fn default() -> Self {
        Self::new(PART_TIMEOUT)
    }
}

impl std::fmt::Debug for Lifecycles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = self.list();
        let names: Vec<_> = parts.iter().map(|part| part.name()).collect();
        f.debug_struct("Lifecycles").field("parts", &names).field("running", &*self.running.lock()).finish()
    }
}

async fn bounded<T>(name: &str, limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome.map_err(|error: Error| error.with("part", name)),
        Ok(Err(payload)) => Err(task::panicked(name, payload.as_ref()).with("part", name)),
        Err(error) => Err(error.with("part", name)),
    }
}

#[cfg(test)]
mod tests {
    use beluga_core::Code;

    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    enum Mood {
        Fine,
        FailsToStart,
        HangsOnStop,
        Panics,
    }

    struct Part {
        name: &'static str,
        mood: Mood,
        log: Arc<Mutex<Vec<String>>>,
    }

    impl Part {
        fn note(&self, what: &str) {
            self.log.lock().push(format!("{what} {}", self.name));
        }
    }

    impl Lifecycle for Part {
        fn name(&self) -> &str {
            self.name
        }

        fn time_limit(&self) -> Option<Duration> {
            (self.name == "slow").then_some(PART_TIMEOUT * 3)
        }

        fn is_vital(&self) -> bool {
            self.name == "a"
        }

        fn start(&self) -> BoxFuture<'_, Result<()>> {
            Box::pin(async {
                if self.mood == Mood::FailsToStart {
                    return Err(Error::config("bad port"));
                }
                self.note("start");
                Ok(())
            })
        }

        fn stop(&self) -> BoxFuture<'_, Result<()>> {
            Box::pin(async {
                self.note("stop");
                if self.mood == Mood::HangsOnStop {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
        }

        fn health(&self) -> BoxFuture<'_, Health> {
            Box::pin(async {
                time::sleep(Duration::from_secs(1)).await;
                match self.mood {
                    Mood::Panics => panic!("no health"),
                    Mood::HangsOnStop => std::future::pending().await,
                    Mood::FailsToStart => Health::new(HealthState::Degraded, "slow disk"),
                    Mood::Fine => Health::healthy(),
                }
            })
        }
    }

    fn set(parts: &[(&'static str, Mood)]) -> (Lifecycles, Arc<Mutex<Vec<String>>>) {
        let (set, log) = (Lifecycles::default(), Arc::new(Mutex::new(Vec::new())));
        for (name, mood) in parts {
            set.add(Arc::new(Part { name, mood: *mood, log: Arc::clone(&log) }));
        }
        (set, log)
    }

    #[tokio::test(start_paused = true)]
    async fn parts_stop_in_reverse_order_of_starting() {
        let (set, log) = set(&[("a", Mood::Fine), ("b", Mood::Fine), ("c", Mood::Fine)]);
        set.start().await.unwrap();
        set.stop().await.unwrap();
        set.stop().await.unwrap();
        assert_eq!(*log.lock(), ["start a", "start b", "start c", "stop c", "stop b", "stop a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_start_stops_what_was_started() {
        let (set, log) = set(&[("a", Mood::Fine), ("b", Mood::Fine), ("c", Mood::FailsToStart), ("d", Mood::Fine)]);
        let error = set.start().await.unwrap_err();
        assert_eq!((error.code(), error.get("part")), (Code::Config, Some("c")));
        assert_eq!(*log.lock(), ["start a", "start b", "stop b", "stop a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_comes_later_stops_first_and_within_its_own_limit() {
        let (set, log) = set(&[("a", Mood::Fine)]);
        set.start().await.unwrap();
        set.add(Arc::new(Part { name: "slow", mood: Mood::HangsOnStop, log: Arc::clone(&log) }));
        set.start().await.unwrap();
        let started = time::now();
        assert_eq!(set.stop().await.unwrap_err().code(), Code::Timeout);
        assert_eq!(time::now() - started, PART_TIMEOUT * 3);
        assert_eq!(*log.lock(), ["start a", "start slow", "stop slow", "stop a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_vital_parts_decide_whether_a_process_lives() {
        let (set, _) = set(&[("a", Mood::Fine), ("b", Mood::Panics)]);
        assert_eq!((set.liveness().await.state, set.liveness().await.parts.len()), (HealthState::Healthy, 1));
        assert_eq!(set.health().await.state, HealthState::Unhealthy);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_hangs_does_not_keep_the_others_running() {
        let (set, log) = set(&[("a", Mood::Fine), ("b", Mood::HangsOnStop)]);
        set.start().await.unwrap();
        let started = time::now();
        let error = set.stop().await.unwrap_err();
        assert_eq!((error.code(), error.get("part")), (Code::Timeout, Some("b")));
        assert_eq!(time::now() - started, PART_TIMEOUT);
        assert_eq!(log.lock().last().unwrap(), "stop a");
    }

    #[tokio::test(start_paused = true)]
    async fn health_is_asked_in_parallel_and_the_worst_counts() {
        let (set, _) =
            set(&[("a", Mood::Fine), ("b", Mood::FailsToStart), ("c", Mood::HangsOnStop), ("d", Mood::Panics)]);
        let started = time::now();
        let report = set.health().await;
        assert_eq!(time::now() - started, HEALTH_TIMEOUT);
        let states: Vec<_> = report.parts.iter().map(|(_, health)| health.state).collect();
        use HealthState::{Degraded, Healthy, Unhealthy};
        assert_eq!((report.state, states), (Unhealthy, vec![Healthy, Degraded, Unhealthy, Unhealthy]));
        assert!(report.parts[3].1.message.contains("no health") && report.parts[0].1.at_ms > 0);
        assert_eq!(Lifecycles::default().health().await.state, Healthy);
    }
}
