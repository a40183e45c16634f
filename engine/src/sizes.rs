//! How many samples a worker gets in one lease.

use crate::leases::State;
use crate::machine::Engine;
use crate::time::{Timestamp, WorkerKey};
use crate::words::Frequency;

/// Part of an equal share that a worker gets before its speed is known: one that is ten times
/// slower than the others is found out in about the time of one ordinary lease.
const FIRST_PART: f64 = 0.125;
/// What is left of an epoch joins the last unit up to this part of it, instead of becoming crumbs.
const CRUMB_PART: u64 = 8;

impl Engine {
    /// Workers that are expected to take part.
    fn expected(&self) -> impl Iterator<Item = Option<f64>> {
        let present = self.workers.values().filter(|worker| !worker.silent);
        present.map(|worker| worker.speed.samples_per_second())
    }

    /// Whether a worker's share can be told: all are measured, or there is only one.
    pub(crate) fn all_measured(&self) -> bool {
        self.expected().count() <= 1 || self.expected().all(|rate| rate.is_some())
    }

    pub(crate) fn is_measured(&self, worker: WorkerKey) -> bool {
        self.workers.get(&worker).is_some_and(|worker| worker.speed.samples_per_second().is_some())
    }

    /// A worker's part of the fleet's speed; unmeasured workers count as the average measured one.
    pub(crate) fn share(&self, worker: WorkerKey) -> f64 {
        let (mut sum, mut known, mut count) = (0.0, 0.0, 0.0);
        for rate in self.expected() {
            count += 1.0;
            if let Some(rate) = rate {
                sum += rate;
                known += 1.0;
            }
        }
        let usual = if known > 0.0 { sum / known } else { 1.0 };
        let all = sum + usual * (count - known);
        let Some(holder) = self.workers.get(&worker) else { return 1.0 };
        let own = holder.speed.samples_per_second().unwrap_or(usual);
        // A silent worker that asks again is not among the expected ones.
        let all = if holder.silent { all + own } else { all };
        if all > 0.0 { own / all } else { 1.0 }
    }

    /// What the frequency gives a worker, however much is left.
    pub(crate) fn target(&self, worker: WorkerKey) -> u64 {
        let batch = u64::from(self.config.batch_size);
        match self.config.frequency {
            Frequency::Batch => batch,
            Frequency::Steps(steps) => batch * u64::from(steps),
            Frequency::Epoch => self.part(worker, self.epoch_samples),
        }
    }

    /// A worker's part of so many samples, in whole batches.
    fn part(&self, worker: WorkerKey, of: u64) -> u64 {
        if self.expected().count() <= 1 {
            return of.max(1);
        }
        let part = if self.is_measured(worker) { 1.0 } else { FIRST_PART };
        self.whole_batches(self.share(worker) * part * of as f64)
    }

    fn whole_batches(&self, samples: f64) -> u64 {
        let batch = u64::from(self.config.batch_size);
        ((samples / batch as f64).round() as u64).max(1) * batch
    }

    /// Samples to cut for a worker in asynchronous mode; none if others should have what is left.
    pub(crate) fn size(&self, now: Timestamp, worker: WorkerKey, epoch: u32) -> Option<u64> {
        let free = self.units.epoch(epoch)?.free;
        let mut size = self.target(worker);
        if epoch + 1 == self.config.epochs && self.expected().count() > 1 {
            size = size.min(self.even_finish(now, worker, free)?);
        }
        let crumbs = free.saturating_sub(size) <= size / CRUMB_PART;
        if self.config.frequency == Frequency::Epoch && crumbs {
            size = free;
        }
        Some(size)
    }

    /// In the last epoch no later work fills the gap behind a long lease: a worker gets as much as
    /// lets all finish together. None for a prefetch that would take it from the others.
    fn even_finish(&self, now: Timestamp, worker: WorkerKey, free: u64) -> Option<u64> {
        let present = self.workers.iter().filter(|(_, worker)| !worker.silent);
        let held: f64 = present.map(|(key, _)| self.backlog(now, *key)).sum();
        let size = self.share(worker) * (held + free as f64) - self.backlog(now, worker);
        if self.head(worker).is_some() && size < f64::from(self.config.batch_size) / 2.0 {
            return None;
        }
        Some(self.whole_batches(size.max(0.0)))
    }

    /// Samples that a worker has still to train.
    pub(crate) fn backlog(&self, now: Timestamp, worker: WorkerKey) -> f64 {
        let Some(holder) = self.workers.get(&worker) else { return 0.0 };
        let live = holder.held.iter().filter(|lease| self.leases.is(**lease, State::Out));
        live.map(|lease| self.remaining(now, *lease)).sum()
    }

    /// Samples of a lease that are still to be trained, by progress or by time.
    pub(crate) fn remaining(&self, now: Timestamp, lease: protocol::LeaseId) -> f64 {
        let Some(attempt) = self.leases.get(lease) else { return 0.0 };
        let told = attempt.steps_done * u64::from(self.config.batch_size);
        let elapsed = match (attempt.pulled, self.workers.get(&attempt.worker)) {
            (Some(pulled), Some(holder)) if self.head(attempt.worker) == Some(lease) => {
                let rate = holder.speed.samples_per_second().unwrap_or(0.0);
                now.since(pulled.max(holder.freed)) as f64 / 1e6 * rate
            }
            _ => 0.0,
        };
        (attempt.samples as f64 - elapsed.max(told as f64)).max(0.0)
    }

    /// Samples to cut for a worker in a round.
    pub(crate) fn size_in_round(&self, worker: WorkerKey, number: u64, epoch: u32) -> Option<u64> {
        let free = self.units.epoch(epoch)?.free;
        if self.config.frequency != Frequency::Epoch {
            return Some(self.target(worker));
        }
        let current = &self.rounds.current;
        let round = if number <= current.number { current } else { &self.rounds.next };
        if !self.all_measured() {
            return Some(self.part(worker, self.epoch_samples).min(self.first_part()));
        }
        let present = self.workers.iter().filter(|(_, worker)| !worker.silent);
        let last =
            present.map(|(key, _)| key).all(|key| *key == worker || round.members.contains(key));
        if last {
            return Some(free);
        }
        // Shares are of what the round found, not of what earlier members left.
        let taken: u64 = round
            .out
            .values()
            .filter_map(|unit| self.units.get(*unit))
            .map(|unit| unit.samples)
            .sum();
        Some(self.part(worker, free + taken))
    }

    fn first_part(&self) -> u64 {
        let equal = self.epoch_samples as f64 / self.expected().count().max(1) as f64;
        self.whole_batches(FIRST_PART * equal)
    }
}
