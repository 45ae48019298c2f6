//! How long to wait before the next restart or retry: exponential, capped, with jitter. Pure arithmetic.

use std::time::Duration;

/// The schedule of waits between tries.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::Backoff;
///
/// let backoff = Backoff { initial: Duration::from_millis(500), factor: 2.0, max: Duration::from_secs(30), jitter: 0.5 };
/// assert_eq!(backoff.delay(0, 0.0), Duration::from_millis(500));
/// assert_eq!(backoff.delay(2, 0.0), Duration::from_secs(2));
/// assert_eq!(backoff.delay(2, 1.0), Duration::from_secs(1), "jitter takes away, so the cap holds");
/// assert_eq!(backoff.delay(60, 0.0), Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The wait before the second try.
    pub initial: Duration,
    /// By how much each wait is longer than the one before; below 1 counts as 1.
    pub factor: f64,
    /// The longest wait.
    pub max: Duration,
    /// The share of a wait that chance may take away, 0 to 1: it keeps many callers from trying again together.
    pub jitter: f64,
}

impl Default for Backoff {
    /// Returns 500 ms, doubling to 30 s, half of it left to chance.
    fn default() -> Self {
        Self { initial: Duration::from_millis(500), factor: 2.0, max: Duration::from_secs(30), jitter: 0.5 }
    }
}

impl Backoff {
    /// Returns the wait after `attempt` failed tries before this one (0 for the first wait).
    ///
    /// `random` is a number in [0, 1), such as [`SystemRandom::unit`](crate::SystemRandom::unit).
    #[must_use]
    pub fn delay(&self, attempt: u32, random: f64) -> Duration {
        let factor = if self.factor >= 1.0 { self.factor } else { 1.0 };
        let exponent = i32::try_from(attempt).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * factor.powi(exponent);
        // Written so that infinity and not-a-number end at the cap.
        let base = if grown < self.max.as_secs_f64() { grown } else { self.max.as_secs_f64() };
        let kept = 1.0 - self.jitter.clamp(0.0, 1.0) * random.clamp(0.0, 1.0);
        Duration::try_from_secs_f64(base * kept).unwrap_or(self.max).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_wait_is_the_initial_one() {
        assert_eq!(Backoff::default().delay(0, 0.0), Duration::from_millis(500));
    }

    #[test]
    fn nonsense_settings_still_give_a_bounded_wait() {
        let odd = Backoff { initial: Duration::MAX, factor: f64::NAN, max: Duration::from_secs(1), jitter: 9.0 };
        assert_eq!(odd.delay(u32::MAX, 0.0), Duration::from_secs(1));
        assert_eq!(odd.delay(0, 1.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn waits_never_shrink_without_jitter_and_never_pass_the_cap(attempt in 0_u32..200, random in 0.0_f64..1.0) {
            let backoff = Backoff::default();
            prop_assert!(backoff.delay(attempt, 0.0) <= backoff.delay(attempt + 1, 0.0));
            prop_assert!(backoff.delay(attempt, random) <= backoff.max);
            prop_assert!(backoff.delay(attempt, random) >= backoff.delay(attempt, 0.0) / 2);
        }
    }
}
