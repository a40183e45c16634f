//! Synchronous mode: all leases of a round start from one version, and their mean becomes the next.
//!
//! A round ends when all of its leases have arrived; or, once [`QUORUM`] of its samples are here,
//! when as much time has passed again. Stragglers' units go to the next round, and a straggler's
//! delta that comes then is welcome while its unit is open: it is counted into the running round.
//! A round cuts its units from one epoch. At the end of an epoch it may be short: it is divided by
//! what it was planned for, idle workers included, so that few batches do not weigh like many.

use std::collections::{BTreeMap, BTreeSet};

use protocol::LeaseId;

use crate::event::Action;
use crate::leases::State;
use crate::machine::Engine;
use crate::merge::{MergeOrder, RoundRule};
use crate::sabotage::Bug;
use crate::time::{Timestamp, WorkerKey};
use crate::words::{Mode, Strategy};

/// Part of a round's samples that must be here before it may end without the rest.
const QUORUM: f64 = 0.75;
/// Microseconds that stragglers are given after the quorum at least.
const STRAGGLERS_MIN: u64 = 2_000_000;

/// One round.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) number: u64,
    /// The epoch that its units are cut from; none before the first.
    pub(crate) epoch: Option<u32>,
    /// Workers that have or had a lease in it.
    pub(crate) members: BTreeSet<WorkerKey>,
    /// Units cut for it, in a deterministic run.
    pub(crate) cut: u32,
    /// Its leases that are awaited, with their units.
    pub(crate) out: BTreeMap<LeaseId, u64>,
    /// Its deltas that are accumulated.
    pub(crate) arrived: Vec<LeaseId>,
    arrived_samples: u64,
    /// When it could start to train.
    began: Timestamp,
}

impl Round {
    fn after(number: u64) -> Self {
        Self { number: number + 1, ..Self::default() }
    }

    /// Nothing has happened in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.out.is_empty() && self.arrived.is_empty()
    }
}

/// The running round and the next one, for which leases may be handed out early.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) current: Round,
    pub(crate) next: Round,
    /// When the running round ends without its stragglers.
    pub(crate) close_at: Option<Timestamp>,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { current: Round::default(), next: Round::after(0), close_at: None }
    }
}

impl Rounds {
    /// The round of that number, if it is the running one or the next.
    pub(crate) fn numbered(&mut self, number: u64) -> &mut Round {
        if number <= self.current.number { &mut self.current } else { &mut self.next }
    }

    /// A lease is awaited.
    pub(crate) fn expect(
        &mut self,
        now: Timestamp,
        number: u64,
        lease: LeaseId,
        unit: u64,
        worker: WorkerKey,
    ) {
        let round = self.numbered(number);
        if round.is_empty() {
            round.began = now;
        }
        round.out.insert(lease, unit);
        round.members.insert(worker);
    }

    /// A lease is not awaited any more; its worker may get another one in the same round.
    pub(crate) fn forget(&mut self, lease: LeaseId, worker: WorkerKey) {
        for round in [&mut self.current, &mut self.next] {
            if round.out.remove(&lease).is_some() {
                round.members.remove(&worker);
            }
        }
    }

    /// A delta is accumulated; no other lease of its unit is awaited.
    fn arrive(&mut self, lease: LeaseId, unit: u64, samples: u64) {
        for round in [&mut self.current, &mut self.next] {
            round.out.retain(|_, awaited| *awaited != unit);
        }
        self.current.arrived.push(lease);
        self.current.arrived_samples += samples;
    }
}

impl Engine {
    /// Accumulates a delta into the running round.
    pub(crate) fn accumulate(
        &mut self,
        now: Timestamp,
        lease: LeaseId,
        clip: f64,
        actions: &mut Vec<Action>,
    ) {
        let Some(attempt) = self.leases.get_mut(lease) else { return };
        attempt.state = State::Merging(None);
        let (unit, samples) = (attempt.unit, attempt.samples);
        if self.config.deterministic {
            self.rounds.arrive(lease, unit, samples);
            return;
        }
        let sum = self.strategy == Strategy::Sum;
        let weight = if sum { clip } else { clip * samples as f64 };
        let order = MergeOrder::Accumulate { weight, samples };
        actions.push(Action::Merge { lease: Some(lease), order });
        self.rounds.arrive(lease, unit, samples);
        let round = &self.rounds.current;
        let enough = round.arrived_samples as f64 >= QUORUM * self.planned() as f64;
        if enough && self.rounds.close_at.is_none() {
            let time = now.since(round.began).max(STRAGGLERS_MIN);
            self.rounds.close_at = Some(now.plus(time));
        }
    }

