//! The kernel against plain models: random operations on a live system, and after each what the model says.
//!
//! The seeds are fixed, so a run is like the one before. `PROPTEST_RNG_SEED` and `PROPTEST_CASES` look further; what they
//! find is kept in `proptest-regressions` and runs first from then on.

mod counted;
mod entities;
mod ledger;
mod names;
mod soak;
mod supervisor;
mod supervisor_model;
mod supervisor_ops;

use proptest::test_runner::{Config, RngSeed};

/// The seed unless the environment names one.
const SEED: u64 = 0x5eed;

/// What proptest does unless the environment names a number of cases.
const CASES_UNASKED: u32 = 256;

/// Returns how a property is tested: `cases` times from a fixed seed, unless the environment says otherwise.
fn config(cases: u32) -> Config {
    let given = Config::default();
    Config {
        cases: if given.cases == CASES_UNASKED { cases } else { given.cases },
        rng_seed: if given.rng_seed == RngSeed::Random { RngSeed::Fixed(SEED) } else { given.rng_seed },
        ..given
    }
}
