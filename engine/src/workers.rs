//! What the engine knows of each connected worker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::{LeaseId, Outcome, Reason};

use crate::speed::Speed;
use crate::time::Timestamp;

/// Leases that a worker may hold: one uploading, one in training, one prefetched. Expired ones
/// count until they are delivered or given back, so a worker that never delivers hoards no units.
pub(crate) const LEASES_MAX: usize = 3;
/// Outcomes kept per worker, to answer repeated pushes and pulls whose acknowledgement is on its way.
const OUTCOMES_KEPT: usize = 8;

/// One connected worker.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    /// Requests not answered yet.
    pub(crate) wanted: usize,
    /// It stands in the queue of those who wait.
    pub(crate) queued: bool,
    /// Leases given and neither delivered nor given back, oldest first; expired ones too.
    pub(crate) held: Vec<LeaseId>,
    /// Leases that are out or received: what the merge rules call in flight.
    pub(crate) live: usize,
    /// Shards that it had in leases of this run.
    pub(crate) shards: BTreeSet<u32>,
    /// Its speed.
    pub(crate) speed: Speed,
    /// When its last lease ended: training of the next cannot have begun before.
    pub(crate) freed: Timestamp,
    /// Its deltas in the master (dispatched).
    pub(crate) merges: u64,
    /// A lease of it expired and nothing was heard from it since.
    pub(crate) silent: bool,
    /// What became of its last deltas.
    outcomes: VecDeque<(LeaseId, Outcome)>,
    /// For display.
    pub(crate) tally: Tally,
}

/// Counts of one worker, for display.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Samples of its merged deltas.
    pub(crate) samples: u64,
    /// Sum of their staleness.
    pub(crate) staleness: u64,
    /// Its refused deltas.
    pub(crate) rejected: BTreeMap<Reason, u64>,
}

impl Worker {
    /// A worker that has just joined.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { freed: now, ..Self::default() }
    }

    /// Remembers what became of a delta.
    pub(crate) fn remember(&mut self, lease: LeaseId, outcome: Outcome) {
        if self.outcomes.len() == OUTCOMES_KEPT {
            self.outcomes.pop_front();
        }
        self.outcomes.push_back((lease, outcome));
    }

    /// What became of a delta, if it was not long ago.
    pub(crate) fn outcome(&self, lease: LeaseId) -> Option<Outcome> {
        self.outcomes.iter().rev().find(|(known, _)| *known == lease).map(|(_, outcome)| *outcome)
    }
}
