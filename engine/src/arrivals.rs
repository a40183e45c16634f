//! What comes from workers about a lease: progress, deltas; and what becomes of deltas.

use protocol::{LeaseId, Outcome, Reason, Version};

use crate::event::{Action, End};
use crate::leases::{Attempt, State};
use crate::machine::Engine;
use crate::merge::MergeOrder;
use crate::sabotage::Bug;
use crate::speed;
use crate::time::{Timestamp, WorkerKey};
use crate::units::Unit;
use crate::words::{Mode, Strategy};

/// Refusals after which a unit is dropped, by different workers where there are several.
const REFUSALS_MAX: usize = 4;

impl Engine {
    pub(crate) fn progress(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        lease: LeaseId,
        steps: u64,
    ) {
        let batch = u64::from(self.config.batch_size);
        let Some(holder) = self.workers.get_mut(&worker) else { return };
        let Some(attempt) = self.leases.get_mut(lease).filter(|attempt| attempt.worker == worker)
        else {
            return;
        };
        // Only what moves on counts, so that nobody keeps a unit by talking.
        if steps <= attempt.steps_done || steps > attempt.steps {
            return;
        }
        attempt.steps_done = steps;
        holder.silent = false;
        if let Some(pulled) = attempt.pulled {
            holder.speed.progress(steps * batch, now.since(pulled.max(holder.freed)));
        }
        let left = attempt.samples.saturating_sub(steps * batch);
        let deadline = now.plus(self.allowance(worker, left));
        self.leases.extend(lease, deadline);
    }

    pub(crate) fn delta_received(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        lease: LeaseId,
        actions: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.leases.of(worker, lease) else {
            let outcome = self.known_outcome(worker, lease);
            #[cfg(feature = "sabotage")]
            self.merge_again(lease, outcome, actions);
            actions.push(Action::Acknowledge { worker, lease, outcome });
            return;
        };
        if !matches!(attempt.state, State::Out | State::Expired) {
            return;
        }
        let (was_out, unit) = (attempt.state == State::Out, attempt.unit);
        let (samples, pulled) = (attempt.samples, attempt.pulled);
        self.leases.set_deadline(lease, None);
        if let Some(attempt) = self.leases.get_mut(lease) {
            attempt.state = State::Received;
        }
        if let Some(holder) = self.workers.get_mut(&worker) {
            holder.held.retain(|held| *held != lease);
            holder.live += usize::from(!was_out);
            holder.silent = false;
            if let Some(pulled) = pulled {
                holder.speed.record(samples, now.since(pulled.max(holder.freed)));
            }
            holder.freed = now;
        }
        self.units.open.remove(&unit);
        self.add_to_waiting(worker, lease);
        self.answer_waiting(now, worker, actions);
        if self.finished {
            self.refuse(now, lease, Reason::Ended, actions);
        } else if self.units.get(unit).is_none() && !self.has(Bug::LateCounted) {
            self.refuse(now, lease, Reason::Duplicate, actions);
        } else {
            actions.push(Action::Screen { lease });
        }
        self.start_clock(now, worker);
        self.serve(now, worker, actions);
    }

    pub(crate) fn delta_screened(
        &mut self,
        now: Timestamp,
        lease: LeaseId,
        verdict: &Verdict,
        actions: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.leases.get(lease) else { return };
        if attempt.state != State::Received {
            return;
        }
        let (unit, steps, usual_norm) = (attempt.unit, attempt.steps, attempt.usual_norm);
        let deterministic = self.config.deterministic;
        let judged = if self.finished {
            Err(Reason::Ended)
        } else if self.units.get(unit).is_none() && !self.has(Bug::LateCounted) {
            Err(Reason::Duplicate)
        } else if !verdict.length_ok {
            Err(Reason::Length)
        } else if self.has(Bug::ScreeningOff) {
            Ok(1.0)
        } else if !verdict.finite {
            Err(Reason::NotFinite)
        } else if deterministic {
            // What is usual depends on the order of arrival.
            self.screening.bounded(verdict.norm, steps)
        } else {
            self.screening.judge(verdict.norm, steps, usual_norm)
        };
        match judged {
            Ok(clip) => {
                self.screening.accept(verdict.norm, steps, clip);
                self.accept(now, lease, clip, actions);
            }
            Err(reason) => self.refuse(now, lease, reason, actions),
        }
    }

