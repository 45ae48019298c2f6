//! When something counts as a trouble, and how often somebody looks.

use std::time::Duration;

/// The default of [`WatchdogSettings::period`].
pub const WATCHDOG_PERIOD: Duration = Duration::from_millis(500);
/// The shortest period of the watchdog's thread; shorter ones are raised to it.
pub const WATCHDOG_PERIOD_MIN: Duration = Duration::from_millis(1);
/// The default of [`WatchdogSettings::stuck_after`].
pub const STUCK_AFTER: Duration = Duration::from_secs(30);
/// The default of [`WatchdogSettings::blocked_after`].
pub const BLOCKED_AFTER: Duration = Duration::from_secs(1);

/// What one system calls a trouble, and how often its watchdog looks.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::{System, WatchdogSettings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> beluga_core::Result<()> {
/// let settings = WatchdogSettings { stuck_after: Duration::from_secs(5), ..WatchdogSettings::default() };
/// let system = System::builder("watched").watchdog(settings).build()?;
/// assert!(system.troubles().is_empty());
/// system.shutdown_gracefully().await
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchdogSettings {
    /// How often the watchdog's thread looks, in real time also while a test pauses the system's clock; at least
    /// [`WATCHDOG_PERIOD_MIN`]. `None` for no thread: then troubles are found by whoever asks for them.
    pub period: Option<Duration>,
    /// How long a handler may await; a [`Spec`](crate::Spec::stuck_after) may say otherwise for its actor.
    pub stuck_after: Duration,
    /// How long one poll of an actor or a job may keep its thread.
    pub blocked_after: Duration,
}

impl WatchdogSettings {
    /// The settings of a system nobody gave any: the default limits, and no thread.
    pub(crate) const OFF: Self = Self { period: None, stuck_after: STUCK_AFTER, blocked_after: BLOCKED_AFTER };
}

impl Default for WatchdogSettings {
    /// Returns a thread that looks twice a second, handlers stuck after 30 s, threads blocked after 1 s.
    fn default() -> Self {
        Self { period: Some(WATCHDOG_PERIOD), ..Self::OFF }
    }
}

/// How long the handlers of one actor may await.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Patience {
    /// As long as the system says.
    #[default]
    OfSystem,
    /// Its own limit.
    Own(Duration),
    /// They await long on purpose.
    Endless,
}

impl Patience {
    /// Returns the limit; `None` for none.
    pub(crate) fn limit(self, of_system: Duration) -> Option<Duration> {
        match self {
            Patience::OfSystem => Some(of_system),
            Patience::Own(limit) => Some(limit),
            Patience::Endless => None,
        }
    }
}
