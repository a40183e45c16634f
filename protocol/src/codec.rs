//! How a flat `f32` vector becomes payload bytes and back.
//!
//! Tensors stand one after the other in the order of the shape table, little-endian:
//! - `f32`: four bytes a value
//! - `f16`: an exponent `e` (i16), then two bytes a value; the value is `half * 2^e`. The exponent
//!   puts the tensor's largest value near the top of f16's range, so that nothing overflows and a
//!   late delta of 1e-9 is not flushed to zero.
//!
//! Buffers, and tensors under [`F16_ELEMENTS_MIN`] values, are `f32` under either codec.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::halves::{narrow, widen};
use crate::pieces::{Layout, Piece, pieces};
use crate::tensor::{Role, TensorInfo, TensorTable};
use crate::vectors::{magnitude, with_vectors};

/// Tensors with fewer values travel as f32: they cost little, and biases like precision.
pub const F16_ELEMENTS_MIN: usize = 4096;

/// Values converted at a time: their halves fit the first-level cache.
const BLOCK: usize = 8192;

/// The largest value of a tensor becomes a half in `[2^14, 2^15)`: one bit below overflow.
const TOP_EXPONENT: i32 = 14;

/// Exponents whose powers of two, and their inverses, are normal f32 numbers.
const EXPONENT_MIN: i32 = -126;
const EXPONENT_MAX: i32 = 113;

/// How tensors are encoded on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Four bytes a value.
    F32,
    /// Two bytes a value, scaled per tensor.
    #[default]
    F16,
}

/// Why a payload is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The length does not match the shape table.
    #[error("{got} bytes do not match the shape table, which needs {expected}")]
    Length {
        /// By the shape table and the codec.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// NaN, infinite, or an exponent out of range.
    #[error("tensor {0:?} holds a value that is not finite")]
    NotFinite(String),
    /// A variance below zero.
    #[error("tensor {0:?} may not hold values below zero")]
    Negative(String),
}

impl Codec {
    pub(crate) fn is_half(self, tensor: &TensorInfo) -> bool {
        self == Self::F16 && !tensor.is_buffer() && tensor.elements() >= F16_ELEMENTS_MIN
    }

    pub(crate) fn tensor_bytes(self, tensor: &TensorInfo) -> usize {
        if self.is_half(tensor) { 2 + 2 * tensor.elements() } else { 4 * tensor.elements() }
    }

    /// Size of the payload for all tensors of the table.
    #[must_use]
    pub fn bytes(self, table: &TensorTable) -> usize {
        table.tensors.iter().map(|tensor| self.tensor_bytes(tensor)).sum()
    }

    /// Encodes `values`, one for each element of the table.
    ///
    /// Values that are not finite survive as such, so that the receiver refuses them; so do those
    /// of a half tensor that round up to 2^128, from 3.402e38 on.
    ///
    /// # Panics
    /// When `values` does not have the table's length: that is the caller's mistake.
    #[must_use]
    pub fn encode(self, table: &TensorTable, values: &[f32]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.bytes(table));
        self.encode_into(table, values, None, &mut payload);
        payload
    }

    /// Encodes `values` as [`Self::encode`], a little at a time. Who knows the largest magnitude of
    /// each tensor saves the search.
    ///
    /// # Panics
    /// As [`Self::encode`].
    pub fn encode_into(
        self,
        table: &TensorTable,
        values: &[f32],
        magnitudes: Option<&[f32]>,
        target: &mut impl Target,
    ) {
        assert_eq!(values.len(), table.elements(), "values do not match the shape table");
        for (number, (tensor, range)) in table.ranges().enumerate() {
            if self.is_half(tensor) {
                let values = &values[range];
                let largest = magnitudes
                    .map_or_else(|| with_vectors(|| magnitude(values)), |all| all[number]);
                encode_half(values, exponent_for(largest), target);
            } else {
                encode_single(&values[range], target);
            }
        }
    }

    /// Decodes a payload into `values`.
    ///
    /// # Errors
    /// When the length does not match, a value is not finite, or a variance is negative; `values`
    /// then holds nothing of use.
    pub fn decode(
        self,
        table: &TensorTable,
        payload: &[u8],
        values: &mut Vec<f32>,
    ) -> Result<(), CodecError> {
        let layout = Layout::new(self, table);
        let payload = layout.payload(payload)?;
        values.resize(table.elements(), 0.0);
        for (number, Piece { values: range, role, tensor }) in pieces(table).into_iter().enumerate()
        {
            let target = &mut values[range];
            payload.read(number, target);
            let name = || table.tensors[tensor].name.clone();
            if !target.iter().fold(true, |finite, value| finite & value.is_finite()) {
                return Err(CodecError::NotFinite(name()));
            }
            if role == Role::BufferNonNegative && target.iter().any(|&x| x < 0.0) {
                return Err(CodecError::Negative(name()));
            }
        }
        Ok(())
    }
}

/// Where encoded values are written.
pub trait Target {
    /// The next bytes of the payload, all of which are to be written: `most` of them, or fewer where
    /// no more lie in a row, but an even number if `most` and all before were even.
    fn space(&mut self, most: usize) -> &mut [u8];

    /// Copies bytes there.
    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space(bytes.len());
            let (now, later) = bytes.split_at(space.len());
            space.copy_from_slice(now);
            bytes = later;
        }
    }
}

impl Target for Vec<u8> {
    fn space(&mut self, most: usize) -> &mut [u8] {
        let begin = self.len();
        self.resize(begin + most, 0);
        &mut self[begin..]
    }

    fn write(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

fn encode_single(values: &[f32], target: &mut impl Target) {
    if cfg!(target_endian = "little") {
        target.write(bytemuck::cast_slice(values));
    } else {
        values.iter().for_each(|value| target.write(&value.to_le_bytes()));
    }
}

pub(crate) fn decode_single(bytes: &[u8], values: &mut [f32]) {
    for (value, word) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *value = f32::from_le_bytes(*word);
    }
}

fn encode_half(mut values: &[f32], exponent: i32, target: &mut impl Target) {
    target.write(&(exponent as i16).to_le_bytes());
    let scale = power_of_two(-exponent);
    while !values.is_empty() {
        let words = target.space(2 * values.len().min(BLOCK));
        let (now, later) = values.split_at(words.len() / 2);
        narrow(now, scale, words);
        values = later;
    }
}

/// Decodes halves times `2^exponent`; false, and nothing done, when the exponent is out of range.
pub(crate) fn decode_half(exponent: i32, words: &[u8], values: &mut [f32]) -> bool {
    if !(EXPONENT_MIN..=EXPONENT_MAX).contains(&exponent) {
        return false;
    }
    widen(words, power_of_two(exponent), values);
    true
}

/// The exponent that maps `largest` into `[2^14, 2^15)`, within what f32 can scale by.
fn exponent_for(largest: f32) -> i32 {
    if largest == 0.0 {
        return 0;
    }
    // The exponent's bits; subnormal numbers count as the smallest normal exponent.
    let exponent = (largest.to_bits() >> 23) as i32 - 127;
    (exponent - TOP_EXPONENT).clamp(EXPONENT_MIN, EXPONENT_MAX)
}

/// `2^exponent` for exponents of normal f32 numbers.
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        })
    }
}

impl FromStr for Codec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            other => Err(format!("unknown codec {other:?}; use f16 or f32")),
        }
    }
}
