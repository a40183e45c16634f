//! The engine itself: its state, the events, and the end of epochs and of the run.

use std::collections::{BTreeMap, VecDeque};

use protocol::{LeaseId, Outcome, Reason, Version};

use crate::arrivals::Verdict;
use crate::config::{Config, ConfigError};
use crate::event::{Action, Event};
use crate::issue::Queue;
use crate::leases::{Leases, State};
use crate::rounds::Rounds;
use crate::sabotage::Bug;
use crate::screening::Screening;
use crate::status::EpochSummary;
use crate::time::{Timestamp, WorkerKey};
use crate::units::Units;
use crate::words::Strategy;
use crate::workers::Worker;

/// The decisions of one run. Events in, actions out; nothing else.
#[derive(Debug)]
pub struct Engine {
    pub(crate) config: Config,
    /// Samples of each epoch: a sum over all shards, which every event would be too often for.
    pub(crate) epoch_samples: u64,
    /// What the configured strategy stands for.
    pub(crate) strategy: Strategy,
    pub(crate) workers: BTreeMap<WorkerKey, Worker>,
    pub(crate) queue: Queue,
    pub(crate) units: Units,
    pub(crate) leases: Leases,
    pub(crate) rounds: Rounds,
    pub(crate) screening: Screening,
    /// The version dispatched last.
    pub(crate) version: u64,
    /// Versions ordered but not reported as merged, with their leases.
    pub(crate) dispatched: VecDeque<(u64, Vec<LeaseId>)>,
    pub(crate) last_lease: u64,
    pub(crate) merged_samples: u64,
    /// Running mean of a merged lease's samples.
    pub(crate) lease_samples: f64,
    /// Merges by earlier starts of the coordinator.
    pub(crate) merges_before: u64,
    /// Counts of the epochs that are complete.
    pub(crate) totals: EpochSummary,
    /// As many workers as are needed have joined.
    pub(crate) started: bool,
    pub(crate) finished: bool,
    /// No leases are given.
    pub(crate) paused: bool,
    /// Learning rate before the schedule.
    pub(crate) base_rate: f64,
    /// Something became free that waiting workers may want.
    pub(crate) stirred: bool,
    /// When a waiting worker may get a copy of a late unit.
    pub(crate) look_again: Option<Timestamp>,
    #[cfg(feature = "sabotage")]
    pub(crate) sabotaged: Option<Bug>,
}

