//! A worker after docs/PROTOCOL.md: it prefetches a lease, pulls late, trains on while it is alone,
//! and offers again what has no answer.

use protocol::limits::PENDING_MAX;
use protocol::{Lease, LeaseId, Outcome};

use crate::failure::{Check, ensure};
use crate::net::{Down, Up};
use crate::plan::{Kind, SECOND, WorkerPlan};
use crate::training::{add_pending, train};
use crate::world::{Due, World};

/// Own deltas that may be on their way before the next pull.
const PUSHES_MAX: usize = 4;
/// Part of a lease after which the next parameters are pulled.
const PULL_AT: f64 = 0.9;

/// The lease that trains next.
#[derive(Debug)]
struct Next {
    lease: Lease,
    pulled: bool,
    values: Option<Vec<f32>>,
}

#[derive(Debug)]
struct Training {
    lease: Lease,
    values: Vec<f32>,
    started: u64,
}

/// One worker, across its sessions.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) plan: WorkerPlan,
    /// Counts lives, so that timers of an earlier one are known.
    life: u64,
    alive: bool,
    conn: Option<u64>,
    assigned: bool,
    attempts: u32,
    requested: bool,
    next: Option<Next>,
    training: Option<Training>,
    pull_due: bool,
    /// Own deltas that no pulled version has contained.
    pending: Vec<(LeaseId, Vec<f32>)>,
    /// Own deltas without an answer.
    uploads: Vec<(LeaseId, Vec<f32>)>,
    last: Option<(LeaseId, Vec<f32>)>,
}

impl Worker {
    pub(crate) fn new(plan: WorkerPlan) -> Self {
        Self {
            plan,
            life: 0,
            alive: true,
            conn: None,
            assigned: false,
            attempts: 0,
            requested: false,
            next: None,
            training: None,
            pull_due: false,
            pending: Vec::new(),
            uploads: Vec::new(),
            last: None,
        }
    }

    pub(crate) fn conn(&self) -> Option<u64> {
        self.conn
    }

    /// Forgets everything; returns the number of the life that may follow.
    pub(crate) fn crash(&mut self) -> u64 {
        let life = self.life + 1;
        *self = Self { life, alive: false, ..Self::new(self.plan) };
        life
    }

    pub(crate) fn revive(&mut self, life: u64) -> bool {
        let now = self.life == life && !self.alive;
        self.alive |= now;
        now
    }

    fn leases(&self) -> Vec<LeaseId> {
        let training = self.training.iter().map(|training| training.lease.id);
        let next = self.next.iter().map(|next| next.lease.id);
        training.chain(next).chain(self.uploads.iter().map(|(lease, _)| *lease)).collect()
    }

    fn forget(&mut self, lease: LeaseId) {
        self.pending.retain(|(own, _)| *own != lease);
        self.next.take_if(|next| next.lease.id == lease);
        self.training.take_if(|training| training.lease.id == lease);
    }
}

impl World {
    pub(crate) fn connect(&mut self, index: usize, life: u64) {
        let worker = &mut self.workers[index];
        if worker.life != life || !worker.alive || worker.conn.is_some() {
            return;
        }
        worker.conn = Some(self.net.open(index));
        worker.assigned = false;
        let leases = worker.leases();
        self.send_up(index, Up::Hello { leases });
    }

    pub(crate) fn send_up(&mut self, index: usize, message: Up) {
        let Some(conn) = self.workers[index].conn else { return };
        let delay = self.delay(index);
        if let Some(time) = self.net.arrival(self.now, conn, true, delay) {
            self.at(time, Due::Up(conn, message));
        }
    }

