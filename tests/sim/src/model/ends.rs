//! How leases end, and what workers hear of it.

use engine::{End, WorkerKey};
use protocol::{LeaseId, Outcome, Reason};

use super::{DROPPED, MERGED, Model};
use crate::failure::{Check, ensure, fail};

impl Model {
    pub(super) fn ended(
        &mut self,
        worker: WorkerKey,
        id: LeaseId,
        (unit, in_epoch): (u64, bool),
        end: End,
    ) -> Check {
        let complete = self.durable.complete;
        let Some(known) = self.leases.get_mut(&id).filter(|known| known.worker == worker) else {
            fail!("I1 ends", "{id} ends, and {worker} never had it");
        };
        ensure!(known.end.is_none(), "I1 ends", "{id} ends twice: {:?}, {end:?}", known.end);
        known.end = Some(end);
        known.unit = unit;
        self.open.remove(&id);
        let epoch = known.lease.epoch;
        ensure!(in_epoch == (epoch >= complete), "I1 ends", "{id}: in_epoch is {in_epoch}");
        let (received, lease) = (known.received, known.lease.clone());
        let segments = self.units.entry(unit).or_insert_with(|| lease.segments.clone());
        ensure!(*segments == lease.segments, "I1 rows", "unit {unit} has other rows in {id}");
        let samples = lease.samples();
        let mark = match end {
            End::Merged { version, staleness, late } => {
                ensure!(received, "I1 ends", "{id} is merged and was never delivered");
                self.check_age(id, version, staleness)?;
                self.undecided += 1;
                let counts = self.counts(epoch);
                counts.samples += samples;
                counts.units += 1;
                counts.late += u64::from(late);
                Some(MERGED)
            }
            End::Rejected { reason, dropped } => {
                let counts = self.counts(epoch);
                match reason {
                    Reason::Duplicate => counts.duplicate += 1,
                    _ => *counts.rejected.entry(reason).or_default() += 1,
                }
                if dropped {
                    *counts.dropped.entry(reason).or_default() += samples;
                }
                dropped.then_some(DROPPED)
            }
            End::Released => {
                self.counts(epoch).released += 1;
                None
            }
        };
        let Some(mark) = mark else { return Ok(()) };
        for segment in &lease.segments {
            let place = self.place(segment);
            for row in &mut self.durable.rows[epoch as usize][place] {
                ensure!(*row == 0, "I1 rows", "a row of {id} counts twice, by {end:?}");
                *row = mark;
            }
        }
        Ok(())
    }

    pub(super) fn acknowledged(
        &mut self,
        worker: WorkerKey,
        id: LeaseId,
        outcome: Outcome,
    ) -> Check {
        if outcome == Outcome::Rejected(Reason::Fenced) {
            let earlier = id.incarnation != self.incarnation;
            ensure!(earlier, "I3 refusals", "{id} is fenced and of this start");
            return Ok(());
        }
        ensure!(
            id.incarnation == self.incarnation,
            "I3 refusals",
            "{id} is not fenced: {outcome:?}"
        );
        // Another's lease, or one that ended long ago: nothing is said of what became of it.
        if outcome == Outcome::Rejected(Reason::UnknownLease) {
            return Ok(());
        }
        let Some(known) = self.leases.get_mut(&id).filter(|known| known.worker == worker) else {
            fail!("outcomes", "{worker} hears of {id}, which it never had");
        };
        let agrees = match (outcome, known.end) {
            (Outcome::Merged(version), Some(End::Merged { version: said, .. })) => {
                version == said && (version.number as usize) < self.digests.len()
            }
            (Outcome::Rejected(reason), Some(End::Rejected { reason: said, .. })) => reason == said,
            _ => false,
        };
        ensure!(agrees, "outcomes", "{worker} hears {outcome:?} of {id}, which is {:?}", known.end);
        let before = known.acknowledged.replace(outcome);
        let same = before.is_none_or(|before| before == outcome);
        ensure!(same, "outcomes", "{id} is {before:?} and then {outcome:?}");
        Ok(())
    }
}