    /// The samples that the running round was planned for.
    fn planned(&self) -> u64 {
        let round = &self.rounds.current;
        let awaited: BTreeSet<u64> = round.out.values().copied().collect();
        let out: u64 =
            awaited.iter().filter_map(|unit| self.units.get(*unit)).map(|unit| unit.samples).sum();
        round.arrived_samples + out + self.planned_for_idle()
    }

    /// The epoch that the running round is cut from has nothing left.
    pub(crate) fn has_cut_its_epoch(&self) -> bool {
        let epoch = self.rounds.current.epoch;
        epoch.is_some_and(|epoch| self.units.epoch(epoch).is_none_or(|epoch| epoch.free == 0))
    }

    /// What workers would have trained for whom the epoch had nothing left.
    fn planned_for_idle(&self) -> u64 {
        let round = &self.rounds.current;
        if !self.has_cut_its_epoch() || self.config.frequency.is_shared() {
            return 0;
        }
        let idle = self.workers.iter().filter(|(key, worker)| {
            !round.members.contains(key)
                && !worker.silent
                && (worker.wanted > 0 || !worker.held.is_empty())
        });
        idle.map(|(key, _)| self.target(*key)).sum()
    }

    /// Ends the running round if it is time.
    pub(crate) fn close_round(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.config.mode != Mode::Synchronous {
            return;
        }
        if self.config.deterministic {
            if self.is_round_complete() && self.rounds.current.arrived.is_empty() {
                self.advance_round(now, actions);
            } else if self.is_round_complete() {
                self.end_round(now, actions);
            }
            return;
        }
        let round = &self.rounds.current;
        if round.out.is_empty() && !round.arrived.is_empty() {
            self.end_round(now, actions);
        } else if round.is_empty() && !self.rounds.next.is_empty() {
            // All leases of the round were lost: the next round starts from the same version.
            self.advance_round(now, actions);
        } else if self.rounds.close_at.is_some_and(|time| time <= now) {
            self.end_round(now, actions);
        }
    }

    /// Merges what is accumulated, whatever is still out.
    pub(crate) fn end_round(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let samples = self.rounds.current.arrived_samples;
        let present = self.workers.values().filter(|worker| !worker.silent).count();
        let (planned, workers) = if self.config.deterministic {
            self.accumulate_in_order(actions);
            (self.ordered_plan(samples), self.config.workers_min as usize)
        } else {
            (self.planned(), present)
        };
        let sum = self.strategy == Strategy::Sum || self.has(Bug::NotDivided);
        let divisor = if sum { 1.0 } else { planned as f64 };
        self.version += 1;
        let round = &mut self.rounds.current;
        let arrived = std::mem::take(&mut round.arrived);
        let rule = match self.strategy {
            // One worker alone is plain training: no outer step may change it.
            Strategy::Nesterov { rate, momentum } if workers > 1 => {
                RoundRule::Nesterov { rate, momentum }
            }
            _ => RoundRule::Mean,
        };
        let version = self.version_now();
        let order = MergeOrder::Round { version, divisor, samples, rule };
        actions.push(Action::Merge { lease: None, order });
        for lease in &arrived {
            if let Some(attempt) = self.leases.get_mut(*lease) {
                attempt.state = State::Merging(Some(self.version));
            }
        }
        self.dispatched.push_back((self.version, arrived));
        self.carry_stragglers(now);
        self.complete_epochs(actions);
        self.advance_round(now, actions);
    }

    /// Leases that were begun and are late open their units; others wait for the next round.
    fn carry_stragglers(&mut self, now: Timestamp) {
        for (lease, unit) in std::mem::take(&mut self.rounds.current.out) {
            let Some(attempt) = self.leases.get_mut(lease) else { continue };
            if attempt.state == State::Out && attempt.pulled.is_some() {
                self.expire(now, lease);
            } else {
                let (number, worker) = (self.rounds.next.number, attempt.worker);
                attempt.round = number;
                self.rounds.expect(now, number, lease, unit, worker);
            }
        }
    }

    /// Begins the next round and answers the pulls that waited for it.
    fn advance_round(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let after = Round::after(self.rounds.next.number);
        self.rounds.current = std::mem::replace(&mut self.rounds.next, after);
        self.rounds.current.began = now;
        self.rounds.close_at = None;
        self.stirred = true;
        let leases: Vec<LeaseId> = self.rounds.current.out.keys().copied().collect();
        for lease in leases {
            let Some(worker) = self.leases.get(lease).map(|attempt| attempt.worker) else {
                continue;
            };
            self.answer_waiting(now, worker, actions);
            self.start_clock(now, worker);
        }
    }
}
