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

/// Up to so many workers frequency `auto` is `epoch`: two lose no accuracy by it.
const WHOLE_WORKERS: usize = 2;
/// With more workers, the part of an epoch that they have in training together in asynchronous mode.
/// Measured with eight workers, half of them ten times slower: the smaller, the fewer samples are
/// needed for the same accuracy (docs/BENCHMARKS.md, stragglers).
const AUTO_PART: f64 = 1.0 / 16.0;
/// The part that a round shares out. Smaller ones save few samples more, and make more rounds, at
/// whose ends all wait.
const AUTO_ROUND_PART: f64 = 1.0 / 4.0;
/// Frequency `auto` makes no lease shorter than so many seconds of its worker's time: a pull and a
/// push take some milliseconds, and more on a slow link.
const AUTO_SECONDS_MIN: f64 = 0.1;

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
            Frequency::Auto => {
                let whole = self.part(worker, self.epoch_samples);
                let samples = self.auto_samples(AUTO_PART);
                let share = self.whole_batches(self.share(worker) * samples as f64);
                if samples < self.epoch_samples { whole.min(share) } else { whole }
            }
        }
    }

    /// Samples that all workers have in training together at frequency `auto`: this part of an epoch,
    /// or what keeps each busy for [`AUTO_SECONDS_MIN`].
    fn auto_samples(&self, part: f64) -> u64 {
        if self.expected().count() <= WHOLE_WORKERS {
            return self.epoch_samples;
        }
        let speed: f64 = self.expected().flatten().sum();
        let least = (part * self.epoch_samples as f64).max(AUTO_SECONDS_MIN * speed);
        self.epoch_samples.min(least as u64)
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
        if self.config.frequency.is_shared() && crumbs {
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
        if !self.config.frequency.is_shared() {
            return Some(self.target(worker));
        }
        let current = &self.rounds.current;
        let round = if number <= current.number { current } else { &self.rounds.next };
        if !self.all_measured() {
            return Some(self.part(worker, self.epoch_samples).min(self.first_part()));
        }
        // Shares are of what the round found, not of what earlier members left.
        let taken: u64 = round
            .out
            .values()
            .filter_map(|unit| self.units.get(*unit))
            .map(|unit| unit.samples)
            .sum();
        let found = free + taken;
        let shared = match self.config.frequency {
            Frequency::Auto => self.auto_samples(AUTO_ROUND_PART),
            _ => found,
        };
        // A rest of less than half a round joins the one before it.
        let shared = if found < shared + shared / 2 { found } else { shared };
        let present = self.workers.iter().filter(|(_, worker)| !worker.silent);
        let last =
            present.map(|(key, _)| key).all(|key| *key == worker || round.members.contains(key));
        Some(match last {
            true if shared == found => free,
            true => self.whole_batches(shared.saturating_sub(taken) as f64),
            false => self.part(worker, shared),
        })
    }

    fn first_part(&self) -> u64 {
        let equal = self.epoch_samples as f64 / self.expected().count().max(1) as f64;
        self.whole_batches(FIRST_PART * equal)
    }
}
