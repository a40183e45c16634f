//! The coordinator around the engine: sessions, grants, and how actions are carried out.

use std::collections::{BTreeMap, VecDeque};

use engine::{Action, Engine, Event, Master, Timestamp, WorkerKey};
use protocol::LeaseId;
use protocol::limits::{GRACE_MAX, LEASES_KEPT_MAX};

use crate::disk::Row;
use crate::failure::{Check, ensure};
use crate::model::Model;
use crate::net::{Down, Up};
use crate::plan::{MILLISECOND, SECOND};
use crate::plane::Job;
use crate::store::Storing;
use crate::world::{Due, World};

/// One worker's session; it outlives a lost connection for a while.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: WorkerKey,
    conn: Option<u64>,
    /// Counts losses, so that an old grace ends nothing.
    stamp: u64,
}

/// A coordinator that runs.
pub(crate) struct Above {
    pub(crate) engine: Engine,
    pub(crate) master: Master,
    /// Of the master's values, as the last order left them.
    pub(crate) digest: u64,
    /// The values of the version before.
    pub(crate) previous: Vec<f32>,
    pub(crate) sessions: BTreeMap<usize, Session>,
    workers: BTreeMap<WorkerKey, usize>,
    /// Leases that have not ended.
    holders: BTreeMap<LeaseId, WorkerKey>,
    /// Deltas that were received and not merged.
    pub(crate) deltas: BTreeMap<LeaseId, Vec<f32>>,
    staged: Option<(LeaseId, Vec<f32>)>,
    pub(crate) queue: VecDeque<Job>,
    pub(crate) working: bool,
    pub(crate) stalled: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) storing: Option<Storing>,
    /// A checkpoint is asked for and not finished.
    pub(crate) busy: bool,
    /// A checkpoint is wanted from this moment on.
    pub(crate) checkpoint_at: u64,
    pub(crate) finished: bool,
}

impl Above {
    pub(crate) fn new(engine: Engine, master: Master, digest: u64, checkpoint_at: u64) -> Self {
        Self {
            finished: engine.status().finished,
            previous: master.values().to_vec(),
            engine,
            master,
            digest,
            sessions: BTreeMap::new(),
            workers: BTreeMap::new(),
            holders: BTreeMap::new(),
            deltas: BTreeMap::new(),
            staged: None,
            queue: VecDeque::new(),
            working: false,
            stalled: 0,
            rows: Vec::new(),
            storing: None,
            busy: false,
            checkpoint_at,
        }
    }

    /// I7: what the engine remembers grows with workers and with what the shell holds, not with
    /// pushes.
    pub(crate) fn check_memory(&self, model: &Model) -> Check {
        let text = format!("{:?}", self.engine);
        let count = |word: &str| text.matches(word).count();
        let sessions = self.sessions.len();
        let under_way = self.deltas.len() + model.undecided + self.queue.len();
        let (attempts, outcomes) = (count("Attempt {"), count("Merged(Version"));
        ensure!(
            attempts <= 3 * sessions + under_way,
            "I7 memory",
            "{attempts} leases, {sessions} sessions, {under_way} deltas"
        );
        ensure!(outcomes <= 8 * sessions, "I7 memory", "{outcomes} outcomes, {sessions} sessions");
        let held = self.engine.status().workers.iter().map(|w| w.leases_out).max();
        ensure!(held.unwrap_or(0) <= 3, "I7 memory", "a worker holds {held:?} leases");
        Ok(())
    }
}

impl World {
    /// A message from a worker arrives.
    pub(crate) fn arrive_above(&mut self, conn: u64, message: Up) -> Check {
        if !self.net.is_through(conn, true) {
            return Ok(());
        }
        let Some(worker) = self.net.connections.get(&conn).map(|open| open.worker) else {
            return Ok(());
        };
        let Some(above) = &mut self.above else {
            self.hang_up(conn);
            return Ok(());
        };
        if let Up::Hello { leases } = message {
            return self.hello(worker, conn, leases);
        }
        let session = above.sessions.get(&worker).filter(|session| session.conn == Some(conn));
        let Some(key) = session.map(|session| session.key) else { return Ok(()) };
        match message {
            Up::Hello { .. } => Ok(()),
            Up::Request => self.tell(Event::LeaseRequested { worker: key }),
            Up::Pull { lease, pending } => self.tell(Event::Pulled { worker: key, lease, pending }),
            Up::Progress { lease, steps } => {
                self.tell(Event::Progress { worker: key, lease, steps })
            }
            Up::Release { lease } => self.tell(Event::LeaseReleased { worker: key, lease }),
            Up::Offer { lease } => {
                if above.holders.get(&lease) != Some(&key) {
                    // Settled, fenced or never this worker's: the engine knows the answer.
                    return self.tell(Event::DeltaReceived { worker: key, lease });
                }
                // What is here already is answered by its outcome.
                if !above.deltas.contains_key(&lease) {
                    self.send_down(key, Down::Grant { lease });
                }
                Ok(())
            }
            Up::Delta { lease, values } => {
                above.staged = Some((lease, values));
                self.tell(Event::DeltaReceived { worker: key, lease })
            }
            Up::Bye => {
                above.sessions.remove(&worker);
                self.hang_up(conn);
                self.tell(Event::WorkerLeft { worker: key })
            }
        }
    }

