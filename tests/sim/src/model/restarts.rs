//! Checkpoints, starts of the coordinator, and acts of whoever controls the run.

use engine::{End, EpochSummary, Event, State};

use super::{Expected, Model};
use crate::disk::Row;
use crate::failure::{Check, ensure, fail};

/// Checkpoints whose copies are kept: the one in the making, the newest, the one before.
const KEPT: usize = 4;

impl Model {
    /// Whoever controls the run does something.
    pub(super) fn expect_of_act(&mut self, event: &Event) -> Expected {
        match event {
            Event::Pause => {
                self.paused = self.paused.or((!self.finished).then_some(self.version));
            }
            Event::Resume => self.paused = None,
            Event::LearningRate { rate } => self.durable.rate = *rate,
            _ => {}
        }
        Expected::Anything
    }

    /// The engine has given its state: the same moment of the model.
    pub(crate) fn keep(&mut self, id: u64, state: &State) -> Check {
        let mut copy = self.durable.clone();
        let open: Vec<_> = self.open.iter().copied().collect();
        for lease in &open {
            let Some(known) = self.leases.get(lease) else { continue };
            let epoch = known.lease.epoch;
            if epoch < copy.complete {
                copy.after.released += 1;
            } else {
                copy.counts[epoch as usize].released += 1;
            }
        }
        std::mem::swap(&mut self.durable, &mut copy);
        let compared = self.compare_state(state);
        std::mem::swap(&mut self.durable, &mut copy);
        self.kept.insert(id, (copy, open, 0));
        while self.kept.len() > KEPT {
            self.kept.pop_first();
        }
        compared
    }

    /// The master has come to the same moment.
    pub(crate) fn keep_parameters(&mut self, id: u64, digest: u64) {
        let mut parameters = self.durable.parameters.clone();
        parameters.forget_round();
        if let Some((kept, _, kept_digest)) = self.kept.get_mut(&id) {
            kept.parameters = parameters;
            *kept_digest = digest;
        }
    }

    /// The coordinator has started, from this checkpoint or from nothing: I6.
    pub(crate) fn restarted(
        &mut self,
        incarnation: u32,
        from: Option<(u64, &State)>,
        rows: &[Row],
        digest: u64,
    ) -> Check {
        ensure!(incarnation > self.incarnation, "incarnations", "{incarnation} again");
        self.incarnation = incarnation;
        if let Some((id, state)) = from {
            let Some((durable, lost, kept)) = self.kept.get(&id) else {
                fail!("I5 checkpoints", "checkpoint {id} is too old");
            };
            ensure!(*kept == digest, "I6 restarts", "the master is not that of checkpoint {id}");
            let lost = lost.clone();
            self.durable = durable.clone();
            self.compare_state(state)?;
            let lost: u64 = lost.len() as u64;
            self.compare_rows(rows, lost)?;
        } else {
            self.durable = self.fresh.clone();
        }
        self.open.clear();
        self.units.clear();
        self.present.clear();
        self.paused = None;
        self.away.clear();
        self.version = 0;
        self.makers.clear();
        self.digests = vec![digest];
        self.accumulated.clear();
        self.undecided = 0;
        self.expected = Expected::Anything;
        self.finished = self.durable.complete == self.config.epochs;
        Ok(())
    }

    /// The rows of the ledger, added up, are what the checkpoint says.
    pub(crate) fn compare_rows(&self, rows: &[Row], lost: u64) -> Check {
        let mut sums = EpochSummary::default();
        let mut epochs = 0;
        for row in rows {
            match row {
                Row::Epoch { epoch, summary } => {
                    ensure!(*epoch == epochs, "I9 rows", "epoch {epoch} after {epochs} others");
                    self.compare(*epoch, summary)?;
                    epochs += 1;
                }
                Row::Lease { samples, end, .. } => match end {
                    End::Merged { .. } => {
                        sums.samples += samples;
                        sums.units += 1;
                    }
                    End::Rejected { dropped, .. } if *dropped => {
                        sums.re_leased += samples;
                    }
                    End::Rejected { .. } => {}
                    End::Released => sums.released += 1,
                },
            }
        }
        ensure!(epochs == self.durable.complete, "I9 rows", "{epochs} epochs in the ledger");
        let own = self.durable.counts.iter();
        let own: (u64, u64, u64) = own.fold((0, 0, 0), |sum, epoch| {
            (sum.0 + epoch.samples, sum.1 + epoch.released, sum.2 + epoch.dropped_samples())
        });
        // Those that were lost with earlier starts have no rows.
        let released = own.1 + self.durable.after.released;
        let fits = own.0 == sums.samples && own.2 == sums.re_leased;
        ensure!(fits, "I9 rows", "{} samples in the ledger, {} in the model", sums.samples, own.0);
        ensure!(sums.released + lost <= released, "I9 rows", "{} leases came back", sums.released);
        Ok(())
    }
}
