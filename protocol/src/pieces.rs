//! A flat vector cut into pieces that fit a processor's first cache. Deltas are examined and merged
//! piece by piece, straight from the bytes that came: no decoded copy of a delta exists.

use std::ops::Range;

use crate::codec::{Codec, CodecError, decode_half, decode_single};
use crate::tensor::{Role, TensorTable};

/// Most values of a piece: 16 KiB of them, beside as many of the master and its momentum.
pub const PIECE_VALUES_MAX: usize = 4096;

/// A part of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where its values stand in the flat vector.
    pub values: Range<usize>,
    /// What they are to training.
    pub role: Role,
    /// Its tensor's place in the table.
    pub tensor: usize,
}

/// All pieces of a model, in the order of the flat vector; each has [`PIECE_VALUES_MAX`] values, but
/// the last of its tensor.
#[must_use]
pub fn pieces(table: &TensorTable) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(table.tensors.len());
    for (number, (tensor, range)) in table.ranges().enumerate() {
        for start in range.clone().step_by(PIECE_VALUES_MAX) {
            let values = start..range.end.min(start + PIECE_VALUES_MAX);
            pieces.push(Piece { values, role: tensor.role, tensor: number });
        }
    }
    pieces
}

/// Where a codec puts the values of each piece in a payload.
#[derive(Debug, Clone)]
pub struct Layout {
    bytes: usize,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
struct Part {
    /// The first byte of the values, and the first behind them.
    start: usize,
    end: usize,
    /// The first byte of the tensor's exponent; none for singles.
    exponent: Option<usize>,
}

impl Layout {
    /// The layout of a codec's payloads for a table.
    #[must_use]
    pub fn new(codec: Codec, table: &TensorTable) -> Self {
        let (mut parts, mut bytes) = (Vec::new(), 0);
        for tensor in &table.tensors {
            let half = codec.is_half(tensor);
            let exponent = half.then_some(bytes);
            let start = bytes + if half { 2 } else { 0 };
            let width = if half { 2 } else { 4 };
            let elements = tensor.elements();
            let firsts = (0..elements).step_by(PIECE_VALUES_MAX);
            parts.extend(firsts.map(|first| {
                let behind = elements.min(first + PIECE_VALUES_MAX);
                Part { start: start + width * first, end: start + width * behind, exponent }
            }));
            bytes += codec.tensor_bytes(tensor);
        }
        Self { bytes, parts }
    }

    /// A payload to be read in pieces.
    ///
    /// # Errors
    /// When its length is not the table's. Its values are not looked at.
    pub fn payload<'a>(&'a self, bytes: &'a [u8]) -> Result<Payload<'a>, CodecError> {
        if bytes.len() != self.bytes {
            return Err(CodecError::Length { expected: self.bytes, got: bytes.len() });
        }
        Ok(Payload { layout: self, bytes })
    }

    /// The beginning of a payload, to be read as far as it goes, and the number of pieces of which all
    /// bytes are there; `known` of them were there before.
    #[must_use]
    pub fn beginning<'a>(&'a self, bytes: &'a [u8], known: usize) -> (Payload<'a>, usize) {
        let more = self.parts[known..].partition_point(|part| part.end <= bytes.len());
        (Payload { layout: self, bytes }, known + more)
    }
}

/// An encoded delta of the right length.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    layout: &'a Layout,
    bytes: &'a [u8],
}

impl Payload<'_> {
    /// The values of the piece of this number: where they lie if they can be read there, otherwise
    /// decoded into `room`, which is as long as the piece. An exponent out of range makes them NaN,
    /// so that they are refused as such.
    ///
    /// # Panics
    /// When the table has no such piece: that is the caller's mistake.
    #[must_use]
    pub fn piece<'a>(&'a self, number: usize, room: &'a mut [f32]) -> &'a [f32] {
        let Part { start, exponent, .. } = self.layout.parts[number];
        let words = &self.bytes[start..];
        if exponent.is_none()
            && cfg!(target_endian = "little")
            && let Ok(values) = bytemuck::try_cast_slice(&words[..4 * room.len()])
        {
            return values;
        }
        self.read(number, room);
        room
    }

    /// Decodes the piece of this number into `values`, as [`Self::piece`].
    pub(crate) fn read(&self, number: usize, values: &mut [f32]) {
        let Part { start, exponent, .. } = self.layout.parts[number];
        if let Some(at) = exponent {
            let exponent = i16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]);
            let words = &self.bytes[start..start + 2 * values.len()];
            if !decode_half(exponent.into(), words, values) {
                values.fill(f32::NAN);
            }
        } else {
            decode_single(&self.bytes[start..start + 4 * values.len()], values);
        }
    }
}
