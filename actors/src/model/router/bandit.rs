//! The order is learned: routes that answer well, soon and cheaply are asked more often, the others now and then.

use std::time::Duration;

use beluga_runtime::SystemRandom;
use parking_lot::Mutex;

use super::strategy::{Outcome, RouteQuery, RouteReport, RouterStrategy};

/// What [`Learned`] rewards and how long it remembers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearnedSettings {
    /// How much of the reward of an answer hangs on its latency, 0 to 1. Default: 0.3.
    pub latency_weight: f64,
    /// The time to the first content that earns half of that. Default: 2 s.
    pub latency: Duration,
    /// How much of it hangs on its cost, 0 to 1; both weights together are at most 1. Default: 0.2.
    pub cost_weight: f64,
    /// The cost in millionths of a US dollar that earns half of that; an unknown cost earns none. Default: 10,000.
    pub cost_micro_usd: u64,
    /// What a memory is worth after one more call of any route, above 0 to 1: 0.99 remembers about a hundred calls.
    /// Default: 0.99.
    pub memory: f64,
}

impl Default for LearnedSettings {
    fn default() -> Self {
        Self {
            latency_weight: 0.3,
            latency: Duration::from_secs(2),
            cost_weight: 0.2,
            cost_micro_usd: 10_000,
            memory: 0.99,
        }
    }
}

impl LearnedSettings {
    /// Returns the reward of a call, 0 to 1; `None` if it says nothing about the route.
    #[must_use]
    pub fn reward(&self, report: &RouteReport<'_>) -> Option<f64> {
        match report.outcome {
            Outcome::Answered => {
                let (latency_weight, cost_weight) = self.weights();
                let latency =
                    share(report.first_content.unwrap_or(report.took).as_secs_f64(), self.latency.as_secs_f64());
                #[allow(clippy::cast_precision_loss)] // No call costs 2⁵³ millionths.
                let cost = report.cost_micro_usd.map_or(0.0, |cost| share(cost as f64, self.cost_micro_usd as f64));
                Some(1.0 - latency_weight * (1.0 - latency) - cost_weight * (1.0 - cost))
            }
            Outcome::Failed(_) if report.is_failure() => Some(0.0),
            Outcome::Failed(_) | Outcome::Left => None,
        }
    }

    fn weights(&self) -> (f64, f64) {
        let latency = self.latency_weight.clamp(0.0, 1.0);
        (latency, self.cost_weight.clamp(0.0, 1.0 - latency))
    }
}

/// Returns 1 for nothing, ½ for the half point, towards 0 for ever more.
fn share(value: f64, half: f64) -> f64 {
    if value <= 0.0 { 1.0 } else { half / (half + value) }
}

/// A bandit by Thompson sampling: for each route a Beta distribution of its reward, of which each call draws once; the
/// highest draw is asked first. Memories fade, so a route that changes is noticed. Seeded: the same calls with the same
/// outcomes give the same orders.
#[derive(Debug)]
pub struct Learned {
    settings: LearnedSettings,
    random: SystemRandom,
    /// By place; as many as there are routes.
    arms: Mutex<Vec<Arm>>,
}

/// The rewards and the missed rewards of a route, each faded.
#[derive(Debug, Clone, Copy, Default)]
struct Arm {
    won: f64,
    lost: f64,
}

impl Arm {
    fn draw(self, random: &SystemRandom) -> f64 {
        let (won, lost) = (gamma(1.0 + self.won, random), gamma(1.0 + self.lost, random));
        won / (won + lost).max(f64::MIN_POSITIVE)
    }
}

impl Learned {
    /// Makes a strategy that knows nothing; every order is as likely as another.
    #[must_use]
    pub fn new(settings: LearnedSettings, random: SystemRandom) -> Self {
        Self { settings, random, arms: Mutex::default() }
    }

    /// Returns the mean of the rewards of a route as they count now; ½ before the first.
    #[must_use]
    pub fn mean(&self, place: usize) -> f64 {
        let arm = self.arms.lock().get(place).copied().unwrap_or_default();
        (1.0 + arm.won) / (2.0 + arm.won + arm.lost)
    }
}

impl RouterStrategy for Learned {
    fn name(&self) -> &'static str {
        "learned"
    }

    fn order(&self, query: &RouteQuery<'_>) -> Vec<usize> {
        let arms = self.arms.lock().clone();
        let draw = |place: &usize| (*place, arms.get(*place).copied().unwrap_or_default().draw(&self.random));
        let mut drawn: Vec<(usize, f64)> = query.able.iter().map(draw).collect();
        drawn.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        drawn.into_iter().map(|(place, _)| place).collect()
    }

    fn learn(&self, report: &RouteReport<'_>) {
        let Some(reward) = self.settings.reward(report) else { return };
        let memory = self.settings.memory.clamp(f64::EPSILON, 1.0);
        let mut arms = self.arms.lock();
        if arms.len() < report.routes.len() {
            arms.resize(report.routes.len(), Arm::default());
        }
        for arm in &mut *arms {
            (arm.won, arm.lost) = (arm.won * memory, arm.lost * memory);
        }
        if let Some(arm) = arms.get_mut(report.place) {
            (arm.won, arm.lost) = (arm.won + reward, arm.lost + 1.0 - reward);
        }
    }
}

/// The most draws until one is taken as it is; each is accepted with a chance above 0.95.
const DRAWS_MAX: u32 = 64;

/// Draws of a gamma distribution of scale 1 and a shape of at least 1 (Marsaglia and Tsang: "A simple method for
/// generating gamma variables", 2000).
fn gamma(shape: f64, random: &SystemRandom) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = (9.0 * d).sqrt().recip();
    for _ in 0..DRAWS_MAX {
        let x = normal(random);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && above_zero(random).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
    d
}

/// Draws of the standard normal distribution (Box and Muller, 1958).
fn normal(random: &SystemRandom) -> f64 {
    let radius = (-2.0 * above_zero(random).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.unit()).cos()
}

/// Draws a number in (0, 1].
fn above_zero(random: &SystemRandom) -> f64 {
    1.0 - random.unit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawn_means_are_those_of_the_distribution() {
        let random = SystemRandom::seeded(42);
        for (won, lost) in [(0.0, 0.0), (9.0, 1.0), (0.5, 30.0), (200.0, 100.0)] {
            let arm = Arm { won, lost };
            let draws: Vec<f64> = (0..20_000).map(|_| arm.draw(&random)).collect();
            assert!(draws.iter().all(|drawn| (0.0..=1.0).contains(drawn)));
            let (mean, expected) = (draws.iter().sum::<f64>() / 20_000.0, (1.0 + won) / (2.0 + won + lost));
            assert!((mean - expected).abs() < 0.01, "{won} {lost}: {mean} instead of {expected}");
        }
    }
}
