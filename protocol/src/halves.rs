//! Numbers of two bytes (IEEE 754 binary16) from `f32` and back, as loops that become vector
//! instructions of whatever processor it is: shifts, sums and choices, no call for each few values.
//!
//! Processors with AVX-512 do it with an instruction for sixteen of them.
//!
//! The steps are those of Fabian Giesen's conversions ("half to float done quick", 2012), rounding to
//! the nearest, ties to even, as processors do it.

#[cfg(target_arch = "x86_64")]
use pulp::x86::V4;

use crate::vectors::with_vectors;

/// The bits of a half that are not its sign.
const HALF_MAGNITUDE: u32 = 0x7fff;
/// Exponent bits of a half, where they stand in an `f32`.
const HALF_EXPONENT: u32 = 0x7c00 << 13;
/// What the exponent of a half lacks to be that of an `f32`.
const REBIAS: u32 = (127 - 15) << 23;
/// 2^-14 as bits, the smallest normal half.
const SMALLEST_NORMAL: u32 = (127 - 14) << 23;
/// 2^16 as bits: from here on there is no half.
const TOO_LARGE: u32 = (127 + 16) << 23;
/// 0.5 as bits: added to what is smaller than the smallest normal half, it leaves the half's bits at
/// the end of the sum's.
const ROUNDER: u32 = 126 << 23;
const INFINITY: u32 = 0x7f80_0000;

/// Each half of `words`, little-endian, times `scale`.
pub(crate) fn widen(words: &[u8], scale: f32, values: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(vectors) = V4::try_new() {
        return wide::widen(vectors, words, scale, values);
    }
    widen_plainly(words, scale, values);
}

fn widen_plainly(words: &[u8], scale: f32, values: &mut [f32]) {
    with_vectors(
        #[inline(always)]
        || {
            for (value, word) in values.iter_mut().zip(words.as_chunks::<2>().0) {
                *value = to_single(u16::from_le_bytes(*word)) * scale;
            }
        },
    );
}

/// Each of `values` times `scale` as a half, little-endian.
pub(crate) fn narrow(values: &[f32], scale: f32, words: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(vectors) = V4::try_new() {
        return wide::narrow(vectors, values, scale, words);
    }
    narrow_plainly(values, scale, words);
}

fn narrow_plainly(values: &[f32], scale: f32, words: &mut [u8]) {
    with_vectors(
        #[inline(always)]
        || {
            for (word, value) in words.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                *word = to_half(value * scale).to_le_bytes();
            }
        },
    );
}

/// AVX-512's own instructions, and the plain loops for what is left.
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::{__m256i, __m512, _MM_FROUND_TO_NEAREST_INT};

    use bytemuck::must_cast;
    use pulp::x86::V4;

    /// Values of a block.
    const LANES: usize = 16;

    pub(super) fn widen(vectors: V4, words: &[u8], scale: f32, values: &mut [f32]) {
        let (blocks, rest) = values.as_chunks_mut::<LANES>();
        let (words, last) = words.as_chunks::<{ 2 * LANES }>();
        vectors.vectorize(
            #[inline(always)]
            || {
                let scale = vectors.avx512f._mm512_set1_ps(scale);
                for (block, words) in blocks.iter_mut().zip(words) {
                    let halves: __m256i = must_cast(*words);
                    let singles = vectors.avx512f._mm512_cvtph_ps(halves);
                    *block = must_cast(vectors.avx512f._mm512_mul_ps(singles, scale));
                }
            },
        );
        super::widen_plainly(last, scale, rest);
    }

    pub(super) fn narrow(vectors: V4, values: &[f32], scale: f32, words: &mut [u8]) {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT;
        let (blocks, rest) = words.as_chunks_mut::<{ 2 * LANES }>();
        let (values, last) = values.as_chunks::<LANES>();
        vectors.vectorize(
            #[inline(always)]
            || {
                let scale = vectors.avx512f._mm512_set1_ps(scale);
                for (block, values) in blocks.iter_mut().zip(values) {
                    let singles: __m512 = must_cast(*values);
                    let scaled = vectors.avx512f._mm512_mul_ps(singles, scale);
                    *block = must_cast(vectors.avx512f._mm512_cvtps_ph::<NEAREST>(scaled));
                }
            },
        );
        super::narrow_plainly(last, scale, rest);
    }
}

