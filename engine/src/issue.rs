//! Who gets which lease, and when: requests are remembered until there is work.

use std::collections::VecDeque;

use protocol::{Lease, LeaseId, Segment, order};
use rand_core::Rng;

use crate::event::Action;
use crate::leases::Attempt;
use crate::machine::Engine;
use crate::sabotage::Bug;
use crate::time::{Timestamp, WorkerKey};
use crate::units::Unit;
use crate::words::{Frequency, Mode};
use crate::workers::LEASES_MAX;

/// A unit of this many times a worker's usual size is left to faster ones while there is other work.
const OVERSIZE: u64 = 2;

/// What a worker is to get.
pub(crate) struct Choice {
    pub(crate) unit: u64,
    pub(crate) round: u64,
    pub(crate) backup: bool,
}

impl Engine {
    pub(crate) fn lease_requested(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        actions: &mut Vec<Action>,
    ) {
        let Some(asking) = self.workers.get_mut(&worker) else { return };
        if self.finished {
            return;
        }
        asking.wanted = (asking.wanted + 1).min(LEASES_MAX);
        self.serve(now, worker, actions);
    }

    /// Gives waiting workers what has become free.
    pub(crate) fn serve_waiting(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        self.look_again = None;
        for worker in std::mem::take(&mut self.queue) {
            if let Some(waiting) = self.workers.get_mut(&worker) {
                waiting.queued = false;
            }
            self.serve(now, worker, actions);
        }
    }

    /// Answers as many of a worker's requests as it can; the others stay in the queue.
    pub(crate) fn serve(&mut self, now: Timestamp, worker: WorkerKey, actions: &mut Vec<Action>) {
        while let Some(asking) = self.workers.get(&worker)
            && asking.wanted > 0
            && asking.held.len() < LEASES_MAX
            && self.started
            && !self.finished
            && self.may_issue()
            && let Some(choice) = self.choose(now, worker)
        {
            self.issue(now, worker, &choice, actions);
        }
        let Some(asking) = self.workers.get_mut(&worker) else { return };
        let waits = asking.wanted > 0;
        let queued = std::mem::replace(&mut asking.queued, waits);
        if waits && !queued {
            self.queue.push_back(worker);
        } else if !waits && queued {
            self.queue.retain(|other| *other != worker);
        }
    }

    /// Whether a pause lets leases be given: half of a deterministic round could be neither kept nor
    /// left, so it is finished.
    fn may_issue(&self) -> bool {
        let begun = self.config.deterministic && self.rounds.current.cut > 0;
        !self.paused || begun || self.has(Bug::NeverPaused)
    }

    fn choose(&mut self, now: Timestamp, worker: WorkerKey) -> Option<Choice> {
        match self.config.mode {
            Mode::Asynchronous | Mode::Hogwild => self.choose_at_once(now, worker),
            Mode::Synchronous => self.choose_in_round(now, worker),
        }
    }

    fn choose_at_once(&mut self, now: Timestamp, worker: WorkerKey) -> Option<Choice> {
        let epoch = self.units.epoch_with_rows(&self.config);
        let unit = self.open_unit(worker, epoch.is_some()).or_else(|| {
            let epoch = epoch?;
            let size = self.size(now, worker, epoch)?;
            self.cut(worker, epoch, size)
        });
        if let Some(unit) = unit {
            return Some(Choice { unit, round: 0, backup: false });
        }
        let unit = self.is_idle(worker).then(|| self.copy_for(now, worker)).flatten()?;
        Some(Choice { unit, round: 0, backup: true })
    }

    pub(crate) fn is_idle(&self, worker: WorkerKey) -> bool {
        self.workers.get(&worker).is_some_and(|worker| worker.held.is_empty())
    }

