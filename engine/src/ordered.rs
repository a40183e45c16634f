//! Deterministic rounds: who trains what, and in which order deltas come, leaves no trace.
//!
//! A round has as many units as the run has workers at its start, all of one size, cut in the
//! epoch's order. All of them are waited for; a lost one is leased again as it was cut. Their
//! deltas wait until the last one is here, and are added up in the order of the units.

use protocol::LeaseId;

use crate::event::Action;
use crate::issue::Choice;
use crate::leases::State;
use crate::machine::Engine;
use crate::merge::MergeOrder;
use crate::time::{Timestamp, WorkerKey};
use crate::words::{Frequency, Strategy};

impl Engine {
    /// A lost unit of the round, or the next one for who has none, or a copy for who is idle.
    pub(crate) fn choose_in_order(&mut self, now: Timestamp, worker: WorkerKey) -> Option<Choice> {
        let round = self.rounds.current.number;
        let idle = self.is_idle(worker);
        if let Some(unit) = self.open_unit(worker, false) {
            return Some(Choice { unit, round, backup: false });
        }
        // A second unit ahead of time would be taken from a worker that is about to ask for it.
        if (idle || !self.rounds.current.members.contains(&worker)) && !self.is_round_cut() {
            let epoch = match self.rounds.current.epoch {
                Some(epoch) => epoch,
                None => self.units.epoch_with_rows(&self.config)?,
            };
            let unit = self.cut(worker, epoch, self.ordered_size())?;
            self.rounds.current.epoch = Some(epoch);
            self.rounds.current.cut += 1;
            return Some(Choice { unit, round, backup: false });
        }
        let unit = idle.then(|| self.copy_for(now, worker)).flatten()?;
        Some(Choice { unit, round, backup: true })
    }

    /// Samples of each unit.
    pub(crate) fn ordered_size(&self) -> u64 {
        let batches = match self.config.frequency {
            Frequency::Batch => 1,
            Frequency::Steps(steps) => u64::from(steps),
            Frequency::Epoch | Frequency::Auto => {
                self.config.epoch_batches().div_ceil(u64::from(self.config.workers_min))
            }
        };
        batches * u64::from(self.config.batch_size)
    }

    /// The samples that a round is planned for; its last one in an epoch may have fewer.
    pub(crate) fn ordered_plan(&self, arrived: u64) -> u64 {
        if self.config.frequency.is_shared() {
            return arrived;
        }
        u64::from(self.config.workers_min) * self.ordered_size()
    }

    /// No more units belong to the running round.
    fn is_round_cut(&self) -> bool {
        self.rounds.current.cut >= self.config.workers_min || self.has_cut_its_epoch()
    }

    /// All units of the running round are here, or given up.
    pub(crate) fn is_round_complete(&self) -> bool {
        self.rounds.current.cut > 0 && self.is_round_cut() && self.units.iter().next().is_none()
    }

    /// The orders that add up the round's deltas.
    pub(crate) fn accumulate_in_order(&mut self, actions: &mut Vec<Action>) {
        let sum = self.strategy == Strategy::Sum;
        let mut arrived: Vec<(u64, LeaseId, u64)> = Vec::new();
        for lease in &self.rounds.current.arrived {
            if let Some(attempt) = self.leases.get(*lease)
                && attempt.state == State::Merging(None)
            {
                arrived.push((attempt.unit, *lease, attempt.samples));
            }
        }
        arrived.sort_unstable();
        for (_, lease, samples) in arrived {
            let weight = if sum { 1.0 } else { samples as f64 };
            let order = MergeOrder::Accumulate { weight, samples };
            actions.push(Action::Merge { lease: Some(lease), order });
        }
    }
}
