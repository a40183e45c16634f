//! What may be shown of a run: plain data, computed when asked for.

use std::collections::BTreeMap;

use protocol::{LeaseId, Reason, Version};
use serde::{Deserialize, Serialize};

use crate::leases::State;
use crate::machine::Engine;
use crate::time::WorkerKey;
use crate::workers::Worker;

/// What was counted in one epoch, or since the start of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochSummary {
    /// Samples merged.
    pub samples: u64,
    /// Units merged.
    pub units: u64,
    /// Leases handed out.
    pub leases: u64,
    /// Leases handed out as second copies of outstanding units.
    pub backup: u64,
    /// Leases whose deadline passed.
    pub expired: u64,
    /// Leases given back, or lost with their worker.
    pub released: u64,
    /// Leases that another one of the same unit has made needless.
    pub duplicate: u64,
    /// Leases merged after their deadline.
    pub late: u64,
    /// Samples that had to be leased again, or were leased twice at a time.
    pub re_leased: u64,
    /// Refused deltas, duplicates apart, by reason.
    #[serde(with = "by_name")]
    pub rejected: BTreeMap<Reason, u64>,
    /// Samples never merged, by the reason of the last refusal.
    #[serde(with = "by_name")]
    pub dropped: BTreeMap<Reason, u64>,
}

impl EpochSummary {
    /// Samples that were given up after too many refusals.
    #[must_use]
    pub fn dropped_samples(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Adds another's counts.
    pub(crate) fn add(&mut self, other: &Self) {
        self.samples += other.samples;
        self.units += other.units;
        self.leases += other.leases;
        self.backup += other.backup;
        self.expired += other.expired;
        self.released += other.released;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.re_leased += other.re_leased;
        for (own, others) in
            [(&mut self.rejected, &other.rejected), (&mut self.dropped, &other.dropped)]
        {
            for (reason, count) in others {
                *own.entry(*reason).or_default() += count;
            }
        }
    }
}

/// One connected worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerStatus {
    /// Its session.
    pub worker: WorkerKey,
    /// Its deltas in the master.
    pub merged_leases: u64,
    /// Their samples.
    pub merged_samples: u64,
    /// Mean number of merges by others between its pulls and its merges.
    pub staleness: f64,
    /// Its speed as the engine measures it; none before its first progress.
    pub samples_per_second: Option<f64>,
    /// Its refused deltas.
    pub rejected: BTreeMap<Reason, u64>,
    /// Leases that it holds, expired ones included.
    pub leases_out: u32,
}

/// Units that are neither merged nor dropped. Rows that are in no unit yet are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitCounts {
    /// Nobody is expected to deliver them.
    pub open: u64,
    /// With a worker.
    pub leased: u64,
    /// A delta is here, and not merged yet.
    pub arrived: u64,
}

/// A run as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The oldest epoch that is not complete, from 0; `epochs` when all are.
    pub epoch: u32,
    /// Epochs of the run.
    pub epochs: u32,
    /// Samples merged.
    pub merged_samples: u64,
    /// Samples of all epochs.
    pub total_samples: u64,
    /// The master's version, merges under way included.
    pub version: Version,
    /// Merges since the start of the run, those of earlier starts of the coordinator included.
    pub merges: u64,
    /// Leases in flight as the merge rules count them, at least 1.
    pub in_flight: f64,
    /// The learning rate that the next lease gets.
    pub learning_rate: f64,
    /// The learning rate before the schedule.
    pub base_rate: f64,
    /// Whether no leases are given.
    pub paused: bool,
    /// Whether the run is over.
    pub finished: bool,
    /// What is under way.
    pub units: UnitCounts,
    /// Counts of the whole run.
    pub totals: EpochSummary,
    /// Counts of the epochs that are open, oldest first.
    pub open: Vec<(u32, EpochSummary)>,
    /// The connected workers.
    pub workers: Vec<WorkerStatus>,
}

impl Engine {
    /// The run as it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut totals = self.totals.clone();
        self.units.epochs.iter().for_each(|epoch| totals.add(&epoch.summary));
        let complete = self.units.begun - self.units.epochs.len() as u32;
        Status {
            epoch: self.units.epochs.front().map_or(complete, |epoch| epoch.index),
            epochs: self.config.epochs,
            merged_samples: self.merged_samples,
            total_samples: self.config.total_samples(),
            version: self.version_now(),
            merges: self.merges_before + self.version,
            in_flight: self.in_flight(),
            learning_rate: self.learning_rate(),
            base_rate: self.base_rate,
            paused: self.paused,
            finished: self.finished,
            units: self.unit_counts(),
            totals,
            open: self
                .units
                .epochs
                .iter()
                .map(|epoch| (epoch.index, epoch.summary.clone()))
                .collect(),
            workers: self.workers.iter().map(|(key, worker)| worker_status(*key, worker)).collect(),
        }
    }

    fn unit_counts(&self) -> UnitCounts {
        let mut counts = UnitCounts::default();
        let is_here = |lease: &LeaseId| {
            let state = self.leases.get(*lease).map(|attempt| attempt.state);
            matches!(state, Some(State::Received | State::Merging(_)))
        };
        for (number, unit) in self.units.iter() {
            if unit.leases.iter().any(is_here) {
                counts.arrived += 1;
            } else if self.units.open.contains(&number) {
                counts.open += 1;
            } else {
                counts.leased += 1;
            }
        }
        counts
    }
}

fn worker_status(key: WorkerKey, worker: &Worker) -> WorkerStatus {
    WorkerStatus {
        worker: key,
        merged_leases: worker.merges,
        merged_samples: worker.tally.samples,
        staleness: worker.tally.staleness as f64 / worker.merges.max(1) as f64,
        samples_per_second: worker.speed.samples_per_second(),
        rejected: worker.tally.rejected.clone(),
        leases_out: worker.held.len() as u32,
    }
}

/// Counts by a reason's name, as in tables.
mod by_name {
    use std::collections::BTreeMap;

    use protocol::Reason;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        counts: &BTreeMap<Reason, u64>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_map(counts.iter().map(|(reason, count)| (reason.name(), count)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Reason, u64>, D::Error> {
        let counts = BTreeMap::<String, u64>::deserialize(from)?;
        let named = counts.into_iter().map(|(name, count)| {
            let reason = Reason::from_name(&name);
            reason.map(|reason| (reason, count)).ok_or_else(|| {
                D::Error::custom(format!("`{name}` is no reason why a delta is refused"))
            })
        });
        named.collect()
    }
}