    /// Orders a delta into the master.
    fn accept(&mut self, now: Timestamp, lease: LeaseId, clip: f64, actions: &mut Vec<Action>) {
        let Some(attempt) = self.leases.get(lease) else { return };
        let (worker, unit, samples) = (attempt.worker, attempt.unit, attempt.samples);
        let epoch = attempt.epoch;
        let (base, merges_at_base) = (attempt.base, attempt.merges_at_base);
        let own = self.workers.get(&worker).map_or(0, |holder| holder.merges - merges_at_base);
        // The worker's own deltas since its base it has added itself: they are not staleness.
        let staleness = (self.version - base).saturating_sub(own);
        self.merged_samples += samples;
        let late = attempt.late;
        let in_epoch = self.is_open(epoch);
        let merged = self.units.merge(unit);
        self.counts(epoch).late += u64::from(late);
        let version = Version { number: self.version + 1, ..self.version_now() };
        let end = End::Merged { version, staleness, late };
        actions.push(Action::LeaseEnded { worker, lease, unit, in_epoch, end });
        self.withdraw(now, merged, actions);
        if self.config.mode == Mode::Synchronous {
            self.accumulate(now, lease, clip, actions);
        } else {
            let order = self.order(staleness, clip, samples);
            actions.push(Action::Merge { lease: Some(lease), order });
            if let Some(attempt) = self.leases.get_mut(lease) {
                attempt.state = State::Merging(Some(self.version));
            }
            self.dispatched.push_back((self.version, vec![lease]));
        }
        if let Some(holder) = self.workers.get_mut(&worker) {
            holder.live -= 1;
            holder.merges += 1;
            holder.tally.samples += samples;
            holder.tally.staleness += staleness;
        }
        self.complete_epochs(actions);
    }

    /// The order of one delta in asynchronous mode. It makes the next version.
    fn order(&mut self, staleness: u64, clip: f64, samples: u64) -> MergeOrder {
        let in_flight = self.in_flight();
        self.version += 1;
        let version = self.version_now();
        let batches = self.version as f64;
        self.lease_samples += (samples as f64 - self.lease_samples) / batches.min(100.0);
        // Alone a worker's buffers are taken over; among N equals each moves the master by 1 / N.
        let buffer_weight = 1.0 / (1.0 + (in_flight - 1.0) * self.lease_samples / samples as f64);
        let age = 1.0 + staleness as f64;
        let weight = match self.strategy {
            _ if self.has(Bug::NotDivided) => clip,
            Strategy::Staleness { exponent, plain: true } => clip * age.powf(-exponent),
            Strategy::Staleness { exponent, .. } => clip * in_flight.max(age).powf(-exponent),
            Strategy::Nesterov { .. } => {
                return MergeOrder::Spread { version, in_flight, staleness, clip, buffer_weight };
            }
            Strategy::Auto | Strategy::Mean | Strategy::Sum => clip,
        };
        MergeOrder::Add { version, weight, buffer_weight }
    }

    /// N of the merge rules at this moment: one lease in training per worker, as a prefetched lease
    /// adds nothing to what is in flight.
    pub(crate) fn in_flight(&self) -> f64 {
        let training = self.workers.values().filter(|worker| worker.live > 0);
        speed::in_flight(training.map(|worker| worker.speed.leases_per_second()))
    }

    fn count_refusal(&mut self, epoch: u32, reason: Reason) {
        let counts = self.counts(epoch);
        if reason == Reason::Duplicate {
            counts.duplicate += 1;
        } else {
            *counts.rejected.entry(reason).or_default() += 1;
        }
    }

    /// Refuses a received delta.
    fn refuse(
        &mut self,
        now: Timestamp,
        lease: LeaseId,
        reason: Reason,
        actions: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.leases.remove(lease) else { return };
        let (worker, number) = (attempt.worker, attempt.unit);
        let outcome = Outcome::Rejected(reason);
        if let Some(holder) = self.workers.get_mut(&worker) {
            holder.live -= 1;
            holder.remember(lease, outcome);
            *holder.tally.rejected.entry(reason).or_default() += 1;
        }
        self.count_refusal(attempt.epoch, reason);
        let in_epoch = self.is_open(attempt.epoch);
        self.rounds.forget(lease, worker);
        let bad = matches!(reason, Reason::Length | Reason::NotFinite | Reason::Norm);
        let mut refusals = 0;
        if let Some(unit) = self.units.get_mut(number) {
            unit.leases.retain(|other| *other != lease);
            unit.refused.extend(bad.then_some(worker));
            refusals = unit.refused.len();
        }
        let dropped = bad && refusals >= REFUSALS_MAX && !self.is_awaited(number);
        let end = End::Rejected { reason, dropped };
        actions.push(Action::LeaseEnded { worker, lease, unit: number, in_epoch, end });
        actions.push(Action::Acknowledge { worker, lease, outcome });
        if dropped {
            let dropped = self.units.drop_unit(number, reason);
            self.withdraw(now, dropped, actions);
            self.complete_epochs(actions);
            self.stirred = true;
        } else if bad {
            self.settle(number);
        }
    }

