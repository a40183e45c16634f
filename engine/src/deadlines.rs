//! When an attempt is given up, and clocks that start and stop.

use protocol::LeaseId;

use crate::leases::State;
use crate::machine::Engine;
use crate::time::{Timestamp, WorkerKey};

const SECOND: u64 = 1_000_000;
/// No lease is given up sooner: a browser tab may fetch a shard and compile shaders first.
pub(crate) const DEADLINE_MIN: u64 = 10 * SECOND;
/// No lease is waited for longer without a sign of progress.
pub(crate) const DEADLINE_MAX: u64 = 15 * 60 * SECOND;
/// For a worker of unknown speed; its first progress message extends it.
const DEADLINE_UNKNOWN: u64 = 60 * SECOND;
/// Standard deviations over the usual time.
const DEVIATIONS: f64 = 6.0;
/// Least standard deviation, as a part of the usual time: few measurements say little.
const DEVIATION_MIN: f64 = 0.25;

impl Engine {
    /// Microseconds that a worker is given for so many samples.
    pub(crate) fn allowance(&self, worker: WorkerKey, samples: u64) -> u64 {
        let Some(speed) = self.workers.get(&worker).map(|worker| &worker.speed) else {
            return DEADLINE_MIN;
        };
        let Some(rate) = speed.samples_per_second() else { return DEADLINE_UNKNOWN };
        let usual = samples as f64 / rate * SECOND as f64;
        let margin = 1.0 + DEVIATIONS * speed.deviation().max(DEVIATION_MIN);
        ((usual * margin) as u64).clamp(DEADLINE_MIN, DEADLINE_MAX)
    }

    /// Starts the clock of a worker's oldest live lease. A prefetched lease's clock starts when its
    /// predecessor ends, and in rounds not before its round begins.
    pub(crate) fn start_clock(&mut self, now: Timestamp, worker: WorkerKey) {
        let Some(lease) = self.head(worker) else { return };
        let Some(attempt) = self.leases.get(lease) else { return };
        if attempt.ticking() || attempt.round > self.rounds.current.number {
            return;
        }
        let deadline = now.plus(self.allowance(worker, attempt.samples));
        self.leases.set_deadline(lease, Some(deadline));
    }

    /// A worker's oldest lease that is neither expired nor delivered.
    pub(crate) fn head(&self, worker: WorkerKey) -> Option<LeaseId> {
        let held = &self.workers.get(&worker)?.held;
        held.iter().copied().find(|lease| self.leases.is(*lease, State::Out))
    }

    /// Opens the units of all leases whose deadline has passed. Their workers may still deliver.
    pub(crate) fn expire_overdue(&mut self, now: Timestamp) {
        while let Some(lease) = self.leases.overdue(now) {
            self.expire(now, lease);
        }
    }

    /// Opens the unit of one lease.
    pub(crate) fn expire(&mut self, now: Timestamp, lease: LeaseId) {
        self.leases.set_deadline(lease, None);
        let Some(attempt) = self.leases.get_mut(lease) else { return };
        attempt.state = State::Expired;
        attempt.late = true;
        let (worker, unit, epoch) = (attempt.worker, attempt.unit, attempt.epoch);
        self.counts(epoch).expired += 1;
        if let Some(holder) = self.workers.get_mut(&worker) {
            holder.live -= 1;
            holder.silent = true;
        }
        self.rounds.forget(lease, worker);
        self.settle(unit);
        self.start_clock(now, worker);
    }
}
