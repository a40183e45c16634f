//! What both halves of a session know of its transfers: pulls without an answer, and uploads that
//! were granted. Both hold memory of the coordinator's, so neither may last for ever.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use protocol::LeaseId;
use protocol::limits::{CHUNK_BYTES_MAX, PULLS_MAX, UPLOAD_TIMEOUT};

/// Shared by the reader and the writer of a session.
#[derive(Debug, Clone, Default)]
pub(super) struct Transfers(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    /// Answers that are due: each may hold a version of the parameters.
    pulls: Vec<LeaseId>,
    /// Uploads that were granted and have not begun.
    granted: HashSet<LeaseId>,
    uploading: bool,
    /// When uploads last made headway.
    moved: Option<Instant>,
    /// Bytes that came since then.
    came: usize,
}

impl Transfers {
    /// A pull came. False when it is one too many.
    #[must_use]
    pub(super) fn pulled(&self, lease: LeaseId) -> bool {
        let mut open = self.open();
        open.pulls.push(lease);
        open.pulls.len() <= PULLS_MAX
    }

    /// A pull was answered with parameters.
    pub(super) fn answered(&self, lease: LeaseId) {
        let mut open = self.open();
        if let Some(pull) = open.pulls.iter().position(|pulled| *pulled == lease) {
            open.pulls.swap_remove(pull);
        }
    }

    /// The lease is over: nothing of it is due any more.
    pub(super) fn ended(&self, lease: LeaseId) {
        let mut open = self.open();
        open.pulls.retain(|pulled| *pulled != lease);
        open.granted.remove(&lease);
    }

    /// An upload is being granted.
    pub(super) fn granted(&self, lease: LeaseId) {
        let mut open = self.open();
        if open.granted.is_empty() && !open.uploading {
            (open.moved, open.came) = (Some(Instant::now()), 0);
        }
        open.granted.insert(lease);
    }

    /// An upload begins. False when it was not granted.
    #[must_use]
    pub(super) fn begin(&self, lease: LeaseId) -> bool {
        self.open().granted.remove(&lease)
    }

    /// A piece of an upload came, perhaps the last.
    pub(super) fn came(&self, bytes: usize, complete: bool) {
        let mut open = self.open();
        open.uploading = !complete;
        open.came += bytes;
        if complete || open.came >= CHUNK_BYTES_MAX {
            (open.moved, open.came) = (Some(Instant::now()), 0);
        }
    }

    /// Whether an upload was granted and makes no headway. Others wait for its place.
    pub(super) fn are_overdue(&self) -> bool {
        let open = self.open();
        let due = open.uploading || !open.granted.is_empty();
        due && open.moved.is_some_and(|moved| moved.elapsed() > UPLOAD_TIMEOUT)
    }

    /// The lock is held for single operations, which cannot fail half-way.
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(number: u64) -> LeaseId {
        LeaseId { incarnation: 1, number }
    }

    #[test]
    fn pulls_are_bounded_by_what_is_unanswered() {
        let transfers = Transfers::default();
        assert!((0..PULLS_MAX as u64).all(|number| transfers.pulled(lease(number / 2))));
        transfers.answered(lease(0));
        assert!(transfers.pulled(lease(0)), "one was answered, one may follow");
        assert!(!transfers.pulled(lease(9)));
        transfers.ended(lease(1));
        transfers.ended(lease(9));
        assert!(transfers.pulled(lease(9)));
    }

    #[test]
    fn uploads_begin_once_and_are_overdue_only_when_granted() {
        let transfers = Transfers::default();
        assert!(!transfers.begin(lease(1)), "not granted");
        let past = Instant::now().checked_sub(2 * UPLOAD_TIMEOUT).unwrap();
        let age = || transfers.open().moved = Some(past);
        transfers.granted(lease(1));
        assert!(!transfers.are_overdue());
        age();
        assert!(transfers.are_overdue(), "granted, and nothing came");
        assert!(transfers.begin(lease(1)));
        transfers.came(1, false);
        assert!(transfers.are_overdue(), "a byte is no headway");
        transfers.came(CHUNK_BYTES_MAX, false);
        assert!(!transfers.are_overdue());
        age();
        transfers.came(1, true);
        age();
        assert!(!transfers.are_overdue(), "nothing is due");
        transfers.granted(lease(2));
        assert!(!transfers.are_overdue(), "its time starts with the grant");
        assert!(!transfers.begin(lease(1)), "once");
    }
}