    /// The worker notices that its connection is lost, and waits before it tries again.
    pub(crate) fn lost_below(&mut self, conn: u64) {
        let Some(index) = self.net.connections.get(&conn).map(|lost| lost.worker) else { return };
        self.net.close(conn, false);
        let worker = &mut self.workers[index];
        if worker.conn != Some(conn) {
            return;
        }
        worker.conn = None;
        worker.assigned = false;
        let longest = (SECOND / 2) << worker.attempts.min(6);
        worker.attempts += 1;
        let life = worker.life;
        let longest = longest.min(30 * SECOND);
        let time = self.dice.between(longest / 2, longest);
        self.after(time, Due::Connect(index, life));
    }

    pub(crate) fn arrive_below(&mut self, conn: u64, message: Down) -> Check {
        if !self.net.is_through(conn, false) {
            return Ok(());
        }
        let Some(index) = self.net.connections.get(&conn).map(|open| open.worker) else {
            return Ok(());
        };
        let worker = &mut self.workers[index];
        if worker.conn != Some(conn) {
            return Ok(());
        }
        match message {
            Down::Assign => {
                worker.assigned = true;
                worker.attempts = 0;
                worker.requested = false;
                if let Some(next) = worker.next.as_mut().filter(|next| next.values.is_none()) {
                    next.pulled = false;
                }
                let offers: Vec<LeaseId> = worker.uploads.iter().map(|(lease, _)| *lease).collect();
                for lease in offers {
                    self.send_up(index, Up::Offer { lease });
                }
            }
            Down::Lease(lease) => {
                let asked = worker.requested && worker.next.is_none();
                ensure!(asked, "requests", "worker {index} did not ask for {}", lease.id);
                worker.requested = false;
                worker.next = Some(Next { lease, pulled: false, values: None });
            }
            Down::Parameters { lease, contains, values } => {
                let waits = |next: &&mut Next| next.lease.id == lease && next.values.is_none();
                if let Some(next) = worker.next.as_mut().filter(waits) {
                    next.values = Some(values);
                    worker.pending.retain(|(own, _)| !contains.contains(own));
                }
            }
            Down::Grant { lease } => {
                let upload = worker.uploads.iter().find(|(own, _)| *own == lease);
                if let Some((_, values)) = upload {
                    let values = values.clone();
                    self.send_up(index, Up::Delta { lease, values });
                }
            }
            Down::Ack { lease, outcome } => {
                worker.uploads.retain(|(own, _)| *own != lease);
                if let Outcome::Rejected(_) = outcome {
                    worker.forget(lease);
                }
            }
        }
        self.advance(index);
        Ok(())
    }

    /// Does what has become possible: start, request, pull.
    fn advance(&mut self, index: usize) {
        self.begin(index);
        let worker = &mut self.workers[index];
        if !worker.assigned || worker.plan.kind == Kind::Silent && worker.next.is_some() {
            return;
        }
        let Some(next) = &mut worker.next else {
            if !worker.requested {
                worker.requested = true;
                self.send_up(index, Up::Request);
            }
            return;
        };
        let due = worker.training.is_none() || worker.pull_due;
        if !next.pulled && due && worker.uploads.len() < PUSHES_MAX {
            next.pulled = true;
            let lease = next.lease.id;
            let training = worker.training.iter().map(|training| training.lease.id);
            let pending = worker.pending.iter().map(|(own, _)| *own).chain(training);
            let pending = pending.take(PENDING_MAX).collect();
            self.send_up(index, Up::Pull { lease, pending });
        }
    }

    /// Starts the next lease if it can be trained.
    fn begin(&mut self, index: usize) {
        let now = self.now;
        let worker = &mut self.workers[index];
        if worker.training.is_some() {
            return;
        }
        let Some(Next { lease, values: Some(mut values), .. }) =
            worker.next.take_if(|next| next.values.is_some())
        else {
            return;
        };
        for (_, delta) in &worker.pending {
            add_pending(&self.table, &mut values, delta);
        }
        let (id, life) = (lease.id, worker.life);
        let time = (lease.samples() as f64 / worker.plan.rate * 1e6) as u64;
        worker.pull_due = false;
        worker.training = Some(Training { lease, values, started: now });
        self.after((time as f64 * PULL_AT) as u64, Due::PullNow(index, life));
        self.after(time, Due::Trained(index, life, id));
        if time > SECOND {
            self.after(SECOND, Due::Progress(index, life, id));
        }
    }

