//! What is to be known of a delta before it is merged: whether it is finite, and how large.

use protocol::pieces::{PIECE_VALUES_MAX, Piece, pieces};
use protocol::{Role, TensorTable};

use super::Delta;

/// The L2 norm of a delta's trained parameters, and whether all its values are finite and no
/// variance is below zero. `delta` is as long as the table.
#[must_use]
pub fn norm_and_finite(delta: &[f32], table: &TensorTable) -> (f64, bool) {
    let (square, finite) = square_and_finite(delta, &pieces(table), 0);
    (square.sqrt(), finite && square.is_finite())
}

/// The square of [`norm_and_finite`], of some pieces in a row; `first` is the number of the first.
/// The squares of all pieces are to be added: they are not finite if a parameter is not.
#[must_use]
pub fn square_and_finite<D: Delta + ?Sized>(
    delta: &D,
    pieces: &[Piece],
    first: usize,
) -> (f64, bool) {
    let mut room = [0.0; PIECE_VALUES_MAX];
    let (mut square, mut finite) = (0.0, true);
    for (number, piece) in (first..).zip(pieces) {
        let values = delta.piece(number, piece, &mut room);
        if piece.role == Role::Parameter {
            square += values.chunks(BLOCK).map(square_of_block).sum::<f64>();
        } else {
            let floor = if piece.role == Role::BufferNonNegative { 0.0 } else { f32::MIN };
            finite &= values.iter().all(|value| value.is_finite() && *value >= floor);
        }
    }
    (square, finite)
}

/// Values summed in `f32` before the sum goes on in `f64`: few enough to lose no precision.
const BLOCK: usize = 1024;
/// Independent sums, so that the loop needs no order and becomes vector instructions.
const LANES: usize = 16;

fn square_of_block(block: &[f32]) -> f64 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = block.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|value| value * value).sum();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value * value;
        }
    }
    let sum = lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + f64::from(rest);
    if sum.is_finite() {
        return sum;
    }
    // Squares of large but finite values overflow `f32`; those of NaN and infinity stay so in `f64`.
    block.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}
