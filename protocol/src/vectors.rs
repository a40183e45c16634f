//! Plain loops, compiled once more for processors with wide vectors.
//!
//! Herd is built for any processor of its kind; what it moves and merges in bulk is worth asking which
//! one it is.

#[cfg(target_arch = "x86_64")]
use pulp::x86::{V3, V4};

/// Does the work with the widest vectors that this processor has: on x86-64 those of AVX-512 or AVX2.
/// Only what is inlined into `work` profits. The results are the same: nothing is reordered or fused.
#[inline(always)]
pub fn with_vectors<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if let Some(vectors) = V4::try_new() {
        return vectors.vectorize(work);
    } else if let Some(vectors) = V3::try_new() {
        return vectors.vectorize(work);
    }
    work()
}

/// The largest magnitude; NaN counts for nothing.
#[must_use]
#[inline(always)]
pub fn magnitude(values: &[f32]) -> f32 {
    const LANES: usize = 32;
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0_f32; LANES];
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            let value = value.abs();
            *lane = if value > *lane { value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(0.0, |largest: f32, value| largest.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_found_wherever_it_stands() {
        for place in [0, 31, 32, 70] {
            let mut values = vec![1.0; 71];
            values[place] = -3.0;
            values[5] = f32::NAN;
            assert_eq!(magnitude(&values), if place == 5 { 1.0 } else { 3.0 });
        }
        assert_eq!(magnitude(&[]), 0.0);
    }
}
