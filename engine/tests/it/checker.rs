//! What must hold of the actions of any run: a plain model beside the engine.

use std::collections::BTreeMap;

use engine::{
    Action, Config, End, EpochSummary, Frequency, MergeOrder, Mode, Schedule, Strategy, WorkerKey,
};
use protocol::{Lease, LeaseId, Outcome, Reason, RunId, order};

/// A small run: three shards of 10 rows, batches of 4.
pub(crate) fn config() -> Config {
    Config {
        run: RunId(1),
        incarnation: 3,
        mode: Mode::Asynchronous,
        frequency: Frequency::Batch,
        strategy: Strategy::Auto,
        shards: vec![10, 10, 10],
        batch_size: 4,
        epochs: 2,
        seed: 7,
        learning_rate: 0.1,
        schedule: Schedule::default(),
        inner_momentum: false,
        workers_min: 1,
        deterministic: false,
    }
}

/// Follows the actions of one engine and panics when one of them breaks a promise.
#[derive(Debug)]
pub(crate) struct Checker {
    config: Config,
    /// How often each row was merged, by epoch and shard.
    merged: Vec<Vec<Vec<u8>>>,
    pub(crate) leases: BTreeMap<LeaseId, (WorkerKey, Lease)>,
    /// The version that each merged lease is in; in rounds from the round's end.
    contained: BTreeMap<LeaseId, u64>,
    accumulated: Vec<LeaseId>,
    /// The version that each lease started from.
    base: BTreeMap<LeaseId, u64>,
    /// Whose delta made each version; nobody's in rounds.
    makers: Vec<Option<WorkerKey>>,
    /// Deltas whose staleness counts merges of their own worker: only where it has left meanwhile.
    pub(crate) own_counted: u64,
    /// Deltas that a round got from an earlier version.
    pub(crate) late: u64,
    acknowledged: BTreeMap<LeaseId, Outcome>,
    /// How leases ended, for the ledger.
    ends: BTreeMap<LeaseId, End>,
    pub(crate) version: u64,
    pub(crate) epochs: Vec<EpochSummary>,
    pub(crate) finished: bool,
}

impl Checker {
    pub(crate) fn new(config: &Config) -> Self {
        let rows: Vec<Vec<u8>> = config.shards.iter().map(|rows| vec![0; *rows as usize]).collect();
        Self {
            config: config.clone(),
            merged: vec![rows; config.epochs as usize],
            leases: BTreeMap::new(),
            contained: BTreeMap::new(),
            accumulated: Vec::new(),
            base: BTreeMap::new(),
            makers: Vec::new(),
            own_counted: 0,
            late: 0,
            acknowledged: BTreeMap::new(),
            ends: BTreeMap::new(),
            version: 0,
            epochs: Vec::new(),
            finished: false,
        }
    }

    pub(crate) fn see(&mut self, actions: &[Action]) {
        for action in actions {
            match action {
                Action::Lease { worker, lease } => self.leased(*worker, lease),
                Action::Snapshot { worker, lease, version, contains } => {
                    assert_eq!(version.number, self.version, "a snapshot of another version");
                    assert_eq!(self.leases[lease].0, *worker, "a snapshot of another's lease");
                    self.base.insert(*lease, version.number);
                    // In rounds a worker forgets all that it has delivered.
                    if self.config.mode == Mode::Asynchronous {
                        // What was refused, or is not known, is in no version and never will be.
                        let at = |own: &LeaseId| self.contained.get(own);
                        let late = |own: &&LeaseId| at(own).is_some_and(|at| *at > version.number);
                        assert_eq!(contains.iter().find(late), None, "not contained");
                    }
                }
                Action::Screen { .. } => {}
                Action::LeaseEnded { worker, lease, end, .. } => {
                    assert_eq!(self.leases[lease].0, *worker, "the end of another's lease");
                    let before = self.ends.insert(*lease, *end);
                    assert_eq!(before, None, "{lease} ended twice");
                }
                Action::Merge { lease, order } => self.merge(*lease, order),
                Action::Acknowledge { worker, lease, outcome } => {
                    self.acknowledge(*worker, *lease, *outcome);
                }
                Action::EpochComplete { epoch, version, summary } => {
                    assert_eq!(version.number, self.version);
                    self.complete(*epoch, summary);
                }
                Action::Finished { version } => {
                    assert_eq!(version.number, self.version);
                    assert!(!self.finished, "finished twice");
                    self.finished = true;
                }
            }
        }
    }

