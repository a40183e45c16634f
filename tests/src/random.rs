//! Random numbers for tests, with their seed printed: it is shown when the test fails.

use std::hash::{BuildHasher, RandomState};

/// A small generator (SplitMix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Seeded by `HERD_SEED`, else by chance.
    #[must_use]
    #[allow(clippy::print_stderr, reason = "a failing test shows what it printed")]
    #[allow(clippy::new_without_default, reason = "it prints")]
    pub fn new() -> Self {
        let given = std::env::var("HERD_SEED").ok().and_then(|seed| seed.parse().ok());
        // The standard library seeds each hasher by chance.
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        eprintln!("HERD_SEED={seed}");
        Self(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}