impl Engine {
    /// An engine at the start of a run.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            epoch_samples: config.epoch_samples(),
            strategy: config.resolved_strategy(),
            base_rate: config.learning_rate,
            config,
            workers: BTreeMap::new(),
            queue: Queue::new(),
            units: Units::default(),
            leases: Leases::default(),
            rounds: Rounds::default(),
            screening: Screening::default(),
            version: 0,
            dispatched: VecDeque::new(),
            last_lease: 0,
            merged_samples: 0,
            lease_samples: 0.0,
            merges_before: 0,
            totals: EpochSummary::default(),
            started: false,
            finished: false,
            paused: false,
            stirred: false,
            look_again: None,
            #[cfg(feature = "sabotage")]
            sabotaged: None,
        })
    }

    /// Takes in what happened and says what to do, in order.
    pub fn handle(&mut self, now: Timestamp, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        #[cfg(feature = "sabotage")]
        let event = self.unfenced(event);
        match event {
            Event::WorkerJoined { worker } => self.joined(now, worker),
            Event::WorkerLeft { worker } => self.left(worker, &mut actions),
            Event::WorkerDetached { worker } => self.detached(worker),
            Event::WorkerReturned { worker, leases } => {
                self.returned(now, worker, &leases, &mut actions);
            }
            Event::LeaseRequested { worker } => self.lease_requested(now, worker, &mut actions),
            Event::Pulled { worker, lease, pending } => {
                self.pulled(now, worker, lease, pending, &mut actions);
            }
            Event::Progress { worker, lease, steps } => self.progress(now, worker, lease, steps),
            Event::DeltaReceived { worker, lease } => {
                self.delta_received(now, worker, lease, &mut actions);
            }
            Event::DeltaScreened { lease, finite, length_ok, norm } => {
                let verdict = Verdict { finite, length_ok, norm };
                self.delta_screened(now, lease, &verdict, &mut actions);
            }
            Event::Merged { version } => self.merged(version, &mut actions),
            Event::LeaseReleased { worker, lease } => {
                self.released(now, worker, lease, &mut actions);
            }
            Event::Tick => self.stirred |= self.look_again.is_some_and(|time| time <= now),
            Event::Pause => self.paused = !self.finished,
            Event::Resume => self.stirred |= std::mem::take(&mut self.paused),
            Event::LearningRate { rate } if rate.is_finite() && rate > 0.0 => self.base_rate = rate,
            Event::LearningRate { .. } => {}
            Event::Stop => self.stop(now, &mut actions),
        }
        if !self.finished {
            self.expire_overdue(now);
            self.close_round(now, &mut actions);
            if std::mem::take(&mut self.stirred) {
                self.serve_waiting(now, &mut actions);
            }
        }
        self.units.assert_whole(self.epoch_samples);
        actions
    }

    /// When the shell should send [`Event::Tick`] if nothing happens before.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.finished {
            return None;
        }
        let times = [self.leases.next_deadline(), self.rounds.close_at, self.look_again];
        times.into_iter().flatten().min()
    }

    /// The version dispatched last.
    #[must_use]
    pub fn version_now(&self) -> Version {
        Version { incarnation: self.config.incarnation, number: self.version }
    }

    /// Whether merges outside of rounds have a momentum.
    #[must_use]
    pub fn merges_with_momentum(&self) -> bool {
        matches!(self.strategy, Strategy::Nesterov { .. })
    }

    fn joined(&mut self, now: Timestamp, worker: WorkerKey) {
        self.workers.entry(worker).or_insert_with(|| Worker::new(now));
        self.started |= self.workers.len() as u64 >= u64::from(self.config.workers_min);
        self.stirred = true;
    }

    /// Its leases end. What it has delivered completely is merged all the same.
    fn left(&mut self, worker: WorkerKey, actions: &mut Vec<Action>) {
        let Some(gone) = self.workers.get(&worker) else { return };
        for lease in gone.held.clone() {
            self.end_lease(lease, actions);
        }
        self.workers.remove(&worker);
        self.queue.retain(|other| *other != worker);
        self.stirred = true;
    }

    /// Its connection is lost: whatever is sent to it now is lost too. Its leases stay, for others
    /// to copy, as its silence counts as that of a worker that is late.
    fn detached(&mut self, worker: WorkerKey) {
        let Some(away) = self.workers.get_mut(&worker) else { return };
        away.wanted = 0;
        away.queued = false;
        away.silent = true;
        for lease in &away.held {
            if let Some(attempt) = self.leases.get_mut(*lease) {
                attempt.waiting = None;
            }
        }
        self.queue.retain(|other| *other != worker);
        self.stirred = true;
    }

    fn returned(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        kept: &[LeaseId],
        actions: &mut Vec<Action>,
    ) {
        self.detached(worker);
        let Some(back) = self.workers.get_mut(&worker) else { return };
        back.silent = false;
        for lease in back.held.clone() {
            if !kept.contains(&lease) {
                self.end_lease(lease, actions);
            }
        }
        for &lease in kept {
            if self.leases.of(worker, lease).is_none() {
                let outcome = self.known_outcome(worker, lease);
                actions.push(Action::Acknowledge { worker, lease, outcome });
            }
        }
        self.start_clock(now, worker);
    }

    /// Until when the leases of a lost worker are worth waiting for: the latest of their deadlines,
    /// the end of time for one whose clock does not run; none if it holds no lease.
    #[must_use]
    pub fn leases_until(&self, worker: WorkerKey) -> Option<Timestamp> {
        let held = self.workers.get(&worker)?.held.iter();
        let out = held.filter(|lease| self.leases.is(**lease, State::Out));
        out.filter_map(|lease| self.leases.get(*lease))
            .map(|attempt| attempt.deadline().unwrap_or(Timestamp(u64::MAX)))
            .max()
    }

    /// What is said of a lease that is not this worker's, or not any more.
    #[must_use]
    pub fn known_outcome(&self, worker: WorkerKey, lease: LeaseId) -> Outcome {
        if lease.incarnation != self.config.incarnation {
            return Outcome::Rejected(Reason::Fenced);
        }
        let known = self.workers.get(&worker).and_then(|holder| holder.outcome(lease));
        known.unwrap_or(Outcome::Rejected(Reason::UnknownLease))
    }

    /// Sorts a unit after one of its leases has ended: awaited, open, or cut anew.
    pub(crate) fn settle(&mut self, number: u64) {
        if self.is_awaited(number) || self.has(Bug::LoseLease) {
            return;
        }
        let Some(unit) = self.units.get(number) else { return };
        // The units of a deterministic run stay as they were cut.
        let whole = self.config.deterministic || !unit.refused.is_empty();
        if unit.leases.is_empty() && !whole {
            self.units.dissolve(number);
        } else {
            self.units.open.insert(number);
        }
        self.stirred = true;
    }

    /// Where to count what happens to a lease: in its epoch, or in the run once that is complete.
    pub(crate) fn counts(&mut self, epoch: u32) -> &mut EpochSummary {
        self.units.summary(epoch).unwrap_or(&mut self.totals)
    }

    /// Whether some lease of a unit is in time or delivered.
    pub(crate) fn is_awaited(&self, number: u64) -> bool {
        let awaited = |lease: &LeaseId| {
            self.leases.is(*lease, State::Out) || self.leases.is(*lease, State::Received)
        };
        self.units.get(number).is_some_and(|unit| unit.leases.iter().any(awaited))
    }

    /// Says which epochs are complete, in order, and whether the run is.
    pub(crate) fn complete_epochs(&mut self, actions: &mut Vec<Action>) {
        // In rounds samples count as merged when accumulated: the mark waits for the round's end.
        if self.is_mid_round() {
            return;
        }
        let early = u64::from(self.has(Bug::EpochEarly));
        let samples = self.epoch_samples - early;
        let version = self.version_now();
        while let Some(epoch) = self.units.epochs.pop_front_if(|epoch| epoch.settled() >= samples) {
            self.totals.add(&epoch.summary);
            let summary = epoch.summary;
            actions.push(Action::EpochComplete { epoch: epoch.index, version, summary });
            self.stirred = true;
        }
        if self.units.epochs.is_empty() && self.units.begun == self.config.epochs {
            self.finish(actions);
        }
    }

    fn stop(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        // Half of a round would make another master than the whole one.
        let round = !self.rounds.current.arrived.is_empty() && !self.config.deterministic;
        if !self.finished && round {
            self.end_round(now, actions);
        }
        self.finish(actions);
    }

    fn finish(&mut self, actions: &mut Vec<Action>) {
        if !self.finished {
            self.finished = true;
            self.paused = false;
            self.queue.clear();
            actions.push(Action::Finished { version: self.version_now() });
        }
    }
}