    pub(crate) fn pull_now(&mut self, index: usize, life: u64) {
        if self.workers[index].life == life {
            self.workers[index].pull_due = true;
            self.advance(index);
        }
    }

    pub(crate) fn progress(&mut self, index: usize, life: u64, lease: LeaseId) {
        let worker = &self.workers[index];
        let Some(training) = worker
            .training
            .as_ref()
            .filter(|training| worker.life == life && training.lease.id == lease)
        else {
            return;
        };
        let samples = (self.now - training.started) as f64 / 1e6 * worker.plan.rate;
        let steps = samples as u64 / u64::from(training.lease.batch_size);
        if worker.assigned {
            self.send_up(index, Up::Progress { lease, steps });
        }
        self.after(SECOND, Due::Progress(index, life, lease));
    }

    pub(crate) fn trained(&mut self, index: usize, life: u64, lease: LeaseId) {
        let worker = &mut self.workers[index];
        let ended = |training: &mut Training| worker.life == life && training.lease.id == lease;
        let Some(training) = worker.training.take_if(ended) else { return };
        let mut delta = train(&self.table, &training.values, &training.lease);
        match worker.plan.kind {
            Kind::NotFinite => delta[0] = f32::NAN,
            Kind::Huge => delta.iter_mut().for_each(|value| *value *= 1e6),
            Kind::Large => delta.iter_mut().for_each(|value| *value *= 9.0),
            Kind::Short => drop(delta.pop()),
            _ => worker.pending.push((lease, delta.clone())),
        }
        worker.last = Some((lease, delta.clone()));
        worker.uploads.push((lease, delta));
        if worker.assigned {
            self.send_up(index, Up::Offer { lease });
        }
        self.advance(index);
        if self.workers[index].plan.kind == Kind::Meddler {
            self.meddle(index, lease);
        }
    }

    /// Repeats itself, and speaks of leases that are not its own.
    fn meddle(&mut self, index: usize, lease: LeaseId) {
        if self.dice.chance(0.5) {
            self.replay(index);
        }
        let other = LeaseId { number: lease.number + self.dice.below(5), ..lease };
        let other = match self.dice.below(4) {
            0 => LeaseId { incarnation: lease.incarnation.saturating_sub(1), ..other },
            1 => LeaseId { incarnation: lease.incarnation + 1, ..other },
            _ => other,
        };
        if other == lease {
            return;
        }
        let message = match self.dice.below(5) {
            0 => Up::Offer { lease: other },
            // It might be a lease of its own that is on its way: that would be a delta like any other.
            1 if !self.plan.config.deterministic => {
                Up::Delta { lease: other, values: vec![1.0; self.table.elements()] }
            }
            2 => Up::Pull { lease: other, pending: vec![lease, other] },
            3 => Up::Progress { lease: other, steps: 1 },
            _ => Up::Release { lease: other },
        };
        // Nothing of this may be its own: an honest worker does not pull or give back twice.
        if !self.workers[index].leases().contains(&other) {
            self.send_up(index, message);
        }
    }

    /// Pushes the last delta again, asked or not.
    pub(crate) fn replay(&mut self, index: usize) {
        let worker = &self.workers[index];
        if let Some((lease, values)) = worker.last.clone().filter(|_| worker.assigned) {
            self.send_up(index, Up::Delta { lease, values });
        }
    }

    /// Gives the next lease back.
    pub(crate) fn release(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        if let Some(next) = worker.next.take_if(|_| worker.assigned) {
            self.send_up(index, Up::Release { lease: next.lease.id });
            self.advance(index);
        }
    }
}
