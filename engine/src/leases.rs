//! Attempts at units: their states and their deadlines.
//!
//! A lease goes out -> received -> screened -> merging -> merged | rejected | expired. Screened has
//! no state of its own: the engine decides in the moment in which it learns of it. What is merged
//! or rejected is no attempt any more; only its outcome is kept.

use std::collections::{BTreeMap, BTreeSet};

use protocol::LeaseId;

use crate::time::{Timestamp, WorkerKey};

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// With the worker.
    Out,
    /// With the worker, over its deadline: its unit is open, and its delta still welcome.
    Expired,
    /// The delta is here and waits for its screening.
    Received,
    /// Ordered into the master; the version is known once dispatched, in rounds at the end.
    Merging(Option<u64>),
}

/// One attempt at a unit by one worker.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) worker: WorkerKey,
    pub(crate) unit: u64,
    pub(crate) epoch: u32,
    pub(crate) samples: u64,
    pub(crate) steps: u64,
    pub(crate) state: State,
    /// The round that it belongs to; 0 in asynchronous mode.
    pub(crate) round: u64,
    /// Version of its parameters; until it is pulled, of the master when it was issued.
    pub(crate) base: u64,
    /// Merges of the same worker in that version.
    pub(crate) merges_at_base: u64,
    pub(crate) issued: Timestamp,
    /// When its parameters were sent.
    pub(crate) pulled: Option<Timestamp>,
    /// Screening's median at that time.
    pub(crate) usual_norm: Option<f64>,
    pub(crate) steps_done: u64,
    /// Its deadline has passed once.
    pub(crate) late: bool,
    /// None while its clock does not run: it is prefetched, or its delta is here.
    deadline: Option<Timestamp>,
    /// A pull that waits for its round, with the worker's pending leases.
    pub(crate) waiting: Option<Vec<LeaseId>>,
}

impl Attempt {
    /// An attempt that has just been issued.
    pub(crate) fn new(worker: WorkerKey, unit: u64, issued: Timestamp) -> Self {
        Self {
            worker,
            unit,
            epoch: 0,
            samples: 0,
            steps: 0,
            state: State::Out,
            round: 0,
            base: 0,
            merges_at_base: 0,
            issued,
            pulled: None,
            usual_norm: None,
            steps_done: 0,
            late: false,
            deadline: None,
            waiting: None,
        }
    }

    /// When it is given up, if its clock runs.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Nothing is decided of it yet.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Out | State::Expired | State::Received)
    }

    /// Whether its clock runs.
    pub(crate) fn ticking(&self) -> bool {
        self.deadline.is_some()
    }
}

/// All attempts, and their deadlines in order.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    attempts: BTreeMap<LeaseId, Attempt>,
    alarms: BTreeSet<(Timestamp, LeaseId)>,
}

impl Leases {
    pub(crate) fn insert(&mut self, id: LeaseId, attempt: Attempt) {
        self.attempts.insert(id, attempt);
    }

    /// All of them, in the order of issue.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LeaseId, &Attempt)> {
        self.attempts.iter().map(|(id, attempt)| (*id, attempt))
    }

    pub(crate) fn get(&self, id: LeaseId) -> Option<&Attempt> {
        self.attempts.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: LeaseId) -> Option<&mut Attempt> {
        self.attempts.get_mut(&id)
    }

    /// The attempt, if it is this worker's.
    pub(crate) fn of(&self, worker: WorkerKey, id: LeaseId) -> Option<&Attempt> {
        self.get(id).filter(|attempt| attempt.worker == worker)
    }

    pub(crate) fn is(&self, id: LeaseId, state: State) -> bool {
        self.get(id).is_some_and(|attempt| attempt.state == state)
    }

    pub(crate) fn remove(&mut self, id: LeaseId) -> Option<Attempt> {
        self.set_deadline(id, None);
        self.attempts.remove(&id)
    }

    pub(crate) fn set_deadline(&mut self, id: LeaseId, deadline: Option<Timestamp>) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        if let Some(old) = attempt.deadline {
            self.alarms.remove(&(old, id));
        }
        attempt.deadline = deadline;
        if let Some(new) = deadline {
            self.alarms.insert((new, id));
        }
    }

    /// Moves a running deadline to a later time; never to an earlier one.
    pub(crate) fn extend(&mut self, id: LeaseId, deadline: Timestamp) {
        if self.get(id).and_then(|attempt| attempt.deadline).is_some_and(|old| old < deadline) {
            self.set_deadline(id, Some(deadline));
        }
    }

    /// The next deadline.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(deadline, _)| *deadline)
    }

    /// A lease whose deadline has passed.
    pub(crate) fn overdue(&self, now: Timestamp) -> Option<LeaseId> {
        self.alarms.first().filter(|(deadline, _)| *deadline <= now).map(|(_, id)| *id)
    }
}
