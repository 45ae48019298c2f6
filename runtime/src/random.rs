//! Randomness of one system: seeded, so that a test that prints its seed can be run again.
//!
//! For jitter, sampling and ids. It is not cryptographic: what nobody may guess (tokens, keys) does not come from here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The step of a Weyl sequence, 2⁶⁴ divided by the golden ratio (Steele, Lea, Flood: "Fast splittable pseudorandom
/// number generators", 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A SplitMix64 generator shared by all parts of one system. A clone is the same generator.
///
/// Lock-free. Equal seeds give equal sequences as long as the calls come in the same order;
/// parts that run in parallel take a [`fork`](Self::fork) each.
///
/// ```
/// use beluga_runtime::SystemRandom;
///
/// let (a, b) = (SystemRandom::seeded(7), SystemRandom::seeded(7));
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert_ne!(a.next_u64(), SystemRandom::seeded(8).next_u64());
/// assert!((0.0..1.0).contains(&a.unit()));
/// ```
#[derive(Clone)]
pub struct SystemRandom(Arc<State>);

struct State {
    seed: u64,
    /// Odd and drawn from the seed, so that two systems' sequences do not run through each other's values.
    step: u64,
    position: AtomicU64,
}

impl SystemRandom {
    /// Makes a generator from a seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let step = mix(seed ^ GOLDEN) | 1;
        Self(Arc::new(State { seed, step, position: AtomicU64::new(mix(seed)) }))
    }

    /// Makes a generator with a seed from the operating system.
    #[must_use]
    pub fn from_entropy() -> Self {
        Self::seeded(rand::random())
    }

    /// Returns the seed, for the log line that lets a run be repeated.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Returns 64 random bits.
    #[must_use]
    pub fn next_u64(&self) -> u64 {
        mix(self.0.position.fetch_add(self.0.step, Ordering::Relaxed))
    }

    /// Returns 128 random bits, for ids.
    #[must_use]
    pub fn next_u128(&self) -> u128 {
        (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64())
    }

    /// Returns a number in [0, 1), evenly spread, 53 bits.
    #[must_use]
    pub fn unit(&self) -> f64 {
        const UNIT: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * UNIT
    }

    /// Returns a number in [0, bound); 0 for a bound of 0. The bias is below bound ÷ 2⁶⁴.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        // The upper half of a product of two 64-bit numbers fits 64 bits.
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Makes an independent generator, seeded by the next number of this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::seeded(self.next_u64())
    }
}

impl fmt::Debug for SystemRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemRandom").field("seed", &self.0.seed).finish_non_exhaustive()
    }
}

/// Spreads the bits of a number over all of it.
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_repeat_and_forks_differ() {
        let draw = |random: &SystemRandom| (0..100).map(|_| random.next_u64()).collect::<Vec<_>>();
        assert_eq!(draw(&SystemRandom::seeded(1)), draw(&SystemRandom::seeded(1)));
        let random = SystemRandom::seeded(1);
        assert_ne!(draw(&random.fork()), draw(&random.fork()));
        let (zero, other) = (SystemRandom::seeded(0), SystemRandom::seeded(GOLDEN));
        assert_ne!(draw(&zero), draw(&other));
    }

    #[test]
    fn the_unit_interval_is_filled_evenly() {
        let random = SystemRandom::seeded(42);
        let drawn: Vec<f64> = (0..100_000).map(|_| random.unit()).collect();
        assert!(drawn.iter().all(|number| (0.0..1.0).contains(number)));
        for tenth in 0..10 {
            let (from, to) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
            let count = drawn.iter().filter(|number| (from..to).contains(*number)).count();
            assert!((9_500..10_500).contains(&count), "{count} between {from} and {to}");
        }
    }

    #[test]
    fn a_bound_is_never_reached() {
        let random = SystemRandom::seeded(42);
        assert_eq!(random.below(0), 0);
        assert_eq!(random.below(1), 0);
        assert!((0..1000).all(|_| random.below(6) < 6));
    }

    #[test]
    fn threads_never_draw_the_same_number() {
        let random = SystemRandom::seeded(3);
        let mut drawn: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..10_000).map(|_| random.next_u64()).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 40_000);
    }
}