    /// In rounds: a lease of the running round; or a copy of one, once there is nothing else to do
    /// in it; or early one of the next.
    fn choose_in_round(&mut self, now: Timestamp, worker: WorkerKey) -> Option<Choice> {
        // Before what follows: such a round keeps its epoch even while all its leases are lost.
        if self.config.deterministic {
            return self.choose_in_order(now, worker);
        }
        let current = &mut self.rounds.current;
        if current.is_empty() {
            current.epoch = None;
        }
        let number = current.number;
        // Not after a lease of the next round: a worker trains in order, and would wait for itself.
        if self.is_ahead(worker) {
            return None;
        }
        let current = &self.rounds.current;
        if current.arrived.is_empty()
            && !current.members.contains(&worker)
            && let Some(unit) = self.unit_in_round(worker, number)
        {
            return Some(Choice { unit, round: number, backup: false });
        }
        if self.rounds.current.is_empty() {
            return None;
        }
        // A worker of unknown speed might be busy with a useless copy for many rounds.
        if !self.waits_for_speeds()
            && self.is_measured(worker)
            && let Some(unit) = self.copy_for(now, worker)
        {
            // Still at work it asks too early: a lease of the next round would keep it from helping.
            let idle = self.is_idle(worker);
            return idle.then_some(Choice { unit, round: number, backup: true });
        }
        if !self.may_prefetch() {
            return None;
        }
        let number = self.rounds.next.number;
        let unit = self.unit_in_round(worker, number)?;
        Some(Choice { unit, round: number, backup: false })
    }

    /// Whether a worker holds a lease of the next round.
    fn is_ahead(&self, worker: WorkerKey) -> bool {
        let later = |lease: &LeaseId| {
            self.leases.get(*lease).is_some_and(|own| own.round > self.rounds.current.number)
        };
        self.workers.get(&worker).is_some_and(|worker| worker.held.iter().any(later))
    }

    /// With frequency epoch a round shares out the whole epoch: the next round's parts are known
    /// only when the running one has taken its own, and when all speeds are measured.
    fn may_prefetch(&self) -> bool {
        !self.config.frequency.is_shared() || !self.waits_for_speeds() && self.all_measured()
    }

    /// Whether the running round leaves rows of its epoch to later ones, that share by speed.
    fn waits_for_speeds(&self) -> bool {
        let epoch = self.rounds.current.epoch.and_then(|epoch| self.units.epoch(epoch));
        let leaves = epoch.is_some_and(|epoch| epoch.free > 0);
        match self.config.frequency {
            Frequency::Epoch => leaves,
            // Its rounds leave rows as a rule.
            Frequency::Auto => leaves && !self.all_measured(),
            Frequency::Batch | Frequency::Steps(_) => false,
        }
    }

    fn unit_in_round(&mut self, worker: WorkerKey, number: u64) -> Option<u64> {
        if let Some(unit) = self.open_unit(worker, false) {
            return Some(unit);
        }
        let epoch = match self.rounds.numbered(number).epoch {
            Some(epoch) => epoch,
            None => self.units.epoch_with_rows(&self.config)?,
        };
        let size = self.size_in_round(worker, number, epoch)?;
        let unit = self.cut(worker, epoch, size)?;
        self.rounds.numbered(number).epoch = Some(epoch);
        Some(unit)
    }

    pub(crate) fn cut(&mut self, worker: WorkerKey, epoch: u32, size: u64) -> Option<u64> {
        let had = &self.workers.get(&worker)?.shards;
        self.units.cut(epoch, size, (!self.config.deterministic).then_some(had))
    }

    /// The oldest unit that nobody is expected to deliver and that this worker may try.
    pub(crate) fn open_unit(&self, worker: WorkerKey, other_work: bool) -> Option<u64> {
        if self.units.open.is_empty() {
            return None;
        }
        let target = self.target(worker);
        let fits = |unit: &Unit| !other_work || unit.samples <= OVERSIZE * target;
        let units =
            self.units.open.iter().filter_map(|number| Some((*number, self.units.get(*number)?)));
        let mut usable = units.filter(|(_, unit)| fits(unit) && self.may_try(worker, unit));
        usable.next().map(|(number, _)| number)
    }

