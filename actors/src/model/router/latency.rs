//! The route that lately answered soonest comes first.

use std::time::{Duration, Instant};

use beluga_runtime::time;
use parking_lot::Mutex;

use super::strategy::{Outcome, RouteQuery, RouteReport, RouterStrategy};

/// How [`LowestLatency`] remembers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LowestLatencySettings {
    /// The share of a new observation in the running mean, above 0 to 1. Default: 0.3.
    pub gain: f64,
    /// What a failure counts as. Default: 30 s.
    pub failure: Duration,
    /// After how long without a call a mean counts half, so that a route that was slow once is tried again. Default: 60 s.
    pub half_life: Duration,
}

impl Default for LowestLatencySettings {
    fn default() -> Self {
        Self { gain: 0.3, failure: Duration::from_secs(30), half_life: Duration::from_secs(60) }
    }
}

/// Orders routes by a running mean (EWMA) of the time to their first content. A route nobody has asked comes first.
#[derive(Debug, Default)]
pub struct LowestLatency {
    settings: LowestLatencySettings,
    /// By place; as many as there are routes.
    means: Mutex<Vec<Option<Mean>>>,
}

#[derive(Debug, Clone, Copy)]
struct Mean {
    seconds: f64,
    at: Instant,
}

impl LowestLatency {
    /// Makes a strategy without memory.
    #[must_use]
    pub fn new(settings: LowestLatencySettings) -> Self {
        Self { settings, means: Mutex::default() }
    }

    /// Returns the mean of a route as it counts now, `None` before its first call.
    #[must_use]
    pub fn mean(&self, place: usize) -> Option<Duration> {
        let mean = self.means.lock().get(place).copied().flatten()?;
        Duration::try_from_secs_f64(self.faded(mean)).ok()
    }

    fn faded(&self, mean: Mean) -> f64 {
        mean.seconds * self.trust(mean)
    }

    /// Returns what a mean is worth after the time nobody called: 1, then ½, ¼.
    fn trust(&self, mean: Mean) -> f64 {
        let idle = time::now().saturating_duration_since(mean.at).as_secs_f64();
        let half_life = self.settings.half_life.as_secs_f64().max(f64::MIN_POSITIVE);
        (-idle / half_life).exp2()
    }
}

impl RouterStrategy for LowestLatency {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn order(&self, query: &RouteQuery<'_>) -> Vec<usize> {
        let means = self.means.lock().clone();
        let mean = |place: usize| means.get(place).copied().flatten().map_or(0.0, |mean| self.faded(mean));
        let mut places: Vec<(usize, f64)> = query.able.iter().map(|place| (*place, mean(*place))).collect();
        places.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        places.into_iter().map(|(place, _)| place).collect()
    }

    fn learn(&self, report: &RouteReport<'_>) {
        let observed = match (report.first_content, report.outcome) {
            (Some(latency), _) => latency,
            (None, Outcome::Answered) => report.took,
            (None, Outcome::Failed(_)) if report.is_failure() => report.took.max(self.settings.failure),
            // Somebody else was heard first: it takes at least so long.
            (None, Outcome::Left) if self.mean(report.place).is_none_or(|mean| mean < report.took) => report.took,
            (None, _) => return,
        };
        let (observed, at) = (observed.as_secs_f64(), time::now());
        let mut means = self.means.lock();
        if means.len() < report.routes.len() {
            means.resize(report.routes.len(), None);
        }
        if let Some(mean) = means.get_mut(report.place) {
            // The less a mean is worth, the more the new observation counts.
            let kept = 1.0 - self.settings.gain.clamp(f64::EPSILON, 1.0);
            let seconds = mean
                .map_or(observed, |mean| mean.seconds + (1.0 - kept * self.trust(mean)) * (observed - mean.seconds));
            *mean = Some(Mean { seconds, at });
        }
    }
}