    pub(crate) fn merged(&mut self, version: Version, actions: &mut Vec<Action>) {
        if version.incarnation != self.config.incarnation {
            return;
        }
        while let Some((number, leases)) =
            self.dispatched.pop_front_if(|(next, _)| *next <= version.number)
        {
            let outcome = Outcome::Merged(Version { number, ..version });
            for lease in leases {
                let Some(attempt) = self.leases.remove(lease) else { continue };
                let worker = attempt.worker;
                if let Some(holder) = self.workers.get_mut(&worker) {
                    holder.remember(lease, outcome);
                }
                actions.push(Action::Acknowledge { worker, lease, outcome });
            }
        }
    }

    pub(crate) fn released(
        &mut self,
        now: Timestamp,
        worker: WorkerKey,
        lease: LeaseId,
        actions: &mut Vec<Action>,
    ) {
        let held = self.workers.get(&worker).is_some_and(|holder| holder.held.contains(&lease));
        if !held {
            return;
        }
        self.end_lease(lease, actions);
        if let Some(holder) = self.workers.get_mut(&worker) {
            holder.freed = now;
            holder.silent = false;
        }
        self.answer_waiting(now, worker, actions);
        self.start_clock(now, worker);
        self.stirred = true;
    }

    /// A unit is merged or dropped: its other leases end now, as far as nobody has begun to train
    /// them, and their workers ask for other work. In rounds their pulls might wait for ever.
    fn withdraw(&mut self, now: Timestamp, unit: Option<Unit>, actions: &mut Vec<Action>) {
        for lease in unit.map(|unit| unit.leases).unwrap_or_default() {
            let untrained = self.leases.get(lease).is_some_and(|attempt| {
                attempt.pulled.is_none() && matches!(attempt.state, State::Out | State::Expired)
            });
            let Some(attempt) = untrained.then(|| self.detach(lease)).flatten() else { continue };
            let (worker, outcome) = (attempt.worker, Outcome::Rejected(Reason::Duplicate));
            if let Some(holder) = self.workers.get_mut(&worker) {
                holder.remember(lease, outcome);
            }
            self.count_refusal(attempt.epoch, Reason::Duplicate);
            let end = End::Rejected { reason: Reason::Duplicate, dropped: false };
            let in_epoch = self.is_open(attempt.epoch);
            let unit = attempt.unit;
            actions.push(Action::LeaseEnded { worker, lease, unit, in_epoch, end });
            actions.push(Action::Acknowledge { worker, lease, outcome });
            self.start_clock(now, worker);
            self.stirred = true;
        }
    }

    /// Ends a lease whose delta will not come.
    pub(crate) fn end_lease(&mut self, lease: LeaseId, actions: &mut Vec<Action>) {
        let Some(attempt) = self.detach(lease) else { return };
        self.counts(attempt.epoch).released += 1;
        let Attempt { worker, unit, epoch, .. } = attempt;
        let in_epoch = self.is_open(epoch);
        for _ in 0..=u8::from(self.has(Bug::EndTwice)) {
            actions.push(Action::LeaseEnded { worker, lease, unit, in_epoch, end: End::Released });
        }
        if let Some(unit) = self.units.get_mut(attempt.unit) {
            unit.leases.retain(|other| *other != lease);
            self.settle(attempt.unit);
        }
    }

    /// Takes a lease from its worker.
    fn detach(&mut self, lease: LeaseId) -> Option<Attempt> {
        let attempt = self.leases.remove(lease)?;
        if let Some(holder) = self.workers.get_mut(&attempt.worker) {
            holder.held.retain(|held| *held != lease);
            holder.live -= usize::from(attempt.state == State::Out);
        }
        self.rounds.forget(lease, attempt.worker);
        Some(attempt)
    }
}

/// What screening found of a delta.
pub(crate) struct Verdict {
    pub(crate) finite: bool,
    pub(crate) length_ok: bool,
    pub(crate) norm: f64,
}
