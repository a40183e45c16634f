//! Hogwild mode: threads that merge several deltas at once, with no lock on the master.
//!
//! The data plane goes on to order one thing after the other. What it orders is done in any order,
//! but for two: a copy waits for the merges that it is said to contain, and what is to be of one
//! version, for evaluation or a checkpoint, waits for all.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use engine::merge::{Master, MergeOrder, Shared};
use protocol::LeaseId;
use tokio::sync::mpsc;

use super::board::Board;
use super::examining::Examiner;
use super::{Alarm, ControlEvent, parallel};

/// Threads that merge: more would only wait for the memory.
const THREADS_MAX: usize = 8;

/// The threads and the master that they share.
#[derive(Debug)]
pub(super) struct Crew {
    shared: Arc<Shared>,
    jobs: Sender<Job>,
    threads: Vec<thread::JoinHandle<()>>,
    merges: Arc<Merges>,
}

#[derive(Debug)]
struct Job {
    lease: LeaseId,
    order: MergeOrder,
    payload: Bytes,
}

/// Merges that were ordered and are not done.
#[derive(Debug, Default)]
struct Merges {
    open: Mutex<Open>,
    fewer: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    by_version: BTreeMap<u64, LeaseId>,
    /// The version that was ordered last.
    ordered: u64,
    /// A thread is gone: nothing is worth waiting for.
    failed: bool,
}

impl Crew {
    /// Starts the threads. `with_momentum` says whether the run's merge rule has one.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(
        master: Master,
        with_momentum: bool,
        examiner: &Arc<Examiner>,
        events: &mpsc::Sender<ControlEvent>,
        board: &Arc<Board>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let shared = Arc::new(Shared::new(master, with_momentum));
        let merges = Arc::new(Merges::default());
        let hand = Hand {
            queue,
            shared: shared.clone(),
            examiner: examiner.clone(),
            merges: merges.clone(),
            events: events.clone(),
            board: board.clone(),
        };
        let threads = (0..(*parallel::CORES).clamp(2, THREADS_MAX)).map(|number| {
            let hand = hand.clone();
            let name = format!("herd-merge-{number}");
            thread::Builder::new().name(name).spawn(move || hand.run())
        });
        Ok(Self { shared, jobs, threads: threads.collect::<Result<_, _>>()?, merges })
    }

    /// Has a delta merged.
    pub(super) fn merge(&self, lease: LeaseId, order: MergeOrder, payload: Bytes) {
        if let Some(version) = order.version() {
            self.merges.ordered(version.number, lease);
            // The threads end only with the crew, or with the run when one of them fails.
            let _ = self.jobs.send(Job { lease, order, payload });
        }
    }

    /// A copy of the values as soon as these deltas are in it. Those that are given with it may be in
    /// it in part.
    pub(super) fn values_with(&self, contained: &[LeaseId]) -> (Vec<f32>, Vec<LeaseId>) {
        let has = |lease: &LeaseId| contained.contains(lease);
        let open = self.merges.wait(|open| !open.by_version.values().any(has));
        (self.shared.values(), open)
    }

    /// Copies of values and momentum when all is merged that was ordered.
    pub(super) fn quiet(&self) -> (Vec<f32>, Vec<f32>) {
        self.merges.wait(|open| open.by_version.is_empty());
        (self.shared.values(), self.shared.momentum())
    }

    /// The values in the end, when all is merged.
    pub(super) fn into_values(self) -> Vec<f32> {
        drop(self.jobs);
        for thread in self.threads {
            // One that failed has said so.
            let _ = thread.join();
        }
        let shared = Arc::into_inner(self.shared);
        shared.expect("invariant: no thread is left to share it").into_values()
    }
}

impl Merges {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ordered(&self, version: u64, lease: LeaseId) {
        let mut open = self.open();
        open.by_version.insert(version, lease);
        open.ordered = version;
    }

    /// Waits until few enough are open; which these are.
    fn wait(&self, enough: impl Fn(&Open) -> bool) -> Vec<LeaseId> {
        let waits = |open: &mut Open| !open.failed && !enough(open);
        let open = self.fewer.wait_while(self.open(), waits);
        open.unwrap_or_else(PoisonError::into_inner).by_version.values().copied().collect()
    }

    /// Whether a merge that is done was the oldest: then all up to the version given here are.
    fn done(&self, version: u64) -> Option<u64> {
        let mut open = self.open();
        let oldest = open.by_version.keys().next() == Some(&version);
        open.by_version.remove(&version);
        let next = open.by_version.keys().next();
        // Later ones may have been done before it.
        let up_to = next.map_or(open.ordered, |next| next - 1);
        drop(open);
        self.fewer.notify_all();
        oldest.then_some(up_to)
    }
}

/// What each thread has.
#[derive(Clone)]
struct Hand {
    queue: Arc<Mutex<Receiver<Job>>>,
    shared: Arc<Shared>,
    examiner: Arc<Examiner>,
    merges: Arc<Merges>,
    events: mpsc::Sender<ControlEvent>,
    board: Arc<Board>,
}

impl Hand {
    fn run(self) {
        let _alarm = Alarm(self.events.clone());
        let _failure = Failure(self.merges.clone());
        // The lock is held while waiting for a job, never while one is done.
        let next = || self.queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        while let Ok(job) = next() {
            let event = self.merge(job.lease, &job.order, &job.payload);
            // Nobody listens when the run was stopped; what was ordered is done all the same.
            let _ = self.events.blocking_send(event);
        }
    }

    fn merge(&self, lease: LeaseId, order: &MergeOrder, payload: &Bytes) -> ControlEvent {
        let delta = self.examiner.layout.payload(payload);
        let began = Instant::now();
        self.shared.apply(order, &delta.expect("invariant: it was examined before"));
        self.board.merged(began.elapsed());
        let version = order.version().and_then(|version| {
            let number = self.merges.done(version.number)?;
            Some(protocol::Version { number, ..version })
        });
        ControlEvent::Merged { lease: Some(lease), version }
    }
}

/// Wakes who waits when a thread panics.
struct Failure(Arc<Merges>);

impl Drop for Failure {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.open().failed = true;
            self.0.fewer.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_in_order_and_none_is_left_out() {
        let merges = Merges::default();
        for version in 1..=4 {
            merges.ordered(version, LeaseId { incarnation: 1, number: version });
        }
        assert_eq!(merges.done(2), None, "1 is not done");
        assert_eq!(merges.done(1), Some(2));
        assert_eq!(merges.done(4), None);
        assert_eq!(merges.done(3), Some(4), "those that were done before it are told with it");
        assert!(merges.wait(|open| open.by_version.is_empty()).is_empty());
    }
}
