//! The data plane: one queue of orders for the master, each in its turn.

use engine::merge::norm_and_finite;
use engine::sabotage::Bug;
use engine::{Event, MergeOrder, WorkerKey};
use protocol::{LeaseId, Role, Version};

use crate::failure::{Check, ensure};
use crate::net::Down;
use crate::plan::MILLISECOND;
use crate::store::Storing;
use crate::training::digest;
use crate::world::{Due, World};

/// Something to do with the master, in order.
#[derive(Debug)]
pub(crate) enum Job {
    Merge { lease: Option<LeaseId>, order: MergeOrder },
    Snapshot { worker: WorkerKey, lease: LeaseId, version: Version, contains: Vec<LeaseId> },
    Checkpoint(Box<Storing>),
}

impl World {
    pub(crate) fn queue_job(&mut self, job: Job) {
        let Some(above) = &mut self.above else { return };
        above.queue.push_back(job);
        self.wake_plane();
    }

    fn wake_plane(&mut self) {
        let now = self.now;
        let Some(above) = &mut self.above else { return };
        if above.working || above.queue.is_empty() {
            return;
        }
        above.working = true;
        let stall = above.stalled.saturating_sub(now);
        let time = self.dice.between(10, MILLISECOND);
        self.after(stall + time, Due::Plane(self.starts));
    }

    pub(crate) fn work_plane(&mut self, start: u64) -> Check {
        let Some(above) = self.above.as_mut().filter(|_| start == self.starts) else {
            return Ok(());
        };
        above.working = false;
        let job = above.queue.pop_front();
        self.wake_plane();
        match job {
            None => Ok(()),
            Some(Job::Merge { lease, order }) => self.merge(lease, &order),
            Some(Job::Snapshot { worker, lease, version, contains }) => {
                self.snapshot(worker, lease, version, contains)
            }
            Some(Job::Checkpoint(storing)) => self.begin_storing(*storing),
        }
    }

    fn merge(&mut self, lease: Option<LeaseId>, order: &MergeOrder) -> Check {
        let Some(above) = &mut self.above else { return Ok(()) };
        let delta = match lease {
            None => Vec::new(),
            Some(lease) => {
                let delta = above.deltas.remove(&lease);
                ensure!(delta.is_some(), "I1 merges", "{lease} is merged and has no delta");
                delta.unwrap_or_default()
            }
        };
        let before = (above.master.values().to_vec(), above.master.momentum().to_vec());
        if self.plan.bug == Some(Bug::WrongSign) {
            let ranges = self.table.ranges().filter(|(tensor, _)| tensor.role == Role::Parameter);
            let mut wrong = delta.clone();
            for (_, range) in ranges.filter(|_| !delta.is_empty()) {
                wrong[range].iter_mut().for_each(|value| *value = -*value);
            }
            above.master.apply(order, &wrong);
        } else {
            above.master.apply(order, &delta);
        }
        above.digest = digest(above.master.values());
        let after = (above.master.values(), above.digest);
        self.model.applied(order, &delta, (&before.0, &before.1), after)?;
        let Some(version) = order.version() else {
            let same = digest(&before.0) == above.digest;
            ensure!(same, "I2 versions", "the master moved and its version did not");
            return Ok(());
        };
        above.previous = before.0;
        self.risen = self.now;
        self.tell(Event::Merged { version })
    }

    fn snapshot(
        &mut self,
        worker: WorkerKey,
        lease: LeaseId,
        version: Version,
        contains: Vec<LeaseId>,
    ) -> Check {
        let Some(above) = &self.above else { return Ok(()) };
        let stale = self.plan.bug == Some(Bug::StaleSnapshot);
        let values = if stale { above.previous.clone() } else { above.master.values().to_vec() };
        let right = self.model.digests.get(version.number as usize) == Some(&digest(&values));
        ensure!(right, "I10 snapshots", "{lease} gets other parameters than those of {version}");
        let newest = self.model.digests.len() as u64 == version.number + 1;
        ensure!(newest, "I10 snapshots", "{version} is sent out of turn");
        self.send_down(worker, Down::Parameters { lease, contains, values });
        Ok(())
    }

    pub(crate) fn screened(&mut self, start: u64, lease: LeaseId) -> Check {
        let Some(above) = self.above.as_ref().filter(|_| start == self.starts) else {
            return Ok(());
        };
        let delta = above.deltas.get(&lease).filter(|delta| delta.len() == self.table.elements());
        let (norm, finite) =
            delta.map_or((0.0, false), |delta| norm_and_finite(delta, &self.table));
        let length_ok = delta.is_some();
        self.tell(Event::DeltaScreened { lease, finite, length_ok, norm })
    }
}
