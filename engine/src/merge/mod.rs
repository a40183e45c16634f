//! How deltas become master: pure code over `f32`, for the merge threads and simulations alike.
//!
//! - [`MergeOrder`]: what the engine orders; `rules`: what that does to a single value
//! - [`Master`]: the authoritative tensors, which one thread changes at a time, in parts if it likes
//! - [`Shared`]: the same for hogwild, where threads change it at once and without a lock
//! - [`Delta`]: where a delta's values come from; [`Examination`]: what it is examined for
//!
//! Every order divides the flat vector by role. Trained parameters get the rule; buffers travel as
//! absolute values and are averaged by sample count, never through momentum.

mod examine;
mod master;
mod order;
mod rules;
mod shared;

use protocol::pieces::{Payload, Piece};

pub use examine::{Examination, norm_and_finite};
pub use master::{LengthError, Master, Part};
pub use order::{MergeOrder, RoundRule};
pub use shared::Shared;

/// Where the values of a delta come from, a piece at a time.
pub trait Delta: Sync {
    /// The values of a piece, either where they lie or in `room`, which is as long as the piece or
    /// longer. `number` is the piece's among those of the shape table.
    fn piece<'a>(&'a self, number: usize, piece: &Piece, room: &'a mut [f32]) -> &'a [f32];
}

impl Delta for [f32] {
    fn piece<'a>(&'a self, _: usize, piece: &Piece, _: &'a mut [f32]) -> &'a [f32] {
        &self[piece.values.clone()]
    }
}

impl Delta for Payload<'_> {
    fn piece<'a>(&'a self, number: usize, piece: &Piece, room: &'a mut [f32]) -> &'a [f32] {
        Payload::piece(self, number, &mut room[..piece.values.len()])
    }
}
