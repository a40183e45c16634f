//! Orders of samples: permutations, evenly spread, and the same for ever.

use proptest::prelude::*;
use protocol::order::{
    PURPOSE_CUT, PURPOSE_LEASE, PURPOSE_PARAMETERS, PURPOSE_ROWS, PURPOSE_SHARDS, generator,
    row_order, shard_order, shuffled,
};
use rand_core::Rng;

use super::cases;

#[test]
fn the_purposes_never_change() {
    let purposes = [PURPOSE_CUT, PURPOSE_SHARDS, PURPOSE_ROWS, PURPOSE_PARAMETERS, PURPOSE_LEASE];
    assert_eq!(purposes, [1, 2, 3, 4, 5]);
}

#[test]
fn the_generator_never_changes() {
    let first = |seed, purpose, index| {
        let mut generator = generator(seed, purpose, index);
        std::array::from_fn::<u64, 3, _>(|_| generator.next_u64())
    };
    assert_eq!(first(0, 0, 0), [0xd6405f892fef003e, 0xa1a5091fe8b85b7f, 0x3b7f9acec30e842c]);
    assert_eq!(
        first(42, PURPOSE_PARAMETERS, 7),
        [0x184f897851d5ec44, 0x89bbaab3094404ba, 0xcab093d5d281074e]
    );
    assert_eq!(
        first(u64::MAX, PURPOSE_LEASE, u64::MAX),
        [0x0172dbb7c1b1e6f9, 0xe253069751354fb4, 0x313a09e86321fb06]
    );
}

#[test]
fn orders_never_change() {
    assert_eq!(shard_order(42, 0, 10), [8, 5, 7, 0, 6, 3, 9, 1, 2, 4]);
    assert_eq!(shard_order(42, 1, 10), [4, 9, 0, 2, 1, 6, 7, 3, 8, 5]);
    assert_eq!(row_order(42, 0, 0, 10), [0, 1, 7, 8, 4, 2, 9, 6, 3, 5]);
    assert_eq!(row_order(42, 3, 5, 10), [2, 0, 1, 9, 8, 7, 4, 3, 5, 6]);
    assert_eq!(row_order(42, 3, 5, 1000)[..8], [523, 979, 394, 758, 13, 882, 111, 298]);
    assert_eq!(row_order(u64::MAX, u32::MAX, u32::MAX, 10), [9, 4, 2, 8, 3, 1, 0, 5, 6, 7]);
}

#[test]
fn every_argument_matters() {
    let orders = [
        row_order(1, 2, 3, 100),
        row_order(2, 2, 3, 100),
        row_order(1, 3, 3, 100),
        row_order(1, 3, 2, 100),
        row_order(1, 2, 4, 100),
        shard_order(1, 2, 100),
        shard_order(1, 3, 100),
        shard_order(2, 2, 100),
    ];
    for (index, order) in orders.iter().enumerate() {
        assert!(!orders[..index].contains(order), "order {index} repeats another");
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn shuffled_is_a_permutation(count in 0..2000_u32, seed in any::<u64>()) {
        let mut order = shuffled(count, &mut generator(seed, PURPOSE_CUT, 0));
        order.sort_unstable();
        prop_assert!(order.into_iter().eq(0..count));
    }
}

/// Each number is as often at each place: 10 x 10 counts of 20,000 shuffles, expected 2,000 each.
#[test]
fn shuffles_are_uniform() {
    let mut counts = [[0_u32; 10]; 10];
    for epoch in 0..20_000 {
        for (place, number) in shard_order(7, epoch, 10).into_iter().enumerate() {
            counts[place][number as usize] += 1;
        }
    }
    let squares: f64 =
        counts.as_flattened().iter().map(|&count| (f64::from(count) - 2000.0).powi(2)).sum();
    // Chi-squared with 81 degrees of freedom has mean 81 and deviation 13.
    let chi_squared = squares / 2000.0;
    assert!((30.0..150.0).contains(&chi_squared), "{chi_squared}");
}
