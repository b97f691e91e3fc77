//! Chance that can be repeated.

use rand::{Rng, SeedableRng, rngs::StdRng};

/// The source of chance in tests.
pub type Random = StdRng;

/// A source of chance for the test `name`. Its seed is printed, and taken from `BANYAN_TEST_SEED` when that is set.
#[expect(clippy::disallowed_methods, reason = "a test's own settings")]
pub fn seed(name: &str) -> Random {
    let given = std::env::var("BANYAN_TEST_SEED").ok().and_then(|s| s.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| rand::rng().random());
    println!("{name}: BANYAN_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}
