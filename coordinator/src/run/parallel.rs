//! Merging on several cores: a large model is cut into parts that do not touch.

use std::sync::LazyLock;
use std::thread;

use engine::merge::{Delta, Master, MergeOrder, Part};

/// Values that are worth a thread of their own: it starts in the time in which some ten thousand
/// values are merged.
const VALUES_PER_THREAD: usize = 500_000;

/// How many there are. Asked once: the system opens several files to answer.
pub static CORES: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// How many threads share the work on so many values.
#[must_use]
pub fn threads_for(values: usize) -> usize {
    (values / VALUES_PER_THREAD).clamp(1, *CORES)
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
