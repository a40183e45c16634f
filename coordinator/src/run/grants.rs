//! Which uploads may run: a bounded number, so that memory does not grow with the number of workers.

use std::collections::{HashMap, VecDeque};

use engine::WorkerKey;
use protocol::LeaseId;

/// Uploads that may be under way together, in encoded models: so memory does not grow with the
/// number of workers.
const GRANTED_MODELS_MAX: usize = 3;

/// Small models may have more uploads under way than [`GRANTED_MODELS_MAX`], up to these bytes.
const GRANTED_BYTES_MIN: usize = 64 << 20;

/// Uploads under way and those that wait. Every upload counts as one model.
pub(super) struct Grants {
    limit: usize,
    out: HashMap<LeaseId, WorkerKey>,
    waiting: VecDeque<(WorkerKey, LeaseId)>,
}

impl Grants {
    /// Grants for deltas of `model_bytes` encoded bytes.
    pub(super) fn new(model_bytes: u64) -> Self {
        let by_bytes =
            GRANTED_BYTES_MIN / usize::try_from(model_bytes.max(1)).unwrap_or(usize::MAX);
        Self {
            limit: GRANTED_MODELS_MAX.max(by_bytes),
            out: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// An offer waits for its grant; a second one for the same lease changes nothing.
    pub(super) fn offer(&mut self, worker: WorkerKey, lease: LeaseId) {
        if !self.out.contains_key(&lease) && !self.waiting.contains(&(worker, lease)) {
            self.waiting.push_back((worker, lease));
        }
    }

    /// The next upload that may start, if any.
    pub(super) fn start(&mut self) -> Option<(WorkerKey, LeaseId)> {
        if self.out.len() >= self.limit {
            return None;
        }
        let (worker, lease) = self.waiting.pop_front()?;
        self.out.insert(lease, worker);
        Some((worker, lease))
    }

    /// Whether an upload has a place, and is this worker's.
    pub(super) fn is_of(&self, worker: WorkerKey, lease: LeaseId) -> bool {
        self.out.get(&lease) == Some(&worker)
    }

    /// Forgets a worker's uploads, but those that have arrived.
    pub(super) fn forget(&mut self, worker: WorkerKey, arrived: impl Fn(&LeaseId) -> bool) {
        self.waiting.retain(|(waiting, _)| *waiting != worker);
        self.out.retain(|lease, of| *of != worker || arrived(lease));
    }

    /// The upload was taken in or refused; says whether it had a place.
    pub(super) fn release(&mut self, lease: LeaseId) -> bool {
        self.out.remove(&lease).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let lease = |number| LeaseId { incarnation: 1, number };
        let worker = WorkerKey(1);
        let mut grants = Grants::new(GRANTED_BYTES_MIN as u64);
        for number in 0..GRANTED_MODELS_MAX as u64 + 2 {
            grants.offer(worker, lease(number));
            grants.offer(worker, lease(number));
        }
        let started = std::iter::from_fn(|| grants.start()).count();
        assert_eq!(started, GRANTED_MODELS_MAX, "a repeated offer takes no second place");
        assert!(grants.release(lease(0)));
        assert!(!grants.release(lease(0)));
        assert_eq!(grants.start(), Some((worker, lease(GRANTED_MODELS_MAX as u64))));
        grants.forget(worker, |known| *known == lease(1));
        assert_eq!(grants.start(), None);
        assert!(grants.is_of(worker, lease(1)), "it has arrived");
        assert!(!grants.is_of(worker, lease(2)));
    }
}
