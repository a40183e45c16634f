//! Merging and examining on several cores: a large model is cut into parts that do not touch.

use std::thread;

use engine::merge::{Delta, Master, MergeOrder, Part, square_and_finite};
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

/// Does the work on all parts at once, on the last one in this thread.
pub fn at_once<T: Send>(mut parts: Vec<T>, work: impl Fn(T) + Sync) {
    let (last, work) = (parts.pop(), &work);
    thread::scope(|scope| {
        for part in parts {
            scope.spawn(move || work(part));
        }
        last.into_iter().for_each(work);
    });
}

/// Carries out an order, as [`Master::apply_in_parts`].
pub fn merge<D: Delta + ?Sized>(master: &mut Master, order: &MergeOrder, delta: &D) {
    let count = threads_for(master.values().len());
    master.apply_in_parts(order, delta, count, |parts| at_once(parts, Part::run));
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
    at_once(squares.chunks_mut(per_thread).enumerate().collect(), |(part, squares)| {
        for (run, square) in (part * per_thread..).zip(squares) {
            let range = run * RUN..pieces.len().min((run + 1) * RUN);
            *square = square_and_finite(delta, &pieces[range.clone()], range.start);
        }
    });
    let square: f64 = squares.iter().map(|(square, _)| square).sum();
    let finite = squares.iter().all(|(_, finite)| *finite);
    (square.sqrt(), finite && square.is_finite())
}