    fn hello(&mut self, worker: usize, conn: u64, mut leases: Vec<LeaseId>) -> Check {
        leases.truncate(LEASES_KEPT_MAX);
        let Some(above) = &mut self.above else { return Ok(()) };
        let Some(session) = above.sessions.get_mut(&worker) else {
            self.sessions += 1;
            let key = WorkerKey(self.sessions);
            above.sessions.insert(worker, Session { key, conn: Some(conn), stamp: 0 });
            above.workers.insert(key, worker);
            self.send_down(key, Down::Assign);
            self.tell(Event::WorkerJoined { worker: key })?;
            if leases.is_empty() {
                return Ok(());
            }
            return self.tell(Event::WorkerReturned { worker: key, leases });
        };
        let (key, old) = (session.key, session.conn.replace(conn));
        session.stamp += 1;
        if let Some(old) = old {
            self.hang_up(old);
            self.tell(Event::WorkerDetached { worker: key })?;
        }
        self.send_down(key, Down::Assign);
        self.tell(Event::WorkerReturned { worker: key, leases })
    }

    /// The coordinator closes a connection; the worker hears of it.
    fn hang_up(&mut self, conn: u64) {
        self.net.close(conn, true);
        let time = self.dice.below(SECOND);
        self.after(time, Due::LostBelow(conn));
    }

    pub(crate) fn lost_above(&mut self, conn: u64) -> Check {
        let Some(worker) = self.net.connections.get(&conn).map(|lost| lost.worker) else {
            return Ok(());
        };
        self.net.close(conn, true);
        let Some(above) = &mut self.above else { return Ok(()) };
        let Some(session) =
            above.sessions.get_mut(&worker).filter(|session| session.conn == Some(conn))
        else {
            return Ok(());
        };
        session.conn = None;
        session.stamp += 1;
        let (key, stamp) = (session.key, session.stamp);
        self.tell(Event::WorkerDetached { worker: key })?;
        let Some(above) = &self.above else { return Ok(()) };
        let latest = Timestamp(self.now).plus(GRACE_MAX.as_micros() as u64);
        let until = above.engine.leases_until(key).unwrap_or(Timestamp(self.now)).min(latest);
        self.at(until.0, Due::Grace(worker, stamp));
        Ok(())
    }

    pub(crate) fn grace_over(&mut self, worker: usize, stamp: u64) -> Check {
        let Some(above) = &mut self.above else { return Ok(()) };
        let lost = |session: &&Session| session.conn.is_none() && session.stamp == stamp;
        let Some(key) = above.sessions.get(&worker).filter(lost).map(|session| session.key) else {
            return Ok(());
        };
        above.sessions.remove(&worker);
        above.workers.remove(&key);
        self.tell(Event::WorkerLeft { worker: key })
    }

    /// Sends to a session, if its connection stands as far as the coordinator knows.
    pub(crate) fn send_down(&mut self, key: WorkerKey, message: Down) {
        let Some(above) = &self.above else { return };
        let Some(worker) = above.workers.get(&key) else { return };
        let session = above.sessions.get(worker).filter(|session| session.key == key);
        let Some(conn) = session.and_then(|session| session.conn) else { return };
        let delay = self.delay(*worker);
        if let Some(time) = self.net.arrival(self.now, conn, false, delay) {
            self.at(time, Due::Down(conn, message));
        }
    }

    /// How long a message takes, this time.
    pub(crate) fn delay(&mut self, worker: usize) -> u64 {
        let latency = self.plan.fleet[worker].latency;
        let usual = latency + self.dice.below(latency + 1);
        if self.dice.chance(0.02) { (10 * usual).min(usual + 2 * SECOND) } else { usual }
    }

    /// Carries out what the engine wants.
    pub(crate) fn act(&mut self, action: Action) -> Check {
        let Some(above) = &mut self.above else { return Ok(()) };
        match action {
            Action::Lease { worker, lease } => {
                above.holders.insert(lease.id, worker);
                self.send_down(worker, Down::Lease(lease));
            }
            Action::Snapshot { worker, lease, version, contains } => {
                self.queue_job(Job::Snapshot { worker, lease, version, contains });
            }
            Action::Merge { lease, order } => self.queue_job(Job::Merge { lease, order }),
            Action::Screen { lease } => {
                if let Some((staged, values)) = above.staged.take()
                    && staged == lease
                {
                    above.deltas.insert(lease, values);
                }
                let time = self.dice.below(5 * MILLISECOND);
                self.after(time, Due::Screened(self.starts, lease));
            }
            Action::Acknowledge { worker, lease, outcome } => {
                self.send_down(worker, Down::Ack { lease, outcome });
            }
            Action::LeaseEnded { lease, in_epoch, end, .. } => {
                above.holders.remove(&lease);
                if !matches!(end, engine::End::Merged { .. }) {
                    above.deltas.remove(&lease);
                }
                let known = self.model.lease(lease);
                let (epoch, samples) = known.map_or((0, 0), |lease| (lease.epoch, lease.samples()));
                above.rows.push(Row::Lease { lease, epoch, samples, in_epoch, end });
            }
            Action::EpochComplete { epoch, summary, .. } => {
                above.rows.push(Row::Epoch { epoch, summary });
                above.checkpoint_at = self.now;
            }
            Action::Finished { .. } => {
                above.finished = true;
                above.checkpoint_at = self.now;
            }
        }
        Ok(())
    }
}