    /// Not what it has already, and not what was refused from it while others could do it.
    pub(crate) fn may_try(&self, worker: WorkerKey, unit: &Unit) -> bool {
        let has = unit.leases.iter().any(|lease| self.leases.of(worker, *lease).is_some());
        let others = || self.workers.keys().any(|other| !unit.refused.contains(other));
        !has && (!unit.refused.contains(&worker) || !others())
    }

    fn issue(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        choice: &Choice,
        actions: &mut Vec<Action>,
    ) {
        self.last_lease += 1;
        let id = LeaseId { incarnation: self.lease_start(), number: self.last_lease };
        let Some(unit) = self.units.get_mut(choice.unit) else { return };
        let again = std::mem::replace(&mut unit.leased, true);
        unit.leases.push(id);
        let (epoch, samples, segments) = (unit.epoch, unit.samples, unit.segments.clone());
        let progress = self.progress_of(choice.unit);
        let Some(holder) = self.workers.get_mut(&worker) else { return };
        holder.held.push(id);
        holder.live += 1;
        holder.wanted -= 1;
        holder.shards.extend(segments.iter().map(|segment| segment.shard));
        let segment = segments[0];
        let lease = Lease {
            id,
            run: self.config.run,
            epoch,
            segments,
            batch_size: self.config.batch_size,
            seed: self.noise_seed(epoch, segment),
            learning_rate: self.rate_at(progress),
            deadline_ms: self.allowance(worker, samples) / 1000,
        };
        let mut attempt = Attempt::new(worker, choice.unit, now);
        attempt.epoch = epoch;
        attempt.samples = samples;
        attempt.steps = lease.steps();
        attempt.round = choice.round;
        attempt.base = self.version;
        attempt.merges_at_base = self.workers.get(&worker).map_or(0, |holder| holder.merges);
        self.leases.insert(id, attempt);
        self.units.open.remove(&choice.unit);
        let counts = self.counts(epoch);
        counts.leases += 1;
        counts.backup += u64::from(choice.backup);
        counts.re_leased += if again { samples } else { 0 };
        if self.config.mode == Mode::Synchronous {
            self.rounds.expect(now, choice.round, id, choice.unit, worker);
        }
        actions.push(Action::Lease { worker, lease });
        self.start_clock(now, worker);
    }

    /// Names of leases say which start of the coordinator gave them.
    fn lease_start(&self) -> u32 {
        if self.has(Bug::ReuseLease) { 1 } else { self.config.incarnation }
    }

    /// The same rows get the same noise in an epoch, whoever trains them.
    fn noise_seed(&self, epoch: u32, first: Segment) -> u64 {
        let index =
            (u64::from(epoch) << 44) ^ (u64::from(first.shard) << 30) ^ u64::from(first.start);
        order::generator(self.config.seed, order::PURPOSE_LEASE, index).next_u64()
    }

    /// The samples of the run that a unit comes after: those merged so far, or in a deterministic
    /// run those before it.
    fn progress_of(&self, unit: u64) -> u64 {
        let ordered = self.units.get(unit).filter(|_| self.config.deterministic);
        ordered.map_or(self.merged_samples, |unit| {
            u64::from(unit.epoch) * self.epoch_samples + unit.begins
        })
    }

    /// The learning rate at this point of the run.
    pub(crate) fn learning_rate(&self) -> f64 {
        self.rate_at(self.merged_samples)
    }

    fn rate_at(&self, samples: u64) -> f64 {
        let total = (self.epoch_samples * u64::from(self.config.epochs)).max(1) as f64;
        self.base_rate * self.config.schedule.factor(samples as f64 / total)
    }
}

/// Workers whose requests are not answered, in order.
pub(crate) type Queue = VecDeque<WorkerKey>;
