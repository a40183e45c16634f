//! What is to be known of a delta before it is merged: whether it is finite, and how large.

use protocol::pieces::{PIECE_VALUES_MAX, Piece, pieces};
use protocol::vectors::with_vectors;
use protocol::{Role, TensorTable};

use super::Delta;

/// The L2 norm of a delta's trained parameters, and whether all its values are finite and no
/// variance is below zero. `delta` is as long as the table.
#[must_use]
pub fn norm_and_finite(delta: &[f32], table: &TensorTable) -> (f64, bool) {
    let mut examination = Examination::default();
    examination.go_on(delta, &pieces(table));
    examination.norm_and_finite()
}

/// A delta that is examined as it comes. The result is the same however it comes.
#[derive(Debug, Clone, Copy)]
pub struct Examination {
    pieces: usize,
    square: f64,
    finite: bool,
}

impl Default for Examination {
    fn default() -> Self {
        Self { pieces: 0, square: 0.0, finite: true }
    }
}

impl Examination {
    /// How many pieces were examined.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.pieces
    }

    /// Examines the next pieces of a delta.
    pub fn go_on<D: Delta + ?Sized>(&mut self, delta: &D, pieces: &[Piece]) {
        with_vectors(
            #[inline(always)]
            || self.examine(delta, pieces),
        );
    }

    #[inline(always)]
    fn examine<D: Delta + ?Sized>(&mut self, delta: &D, pieces: &[Piece]) {
        let mut room = [0.0; PIECE_VALUES_MAX];
        for piece in pieces {
            let values = delta.piece(self.pieces, piece, &mut room);
            if piece.role == Role::Parameter {
                // A plain loop: an iterator's sum may be a function of its own, without wide vectors.
                let mut square = 0.0;
                for block in values.chunks(BLOCK) {
                    square += square_of_block(block);
                }
                self.square += square;
            } else {
                let floor = if piece.role == Role::BufferNonNegative { 0.0 } else { f32::MIN };
                self.finite &= values.iter().all(|value| value.is_finite() && *value >= floor);
            }
            self.pieces += 1;
        }
    }

    /// The result of what was examined: as [`norm_and_finite`] when that is all of a delta. The square
    /// is not finite if a parameter is not.
    #[must_use]
    pub fn norm_and_finite(&self) -> (f64, bool) {
        (self.square.sqrt(), self.finite && self.square.is_finite())
    }
}

/// Values summed in `f32` before the sum goes on in `f64`: few enough to lose no precision.
const BLOCK: usize = 1024;
/// Independent sums, so that the loop needs no order and becomes vector instructions.
const LANES: usize = 16;

#[inline(always)]
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
