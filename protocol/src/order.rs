//! The order of an epoch's samples: coordinator and worker compute it alike from the run's seed.
//!
//! Each epoch permutes the shards, and the rows within each shard. ChaCha8's stream is defined by
//! its seed on every machine, and the shuffle below is written out, so the order never changes
//! with a library's version.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A generator for one purpose of one run, independent of all others.
#[must_use]
pub fn generator(seed: u64, purpose: u64, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&purpose.to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Purpose of [`generator`]: rows of the whole data set, before they are cut into shards.
pub const PURPOSE_CUT: u64 = 1;
/// Purpose of [`generator`]: the order of an epoch's shards.
pub const PURPOSE_SHARDS: u64 = 2;
/// Purpose of [`generator`]: the order of the rows within one shard in one epoch.
pub const PURPOSE_ROWS: u64 = 3;
/// Purpose of [`generator`]: a model's first parameters.
pub const PURPOSE_PARAMETERS: u64 = 4;
/// Purpose of [`generator`]: dropout and other noise of one lease.
pub const PURPOSE_LEASE: u64 = 5;

/// The numbers `0..count`, shuffled (Fisher and Yates).
#[must_use]
pub fn shuffled(count: u32, generator: &mut impl Rng) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..order.len()).rev() {
        // The bias of a 64-bit draw reduced by multiplication is below 2^-32 for any count here.
        let draw = u128::from(generator.next_u64()) * (last as u128 + 1);
        order.swap(last, (draw >> 64) as usize);
    }
    order
}

/// The order in which an epoch visits the shards.
#[must_use]
pub fn shard_order(seed: u64, epoch: u32, shards: u32) -> Vec<u32> {
    shuffled(shards, &mut generator(seed, PURPOSE_SHARDS, u64::from(epoch)))
}

/// The order in which an epoch visits the rows of one shard.
#[must_use]
pub fn row_order(seed: u64, epoch: u32, shard: u32, rows: u32) -> Vec<u32> {
    let index = u64::from(epoch) << 32 | u64::from(shard);
    shuffled(rows, &mut generator(seed, PURPOSE_ROWS, index))
}
