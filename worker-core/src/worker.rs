//! The lease loop of one worker, as a state machine without IO, clock or threads.
//!
//! - While a lease trains, the next one is asked for and its shards are fetched.
//! - Parameters are pulled late: about one measured transfer time before the current lease ends.
//!   Early ones would be stale by a whole lease.
//! - A trained lease's delta is offered, and uploaded when granted, while the next lease trains.
//! - Own deltas that a pulled version lacks are added to it ([`crate::pending`]).
//!
//! The shell calls [`Worker::handle`] for everything that happens and carries out what it answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::buffers::Buffers;
use protocol::chunk::{self, Assembly};
use protocol::message::bounded_text;
use protocol::shard::Shard;
use protocol::{
    Assignment, Checksum, Digest, Hello, Lease, LeaseId, Outcome, Reason, ToCoordinator, ToWorker,
    frame,
};

use crate::event::{Input, Output, Profile, Stop};
use crate::samples::Rows;
use crate::session::{Download, Emit, Next, Session, Upload, broken, send};
use crate::trainer::{Job, Trained};

/// Least time between two progress messages: a lease's deadline needs no finer news.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// How long a pull is thought to take before one was measured.
const PULL_TIME_FIRST: Duration = Duration::from_millis(10);

/// Timers go off late, by about this much.
const TIMER_SLACK: Duration = Duration::from_millis(1);

/// A pull is sent this many measured pull times ahead, since both times vary.
const PULL_LEAD: f64 = 1.5;

/// One worker: one training thread and at most one session.
#[derive(Debug)]
pub struct Worker {
    profile: Profile,
    shards: HashMap<Digest, Arc<Shard>>,
    /// What the trainer was built for, or is being built for.
    prepared: Option<Arc<Assignment>>,
    ready: bool,
    /// The trainer's job; may outlive its session, and is then cancelled.
    training: Option<Training>,
    seconds_per_step: Option<f64>,
    pull_time: Duration,
    /// The memory of parameters.
    buffers: Buffers,
    session: Option<Session>,
}

#[derive(Debug)]
struct Training {
    lease: LeaseId,
    cancelled: Arc<AtomicBool>,
    started: Duration,
    steps_total: u64,
    /// Time and number of the last step that was heard of.
    last_step: (Duration, u64),
    progress_sent: Duration,
}

