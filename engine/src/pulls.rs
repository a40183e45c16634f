//! Pulls, and the parameters that answer them. In rounds a pull may have to wait.

use protocol::limits::PENDING_MAX;
use protocol::{LeaseId, Outcome, Reason};

use crate::event::Action;
use crate::leases::State;
use crate::machine::Engine;
use crate::time::{Timestamp, WorkerKey};
use crate::words::Mode;

impl Engine {
    pub(crate) fn pulled(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        lease: LeaseId,
        pending: Vec<LeaseId>,
        actions: &mut Vec<Action>,
    ) {
        if self.leases.of(worker, lease).is_none() {
            let outcome = match self.known_outcome(worker, lease) {
                Outcome::Merged(_) => Outcome::Rejected(Reason::UnknownLease),
                refusal @ Outcome::Rejected(_) => refusal,
            };
            actions.push(Action::Acknowledge { worker, lease, outcome });
            return;
        }
        let waits = self.pull_waits(worker, lease);
        let Some(attempt) = self.leases.get_mut(lease) else { return };
        if !matches!(attempt.state, State::Out | State::Expired) {
            return;
        }
        if waits {
            attempt.waiting = Some(pending);
        } else {
            self.snapshot(now, worker, lease, &pending, actions);
        }
    }

    /// Whether a pull has no answer yet. In rounds it waits until the lease's round begins, and
    /// while the worker trains another lease: that one's delta would otherwise be added to the
    /// parameters by the worker, and all leases of a round start from exactly one version.
    fn pull_waits(&self, worker: WorkerKey, lease: LeaseId) -> bool {
        let (Some(holder), Some(attempt)) = (self.workers.get(&worker), self.leases.get(lease))
        else {
            return false;
        };
        if self.config.mode != Mode::Synchronous || attempt.pulled.is_some() {
            return false;
        }
        let pulled = |own: &LeaseId| self.leases.get(*own).is_some_and(|own| own.pulled.is_some());
        attempt.round > self.rounds.current.number || holder.held.iter().any(pulled)
    }

    /// Answers a worker's pulls that need not wait any longer.
    pub(crate) fn answer_waiting(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        actions: &mut Vec<Action>,
    ) {
        let Some(holder) = self.workers.get(&worker) else { return };
        for lease in holder.held.clone() {
            if !self.pull_waits(worker, lease)
                && let Some(pending) = self.leases.get_mut(lease).and_then(|own| own.waiting.take())
            {
                self.snapshot(now, worker, lease, &pending, actions);
            }
        }
    }

    /// A worker has delivered a delta since it asked: the answer to a pull that waits has to say
    /// what becomes of it.
    pub(crate) fn add_to_waiting(&mut self, worker: WorkerKey, delivered: LeaseId) {
        let Some(holder) = self.workers.get(&worker) else { return };
        for lease in &holder.held {
            if let Some(pending) = self.leases.get_mut(*lease).and_then(|own| own.waiting.as_mut())
                && !pending.contains(&delivered)
                && pending.len() < PENDING_MAX
            {
                pending.push(delivered);
            }
        }
    }

    /// Sends the parameters of the version that is dispatched so far.
    fn snapshot(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        lease: LeaseId,
        pending: &[LeaseId],
        actions: &mut Vec<Action>,
    ) {
        let contains =
            pending.iter().copied().filter(|own| self.is_contained(worker, *own)).collect();
        let merges = self.workers.get(&worker).map_or(0, |holder| holder.merges);
        let version = self.version_now();
        let usual_norm = self.screening.median();
        let Some(attempt) = self.leases.get_mut(lease) else { return };
        attempt.base = version.number;
        attempt.merges_at_base = merges;
        attempt.pulled = Some(now);
        attempt.usual_norm = usual_norm;
        let samples = attempt.samples;
        actions.push(Action::Snapshot { worker, lease, version, contains });
        let deadline = now.plus(self.allowance(worker, samples));
        self.leases.extend(lease, deadline);
    }

    /// Whether a worker is to forget its own delta: it is in the version dispatched last. In rounds
    /// it forgets all that it has delivered: what comes late counts in the running round, and
    /// is no part of that round's base.
    fn is_contained(&self, worker: WorkerKey, lease: LeaseId) -> bool {
        let holder = self.workers.get(&worker);
        if self.config.mode == Mode::Synchronous {
            return holder.is_none_or(|holder| !holder.held.contains(&lease));
        }
        // What is not known any more was merged long ago, or will never be: in neither case is the
        // worker to add it for ever.
        let Some(attempt) = self.leases.of(worker, lease) else { return true };
        matches!(attempt.state, State::Merging(Some(_)))
    }
}