    fn leased(&mut self, worker: WorkerKey, lease: &Lease) {
        assert!(!self.finished, "a lease after the end");
        assert!(lease.samples() > 0 && lease.id.incarnation == self.config.incarnation);
        for segment in &lease.segments {
            let rows = &self.merged[lease.epoch as usize][segment.shard as usize];
            let range = segment.start as usize..(segment.start + segment.count) as usize;
            assert!(rows[range].iter().all(|count| *count == 0), "leased after it was merged");
        }
        let before = self.leases.insert(lease.id, (worker, lease.clone()));
        assert!(before.is_none(), "{} twice", lease.id);
    }

    fn merge(&mut self, lease: Option<LeaseId>, order: &MergeOrder) {
        if let (Some(lease), MergeOrder::Spread { staleness, .. }) = (lease, order) {
            let (worker, base) = (self.leases[&lease].0, self.base.get(&lease));
            let since = base.map(|base| &self.makers[*base as usize..]);
            let others =
                since.map(|all| all.iter().filter(|maker| **maker != Some(worker)).count());
            let others = others.unwrap_or_default() as u64;
            assert!((others..=self.version).contains(staleness), "{lease}: {staleness}");
            self.own_counted += u64::from(others != *staleness);
        }
        if let Some(version) = order.version() {
            self.makers.push(lease.map(|lease| self.leases[&lease].0));
            self.version += 1;
            assert_eq!(version.number, self.version, "a version must rise by one");
            for accumulated in self.accumulated.drain(..) {
                self.contained.insert(accumulated, self.version);
            }
        }
        let Some(lease) = lease else { return };
        match order.version() {
            Some(_) => assert!(self.contained.insert(lease, self.version).is_none()),
            None => {
                self.late += u64::from(self.base.get(&lease) != Some(&self.version));
                self.accumulated.push(lease);
            }
        }
        let (_, lease) = &self.leases[&lease];
        for segment in &lease.segments {
            let rows = &mut self.merged[lease.epoch as usize][segment.shard as usize];
            for row in segment.start..segment.start + segment.count {
                rows[row as usize] += 1;
                assert_eq!(rows[row as usize], 1, "a sample counted twice");
            }
        }
    }

    fn acknowledge(&mut self, worker: WorkerKey, lease: LeaseId, outcome: Outcome) {
        // Another's lease, or one that ended long ago: nothing is said of what became of it.
        if outcome == Outcome::Rejected(Reason::UnknownLease) {
            return;
        }
        assert_eq!(self.leases[&lease].0, worker, "another's lease");
        // What the worker hears is what stands in the ledger.
        let end = self.ends.get(&lease);
        match outcome {
            Outcome::Merged(version) => {
                assert!(matches!(end, Some(End::Merged { version: said, .. }) if *said == version));
            }
            Outcome::Rejected(reason) => {
                assert!(matches!(end, Some(End::Rejected { reason: said, .. }) if *said == reason));
            }
        }
        if let Outcome::Merged(version) = outcome {
            assert_eq!(self.contained.get(&lease), Some(&version.number), "{lease}");
        } else {
            assert!(!self.contained.contains_key(&lease), "{lease} merged and refused");
        }
        if let Some(before) = self.acknowledged.insert(lease, outcome) {
            assert_eq!(before, outcome, "{lease} got two answers");
        }
    }

    fn complete(&mut self, epoch: u32, summary: &EpochSummary) {
        assert_eq!(epoch as usize, self.epochs.len(), "epochs complete in order");
        let merged: u64 =
            self.merged[epoch as usize].iter().flatten().map(|count| u64::from(*count)).sum();
        assert_eq!(merged, summary.samples, "epoch {epoch}");
        assert_eq!(
            merged + summary.dropped_samples(),
            self.config.epoch_samples(),
            "epoch {epoch}"
        );
        self.epochs.push(summary.clone());
    }

    /// Every sample of every epoch is merged exactly once, and the run says that it is over.
    pub(crate) fn assert_exact(&self) {
        assert!(self.finished, "the run did not end");
        assert_eq!(self.epochs.len(), self.config.epochs as usize);
        assert!(self.merged.iter().flatten().flatten().all(|count| *count == 1));
    }

    /// The rows of a lease as (shard, position in the shard's order).
    pub(crate) fn rows(&self, lease: LeaseId) -> Vec<(u32, u32)> {
        let segments = &self.leases[&lease].1.segments;
        segments
            .iter()
            .flat_map(|s| (s.start..s.start + s.count).map(|row| (s.shard, row)))
            .collect()
    }

    /// The rows of an epoch in its own order.
    pub(crate) fn epoch_order(&self, epoch: u32) -> Vec<(u32, u32)> {
        let shards = order::shard_order(self.config.seed, epoch, self.config.shards.len() as u32);
        let rows =
            |shard: u32| (0..self.config.shards[shard as usize]).map(move |row| (shard, row));
        shards.into_iter().flat_map(rows).collect()
    }
}