impl Worker {
    /// A worker without a session.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            shards: HashMap::new(),
            prepared: None,
            ready: false,
            training: None,
            seconds_per_step: None,
            pull_time: PULL_TIME_FIRST,
            buffers: Buffers::default(),
            session: None,
        }
    }

    /// What is said of the worker from the next session on.
    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// When [`Input::Timer`] is due, if ever: the time of the late pull.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let session = self.session.as_ref()?;
        // What else a pull waits for tells of itself.
        let next = session.next.as_ref()?;
        let waits = session.assigned && next.pulled.is_none() && session.may_pull();
        self.pull_at().filter(|at| waits && self.ready && *at < Duration::MAX)
    }

    /// Takes in what happened at `now` (time since any fixed moment) and emits what is to be done.
    pub fn handle(&mut self, now: Duration, input: Input, emit: Emit<'_>) {
        let done = match input {
            Input::Connected => {
                self.open(emit);
                Ok(())
            }
            Input::Disconnected => {
                self.detach();
                Ok(())
            }
            Input::Frame(bytes) => self.receive(now, &bytes, emit),
            Input::Shard { digest, bytes } => self.store(digest, bytes),
            Input::Prepared(result) => {
                self.ready = result.is_ok();
                result.map_err(Stop::Unable)
            }
            Input::Step { lease, steps } => {
                self.step(now, lease, steps, emit);
                Ok(())
            }
            Input::Trained(result) => self.trained(now, result, emit),
            Input::Timer => Ok(()),
        };
        match done.and_then(|()| self.advance(now, emit)) {
            Ok(()) => {}
            Err(stop) => {
                match &stop {
                    Stop::Unable(reason) if self.session.is_some() => {
                        send(emit, &ToCoordinator::Bye { reason: bounded_text(reason) });
                    }
                    // The next run starts with a fresh model and optimizer, even if it looks alike.
                    Stop::Ended(_) => {
                        self.prepared = None;
                        self.ready = false;
                    }
                    _ => {}
                }
                if let Stop::Broken(_) | Stop::Restarting(_) = stop {
                    self.detach();
                } else {
                    self.close();
                }
                emit(Output::Stop(stop));
            }
        }
    }

    /// A connection is open: the session goes on with what it has, or begins.
    fn open(&mut self, emit: Emit<'_>) {
        let training = self.training_lease();
        let session = self.session.get_or_insert_default();
        session.detach();
        let leases = session.leases(training);
        let profile = &self.profile;
        let hello = ToCoordinator::Hello(Hello {
            token: profile.token.clone(),
            identity: profile.identity,
            slot: profile.slot,
            name: bounded_text(&profile.name),
            device: profile.device,
            device_name: bounded_text(&profile.device_name),
            threads: profile.threads,
            software: bounded_text(&profile.software),
            leases,
        });
        send(emit, &hello);
    }

    /// The connection is lost. What is in training is trained on: the worker may be back in time.
    fn detach(&mut self) {
        if let Some(session) = &mut self.session {
            session.detach();
        }
    }

    /// The session is over, and all of it is void.
    fn close(&mut self) {
        self.session = None;
        if let Some(training) = &self.training {
            training.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// The lease in training, unless it is void.
    fn training_lease(&self) -> Option<LeaseId> {
        let training = self.training.as_ref()?;
        (!training.cancelled.load(Ordering::Relaxed)).then_some(training.lease)
    }

    fn receive(&mut self, now: Duration, bytes: &Bytes, emit: Emit<'_>) -> Result<(), Stop> {
        let (message, payload) = frame::decode::<ToWorker>(bytes).map_err(broken)?;
        let Some(session) = &mut self.session else { return Ok(()) };
        match message {
            ToWorker::Welcome { .. } | ToWorker::Alive => Ok(()),
            ToWorker::Refused { reason, retry } => Err(Stop::Refused { reason, retry }),
            ToWorker::Ended { reason, .. } => Err(Stop::Ended(reason)),
            ToWorker::Restarting { reconnect_in_ms } => {
                Err(Stop::Restarting(Duration::from_millis(reconnect_in_ms.into())))
            }
            ToWorker::Assign(assignment) => {
                self.assign(Arc::new(assignment), emit);
                Ok(())
            }
            ToWorker::Lease(lease) => session.accept(lease),
            ToWorker::Parameters { lease, contains, transfer, total, checksum, .. } => {
                let assignment = session.assignment()?;
                let limit = assignment.download.bytes(&assignment.table) as u64;
                let progress = Assembly::start(&self.buffers, transfer, total, limit, payload)
                    .map_err(broken)?;
                self.download(now, Download { lease, contains, checksum }, progress)
            }
            ToWorker::Chunk { transfer, offset } => {
                let (download, assembly) = session
                    .download
                    .take()
                    .ok_or_else(|| Stop::Broken("a chunk of no transfer came".to_owned()))?;
                let progress = assembly.push(transfer, offset, &payload).map_err(broken)?;
                self.download(now, download, progress)
            }
            ToWorker::Grant { lease } => session.upload(lease, emit),
            ToWorker::Ack { lease, outcome } => {
                let settled = session.uploads.extract_if(.., |upload| upload.lease == lease).next();
                if let Some(Upload { report, .. }) = settled {
                    emit(Output::Settled { samples: report.samples, outcome });
                }
                if let Outcome::Rejected(reason) = outcome {
                    session.pending.forget(lease);
                    // The next lease may have ended before its parameters were pulled.
                    session.next.take_if(|next| next.lease.id == lease);
                    // One of an earlier connection may be void.
                    if let Some(training) = self.training.as_ref().filter(|own| own.lease == lease)
                    {
                        training.cancelled.store(true, Ordering::Relaxed);
                    }
                    let reason = reason.name();
                    if matches!(outcome, Outcome::Rejected(Reason::Duplicate | Reason::Ended)) {
                        // As planned: idle workers train copies of leases that are out.
                        tracing::debug!("the delta of {lease} was not needed: {reason}");
                    } else {
                        tracing::warn!("the delta of {lease} was refused: {reason}");
                    }
                }
                Ok(())
            }
        }
    }

    fn assign(&mut self, assignment: Arc<Assignment>, emit: Emit<'_>) {
        if let Some(session) = &mut self.session
            && session.assignment.as_ref() == Some(&assignment)
        {
            session.go_on(emit);
            return;
        }
        let wanted: HashSet<_> = assignment.shards.iter().map(|shard| shard.digest).collect();
        self.shards.retain(|digest, _| wanted.contains(digest));
        if let Some(training) = &self.training {
            training.cancelled.store(true, Ordering::Relaxed);
        }
        if self.prepared.as_ref() != Some(&assignment) {
            self.prepared = Some(assignment.clone());
            self.ready = false;
            self.seconds_per_step = None;
            emit(Output::Prepare(assignment.clone()));
        }
        self.session =
            Some(Session { assignment: Some(assignment), assigned: true, ..Session::default() });
    }

    fn store(&mut self, digest: Digest, bytes: Result<Bytes, String>) -> Result<(), Stop> {
        if let Some(session) = &mut self.session {
            session.fetching.remove(&digest);
        }
        let bytes = match bytes {
            Ok(bytes) => bytes,
            // It was asked for through a connection that is lost.
            Err(_) if !self.is_connected() => return Ok(()),
            Err(error) => return Err(Stop::Broken(format!("shard {digest}: {error}"))),
        };
        if Digest::of(&bytes) != digest {
            return Err(Stop::Broken(format!("shard {digest} came with other content")));
        }
        let shard = Shard::decode(&bytes).map_err(broken)?;
        self.shards.insert(digest, Arc::new(shard));
        Ok(())
    }

    fn download(
        &mut self,
        now: Duration,
        download: Download,
        progress: chunk::Progress,
    ) -> Result<(), Stop> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let payload = match progress {
            chunk::Progress::Partial(assembly) => {
                session.download = Some((download, assembly));
                return Ok(());
            }
            chunk::Progress::Complete(payload) => payload,
        };
        if Checksum::of(&payload) != download.checksum {
            return Err(Stop::Broken("parameters came with another checksum".to_owned()));
        }
        let assignment = session.assignment()?;
        let mut values = Vec::new();
        assignment.download.decode(&assignment.table, &payload, &mut values).map_err(broken)?;
        let Some(next) = session.next.as_mut().filter(|next| next.lease.id == download.lease)
        else {
            return Ok(());
        };
        let Some(pulled) = next.pulled.filter(|_| next.parameters.is_none()) else {
            return Err(Stop::Broken("parameters came that were not pulled".to_owned()));
        };
        next.parameters = Some(values);
        for lease in download.contains {
            session.pending.forget(lease);
        }
        // Half of the old measure and half of the new one follows a changing link.
        self.pull_time = (self.pull_time + now.saturating_sub(pulled)) / 2;
        Ok(())
    }

    fn step(&mut self, now: Duration, lease: LeaseId, steps: u64, emit: Emit<'_>) {
        let connected = self.is_connected();
        let Some(training) = self.training.as_mut().filter(|training| training.lease == lease)
        else {
            return;
        };
        training.last_step = (now, steps);
        if steps > 0 {
            let elapsed = now.saturating_sub(training.started).as_secs_f64();
            self.seconds_per_step = Some(elapsed / steps as f64);
        }
        let due = now.saturating_sub(training.progress_sent) >= PROGRESS_INTERVAL;
        if due && connected && !training.cancelled.load(Ordering::Relaxed) {
            training.progress_sent = now;
            send(emit, &ToCoordinator::Progress { lease, steps });
        }
    }

    fn trained(
        &mut self,
        now: Duration,
        result: Result<Option<Trained>, String>,
        emit: Emit<'_>,
    ) -> Result<(), Stop> {
        let training = self.training.take();
        let trained = result.map_err(Stop::Unable)?;
        let (Some(training), Some(trained), Some(session)) =
            (training, trained, self.session.as_mut())
        else {
            return Ok(());
        };
        if training.cancelled.load(Ordering::Relaxed) {
            return Ok(());
        }
        let elapsed = now.saturating_sub(training.started);
        self.seconds_per_step = Some(elapsed.as_secs_f64() / training.steps_total.max(1) as f64);
        let Trained { lease, delta, mut report } = trained;
        report.busy_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let assignment = session.assignment()?;
        // A delta that is not finite is pushed all the same: its refusal is counted.
        let finite = delta.iter().all(|value| value.is_finite());
        let payload = if finite {
            session.pending.push(lease, delta);
            // The next lease starts before this delta is encoded: training must not wait for it.
            self.start(now, emit);
            let Some(session) = &self.session else { return Ok(()) };
            let delta = session.pending.get(lease).unwrap_or_default();
            assignment.upload.encode(&assignment.table, delta)
        } else {
            assignment.upload.encode(&assignment.table, &delta)
        };
        if let Some(session) = &mut self.session {
            session.offer(Upload { lease, payload: payload.into(), report }, emit);
        }
        Ok(())
    }

    /// Does what has become possible: request, fetch, pull, start.
    fn advance(&mut self, now: Duration, emit: Emit<'_>) -> Result<(), Stop> {
        if !self.ready {
            return Ok(());
        }
        self.start(now, emit);
        let pull_due = self.pull_at().is_none_or(|at| at <= now);
        let training = self.training_lease();
        let Some(session) = self.session.as_mut().filter(|session| session.assigned) else {
            return Ok(());
        };
        let Some(assignment) = session.assignment.clone() else { return Ok(()) };
        let may_pull = session.may_pull();
        let Some(next) = &mut session.next else {
            if !session.lease_requested {
                session.lease_requested = true;
                send(emit, &ToCoordinator::LeaseRequest { run: assignment.run });
            }
            return Ok(());
        };
        if next.rows.is_none() {
            next.rows = resolve(&next.lease, &assignment, &self.shards, |digest| {
                if session.fetching.insert(digest) {
                    emit(Output::Fetch(digest));
                }
            })?;
        }
        if next.pulled.is_none() && pull_due && may_pull && session.fetching.is_empty() {
            next.pulled = Some(now);
            // The lease in training will be pushed before these parameters are used.
            let pending = session.pending.leases().chain(training).collect();
            send(emit, &ToCoordinator::Pull { lease: next.lease.id, pending });
        }
        Ok(())
    }

    fn is_connected(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.assigned)
    }

    /// When the next lease's parameters are to be pulled; `None` is at once.
    fn pull_at(&self) -> Option<Duration> {
        let training = self.training.as_ref()?;
        let (at, steps) = training.last_step;
        let remaining = training.steps_total.saturating_sub(steps) as f64;
        // Before the first step of the first lease nothing is known: look again at that step.
        let Some(per_step) = self.seconds_per_step else { return Some(Duration::MAX) };
        let end = at + Duration::from_secs_f64(remaining * per_step);
        Some(end.saturating_sub(self.pull_time.mul_f64(PULL_LEAD) + TIMER_SLACK))
    }

    /// Starts the next lease when the trainer is free and everything is there.
    fn start(&mut self, now: Duration, emit: Emit<'_>) {
        if self.training.is_some() || !self.ready {
            return;
        }
        let Some(session) = &mut self.session else { return };
        let there = |next: &mut Next| next.parameters.is_some() && next.rows.is_some();
        let Some(next) = session.next.take_if(there) else { return };
        let (
            Next { lease, parameters: Some(mut parameters), rows: Some(rows), .. },
            Some(assignment),
        ) = (next, session.assignment.clone())
        else {
            return;
        };
        session.pending.add_to(&assignment.table, &mut parameters);
        let cancelled = Arc::new(AtomicBool::new(false));
        self.training = Some(Training {
            lease: lease.id,
            cancelled: cancelled.clone(),
            started: now,
            steps_total: lease.steps(),
            last_step: (now, 0),
            progress_sent: now,
        });
        emit(Output::Train(Box::new(Job { lease, parameters, rows, cancelled })));
    }
}

/// The rows of a lease, or `None` while shards are missing, which `fetch` is told of.
fn resolve(
    lease: &Lease,
    assignment: &Assignment,
    shards: &HashMap<Digest, Arc<Shard>>,
    mut fetch: impl FnMut(Digest),
) -> Result<Option<Rows>, Stop> {
    let mut present = Vec::with_capacity(lease.segments.len());
    for segment in &lease.segments {
        let digest = assignment.shards[segment.shard as usize].digest;
        match shards.get(&digest) {
            Some(shard) => present.push(shard.clone()),
            None => fetch(digest),
        }
    }
    if present.len() < lease.segments.len() {
        return Ok(None);
    }
    Rows::new(lease, assignment.seed, present).map(Some).map_err(broken)
}
