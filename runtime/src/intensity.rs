//! How many restarts are too many: a sliding window, as OTP's restart intensity.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The most restarts a window may allow; larger settings are cut to it. It bounds the memory of a window.
pub const RESTARTS_MAX: u32 = 1024;

/// The allowed number of restarts within a time.
///
/// See [`RestartWindow`] and [`Spec`](crate::Spec) for examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intensity {
    /// How many restarts are tolerated within the window; one more exhausts it. 0 tolerates none.
    pub max_restarts: u32,
    /// The length of the window.
    pub window: Duration,
}

impl Default for Intensity {
    /// Returns 5 restarts within 60 s.
    fn default() -> Self {
        Self { max_restarts: 5, window: Duration::from_secs(60) }
    }
}

/// Remembers the restarts of one child, at most `max_restarts` + 1 of them.
///
/// ```
/// use std::time::{Duration, Instant};
/// use beluga_runtime::{Intensity, RestartWindow};
///
/// let mut window = RestartWindow::new(Intensity { max_restarts: 1, window: Duration::from_secs(5) });
/// let now = Instant::now();
/// assert!(window.record(now));
/// assert!(!window.record(now), "the second within five seconds is one too many");
/// assert!(window.record(now + Duration::from_secs(6)));
/// ```
#[derive(Debug, Clone)]
pub struct RestartWindow {
    intensity: Intensity,
    restarts: VecDeque<Instant>,
}

impl RestartWindow {
    /// Makes an empty window.
    #[must_use]
    pub fn new(intensity: Intensity) -> Self {
        let intensity = Intensity { max_restarts: intensity.max_restarts.min(RESTARTS_MAX), ..intensity };
        Self { intensity, restarts: VecDeque::new() }
    }

    /// Records a restart and returns whether it is still tolerated. Time must not go back between calls.
    pub fn record(&mut self, now: Instant) -> bool {
        self.forget_before(now);
        if self.restarts.len() > self.tolerated() {
            self.restarts.pop_front();
        }
        self.restarts.push_back(now);
        self.restarts.len() <= self.tolerated()
    }

    /// Returns how many restarts lie within the window. 0 means the next restart needs no back-off.
    pub fn count(&mut self, now: Instant) -> u32 {
        self.forget_before(now);
        u32::try_from(self.restarts.len()).unwrap_or(u32::MAX)
    }

    /// Forgets all restarts, as after a gate was opened and closed again.
    pub fn clear(&mut self) {
        self.restarts.clear();
    }

    fn tolerated(&self) -> usize {
        usize::try_from(self.intensity.max_restarts).unwrap_or(usize::MAX)
    }

    fn forget_before(&mut self, now: Instant) {
        while self.restarts.front().is_some_and(|at| now.saturating_duration_since(*at) >= self.intensity.window) {
            self.restarts.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::now;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn old_restarts_slide_out_of_the_window() {
        let mut window = RestartWindow::new(Intensity { max_restarts: 2, window: seconds(10) });
        let start = now();
        assert!(window.record(start));
        assert!(window.record(start + seconds(6)));
        assert_eq!(window.count(start + seconds(9)), 2);
        assert!(window.record(start + seconds(10)), "the first has left");
        assert!(!window.record(start + seconds(11)));
        assert_eq!(window.count(start + seconds(100)), 0);
    }

    #[test]
    fn no_restart_is_tolerated_with_an_intensity_of_zero() {
        let mut window = RestartWindow::new(Intensity { max_restarts: 0, window: seconds(10) });
        assert!(!window.record(now()));
    }

    #[test]
    fn memory_is_bounded_by_the_intensity() {
        let mut window = RestartWindow::new(Intensity { max_restarts: u32::MAX, window: seconds(10) });
        let now = now();
        let tolerated = (0..5_000).filter(|_| window.record(now)).count();
        assert_eq!(tolerated, 1024);
        assert_eq!(window.restarts.len(), 1025);
    }
}
