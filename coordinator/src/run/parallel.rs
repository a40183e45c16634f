//! Merging and examining on several cores: a large model is cut into parts that do not touch.

use std::thread;

use engine::merge::{Delta, Master, MergeOrder, square_and_finite};
use protocol::pieces::Piece;

/// Values that are worth a thread of their own: it starts in the time in which some ten thousand
/// values are merged.
const VALUES_PER_THREAD: usize = 500_000;

/// How many threads share the work on so many values.
#[must_use]
pub fn threads_for(values: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    (values / VALUES_PER_THREAD).clamp(1, cores)
}

/// Carries out an order, as [`Master::apply_in_parts`].
pub fn merge<D: Delta + ?Sized>(master: &mut Master, order: &MergeOrder, delta: &D) {
    let count = threads_for(master.values().len());
    master.apply_in_parts(order, delta, count, |mut parts| {
        let last = parts.pop();
        thread::scope(|scope| {
            for part in parts {
                scope.spawn(|| part.run());
            }
            if let Some(part) = last {
                part.run();
            }
        });
    });
}

/// The L2 norm of a delta's parameters, and whether all of it is finite and no variance below zero.
/// The same to the last bit on any number of cores.
#[must_use]
pub fn norm_and_finite<D: Delta + ?Sized>(delta: &D, pieces: &[Piece]) -> (f64, bool) {
    /// Pieces whose squares are summed on their own, so that the sum does not depend on the parts.
    const RUN: usize = 64;
    let values = pieces.last().map_or(0, |piece| piece.values.end);
    let runs = pieces.len().div_ceil(RUN);
    let mut squares = vec![(0.0, true); runs];
    let per_thread = runs.div_ceil(threads_for(values)).max(1);
    let examine = |first: usize, squares: &mut [(f64, bool)]| {
        for (run, square) in (first..).zip(squares) {
            let range = run * RUN..pieces.len().min((run + 1) * RUN);
            *square = square_and_finite(delta, &pieces[range.clone()], range.start);
        }
    };
    thread::scope(|scope| {
        let mut parts: Vec<_> = squares.chunks_mut(per_thread).enumerate().collect();
        let last = parts.pop();
        for (part, squares) in parts {
            scope.spawn(move || examine(part * per_thread, squares));
        }
        if let Some((part, squares)) = last {
            examine(part * per_thread, squares);
        }
    });
    let square: f64 = squares.iter().map(|(square, _)| square).sum();
    let finite = squares.iter().all(|(_, finite)| *finite);
    (square.sqrt(), finite && square.is_finite())
}