#[inline(always)]
fn to_single(half: u16) -> f32 {
    let half = u32::from(half);
    let shifted = (half & HALF_MAGNITUDE) << 13;
    let exponent = shifted & HALF_EXPONENT;
    let normal = shifted.wrapping_add(REBIAS);
    // Infinity and NaN have the highest exponent in both.
    let endless = shifted | INFINITY;
    // The processor normalises what a half has below its normal numbers.
    let small = f32::from_bits(normal.wrapping_add(1 << 23)) - f32::from_bits(SMALLEST_NORMAL);
    let magnitude = if exponent == HALF_EXPONENT {
        endless
    } else if exponent == 0 {
        small.to_bits()
    } else {
        normal
    };
    f32::from_bits(magnitude | (half & !HALF_MAGNITUDE) << 16)
}

#[inline(always)]
fn to_half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = bits & 0x8000_0000;
    let magnitude = bits ^ sign;
    let endless = if magnitude > INFINITY { 0x7e00 } else { 0x7c00 };
    let sum = f32::from_bits(magnitude) + f32::from_bits(ROUNDER);
    let small = sum.to_bits().wrapping_sub(ROUNDER);
    let odd = magnitude >> 13 & 1;
    let normal = magnitude.wrapping_sub(REBIAS).wrapping_add(0xfff).wrapping_add(odd) >> 13;
    let half = if magnitude >= TOO_LARGE {
        endless
    } else if magnitude < SMALLEST_NORMAL {
        small
    } else {
        normal
    };
    (half | sign >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    #[test]
    fn every_half_is_widened_as_by_the_library() {
        for bits in 0..=u16::MAX {
            let (expected, got) = (f16::from_bits(bits).to_f32(), to_single(bits));
            let same = expected.to_bits() == got.to_bits();
            assert!(same || expected.is_nan() && got.is_nan(), "{bits:#x}: {expected} {got}");
        }
    }

    #[test]
    fn singles_are_narrowed_as_by_the_library() {
        // Every exponent, both signs, and of the mantissas those around each tie.
        for high in 0..=u16::MAX {
            for low in [0_u32, 1, 0xfff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x7fff, 0x8000, 0xffff] {
                let value = f32::from_bits(u32::from(high) << 16 | low);
                let (expected, got) = (f16::from_f32(value), f16::from_bits(to_half(value)));
                let same = expected.to_bits() == got.to_bits();
                assert!(same || expected.is_nan() && got.is_nan(), "{value:e}: {expected} {got}");
            }
        }
    }

    #[test]
    fn wide_instructions_come_to_the_same() {
        let words: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let mut singles = vec![[0.0; 1 << 16]; 2];
        widen(&words, 0.25, &mut singles[0]);
        widen_plainly(&words, 0.25, &mut singles[1]);
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        assert!(singles[0].iter().zip(&singles[1]).all(same));

        let values: Vec<f32> =
            (0..1 << 20).map(|high| f32::from_bits((high << 12) | (high % 3))).collect();
        let mut halves = vec![vec![0; 2 * values.len()]; 2];
        narrow(&values, 3.0, &mut halves[0]);
        narrow_plainly(&values, 3.0, &mut halves[1]);
        let half =
            |bytes: &[u8], place| f16::from_le_bytes([bytes[2 * place], bytes[2 * place + 1]]);
        for (place, value) in values.iter().enumerate() {
            let (wide, plain) = (half(&halves[0], place), half(&halves[1], place));
            let same = wide.to_bits() == plain.to_bits() || wide.is_nan() && plain.is_nan();
            assert!(same, "{value:e}: {wide} {plain}");
        }
    }

    #[test]
    fn slices_are_converted_whole_with_their_scale() {
        let values: Vec<f32> = (0..1001).map(|place| (place as f32 - 500.0) / 7.0).collect();
        let mut words = vec![0; 2 * values.len()];
        narrow(&values, 2.0, &mut words);
        let mut back = vec![f32::NAN; values.len()];
        widen(&words, 0.5, &mut back);
        for (value, back) in values.iter().zip(back) {
            assert_eq!(f16::from_f32(2.0 * value).to_f32() / 2.0, back);
        }
    }
}
