//! The task that owns the engine: it tells the engine what happened and carries out what it says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Action, Engine, Event, Status, Timestamp, WorkerKey};
use protocol::message::bounded_text;
use protocol::{Hello, Identity, LeaseId, Outcome, Reason, Report, RunId, ToCoordinator, ToWorker};
use tokio::sync::mpsc;

use super::board::Board;
use super::ending::Ending;
use super::evaluation::EpochRecord;
use super::grants::Grants;
use super::pulls::Pulls;
use super::tally::{Tally, printable};
use super::{ControlEvent, DataCommand, Outgoing};

/// How long a run without any worker waits for those from elsewhere to come back.
const RETURN_TIME: Duration = Duration::from_secs(30);

/// Least time between two looks at the run for people.
const DISPLAY_INTERVAL: Duration = Duration::from_millis(100);

/// What people may be shown while a run goes on.
pub trait Display: Send {
    /// A sentence about something that happened.
    fn say(&mut self, line: &str);
    /// An epoch was evaluated.
    fn epoch(&mut self, record: &EpochRecord, epochs: u32);
    /// How the run stands.
    fn status(&mut self, status: &Status, tally: &Tally);
}

/// The control task's state.
pub struct Control {
    engine: Engine,
    run: RunId,
    data: std_mpsc::Sender<DataCommand>,
    display: Box<dyn Display>,
    board: Arc<Board>,
    sessions: HashMap<WorkerKey, Session>,
    tally: Tally,
    started: Instant,
    displayed: Instant,
    /// When what happened since then is to be shown.
    show_at: Option<Instant>,
    /// Deltas that arrived and are not with the data plane yet.
    received: HashMap<LeaseId, (WorkerKey, Bytes)>,
    /// Deltas with the data plane, with whose they are and their samples.
    held: HashMap<LeaseId, (WorkerKey, u64)>,
    /// The leases that are out.
    leased: HashMap<LeaseId, Leased>,
    grants: Grants,
    pulls: Pulls,
    evaluations_due: u32,
    /// Local worker processes at the start.
    local_workers: usize,
    /// Local worker processes that still run; none before the first one ended.
    processes: Option<usize>,
    /// When a run without any worker is given up.
    deserted_at: Option<Instant>,
    /// How the last local worker failed.
    last_failure: Option<String>,
    /// Events that wait while actions are carried out.
    untold: VecDeque<Event>,
    telling: bool,
    ending: Option<Ending>,
    finished: bool,
}

struct Session {
    identity: (Identity, u16),
    outgoing: mpsc::Sender<Outgoing>,
    ready: bool,
}

/// What is known of a lease that is out.
struct Leased {
    worker: WorkerKey,
    epoch: u32,
    samples: u64,
}

impl Control {
    /// A control task for a run. `model_bytes` is the encoded size of a delta, `local_workers` the
    /// number of worker processes that the coordinator starts itself.
    #[must_use]
    pub fn new(
        engine: Engine,
        run: RunId,
        data: std_mpsc::Sender<DataCommand>,
        model_bytes: u64,
        local_workers: usize,
        display: Box<dyn Display>,
        board: Arc<Board>,
    ) -> Self {
        let now = Instant::now();
        Self {
            engine,
            run,
            data,
            display,
            board,
            sessions: HashMap::new(),
            tally: Tally::default(),
            started: now,
            displayed: now,
            show_at: None,
            received: HashMap::new(),
            held: HashMap::new(),
            leased: HashMap::new(),
            grants: Grants::new(model_bytes),
            pulls: Pulls::new(model_bytes),
            evaluations_due: 0,
            local_workers,
            processes: None,
            deserted_at: None,
            last_failure: None,
            untold: VecDeque::new(),
            telling: false,
            ending: None,
            finished: false,
        }
    }

    /// Runs until every sample is counted, every delta answered and every epoch evaluated, or the run
    /// is stopped.
    pub async fn run(
        mut self,
        mut events: mpsc::Receiver<ControlEvent>,
    ) -> (Ending, Tally, Status) {
        // A run that waits for its first worker has no event that would show it.
        self.publish();
        while !self.finished || self.evaluations_due > 0 || !self.held.is_empty() {
            let wake = self.engine.wake_at().map(|at| self.started + Duration::from_micros(at.0));
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => self.take(event),
                    None => break,
                },
                () = self.pulls.ready(Instant::now()) => {}
                () = sleep_until(wake) => self.tell(Event::Tick),
                () = sleep_until(self.deserted_at) => self.check_deserted(),
                () = sleep_until(self.show_at) => {}
            }
            self.pull();
            self.show();
        }
        let status = self.engine.status();
        (self.ending.unwrap_or(Ending::Complete), self.tally, status)
    }

    fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Tells the engine, and carries out what it says before anything else is told: carrying out
    /// may itself cause events, and the data plane must get all orders in the engine's order.
    fn tell(&mut self, event: Event) {
        self.untold.push_back(event);
        if std::mem::replace(&mut self.telling, true) {
            return;
        }
        while let Some(event) = self.untold.pop_front() {
            let now = self.now();
            for action in self.engine.handle(now, event) {
                self.carry_out(action);
            }
        }
        self.telling = false;
    }

    fn take(&mut self, event: ControlEvent) {
        match event {
            ControlEvent::Joined { worker, hello, outgoing } => {
                self.joined(worker, &hello, outgoing);
            }
            ControlEvent::Left { worker, reason } => self.left(worker, &reason),
            ControlEvent::Message { worker, message } => self.message(worker, message),
            ControlEvent::Delta { worker, lease, report, payload } => {
                self.delta(worker, lease, &report, payload);
            }
            ControlEvent::Screened { lease, finite, length_ok, norm } => {
                // Only now: until it was decoded, the upload held memory.
                self.release(lease);
                self.tell(Event::DeltaScreened { lease, finite, length_ok, norm });
            }
            ControlEvent::Merged(version) => self.tell(Event::Merged { version }),
            ControlEvent::Evaluated(record) => {
                self.evaluations_due = self.evaluations_due.saturating_sub(1);
                let epochs = self.engine.status().epochs;
                self.display.epoch(&record, epochs);
                self.board.epoch(&record);
            }
            ControlEvent::ProcessEnded { name, failure, left } => {
                self.process_ended(&name, failure, left);
            }
            ControlEvent::Interrupted => self.stop(Ending::Interrupted),
            ControlEvent::Failed => self.fail(),
        }
    }

    fn joined(&mut self, worker: WorkerKey, hello: &Hello, outgoing: mpsc::Sender<Outgoing>) {
        let identity = (hello.identity, hello.slot);
        let older = self.sessions.iter().find(|(_, session)| session.identity == identity);
        let older = older.map(|(key, _)| *key);
        self.tally.joined(worker, hello);
        self.sessions.insert(worker, Session { identity, outgoing, ready: false });
        self.deserted_at = None;
        if let Some(older) = older {
            // Dropping its queue ends the older session.
            self.left(older, "the same worker opened another session");
        }
        if self.finished {
            self.send(worker, self.ended());
        }
    }

    fn left(&mut self, worker: WorkerKey, reason: &str) {
        let Some(session) = self.sessions.remove(&worker) else { return };
        if session.ready && !self.finished {
            let reason = printable(reason);
            self.display.say(&format!("{} left: {reason}", self.tally.name(worker)));
        }
        self.grants.forget(worker);
        self.pulls.forget(worker);
        self.leased.retain(|_, leased| leased.worker != worker);
        if session.ready {
            self.tell(Event::WorkerLeft { worker });
        }
        self.grant();
        self.check_deserted();
    }

    fn message(&mut self, worker: WorkerKey, message: ToCoordinator) {
        let Some(session) = self.sessions.get_mut(&worker) else { return };
        match message {
            ToCoordinator::LeaseRequest { run } if run == self.run => {
                if !session.ready {
                    session.ready = true;
                    let name = self.tally.name(worker).to_owned();
                    self.display.say(&format!("{name} joined"));
                    self.tell(Event::WorkerJoined { worker });
                }
                self.tell(Event::LeaseRequested { worker });
            }
            // A request for another run crossed with an assignment: the worker asks again.
            ToCoordinator::LeaseRequest { .. } => {}
            ToCoordinator::Pull { lease, pending } => {
                self.pulls.add(Instant::now(), (worker, lease, pending));
            }
            ToCoordinator::Progress { lease, steps } => {
                self.tell(Event::Progress { worker, lease, steps });
            }
            ToCoordinator::Offer { lease, .. } => {
                if self.leased.get(&lease).is_some_and(|leased| leased.worker == worker) {
                    self.grants.offer(worker, lease);
                    self.grant();
                } else {
                    let outcome = Outcome::Rejected(Reason::UnknownLease);
                    self.tally.rejected(worker, Reason::UnknownLease);
                    self.send(worker, ToWorker::Ack { lease, outcome });
                }
            }
            ToCoordinator::Release { lease, reason } => {
                tracing::debug!("{} releases {lease}: {reason}", self.tally.name(worker));
                self.tell(Event::LeaseReleased { worker, lease });
            }
            // The session handles these itself.
            ToCoordinator::Hello(_)
            | ToCoordinator::Bye { .. }
            | ToCoordinator::Delta { .. }
            | ToCoordinator::Chunk { .. } => {}
        }
    }

    /// Tells the pulls that wait, as long as there is room for a version.
    fn pull(&mut self) {
        while let Some(pull) = self.pulls.next(Instant::now(), self.engine.version_now()) {
            let (worker, lease, pending) = pull;
            self.tell(Event::Pulled { worker, lease, pending });
        }
    }

    fn delta(&mut self, worker: WorkerKey, lease: LeaseId, report: &Report, payload: Bytes) {
        // The same delta again: the first one is under way, and its answer will come.
        if self.held.contains_key(&lease) || self.received.contains_key(&lease) {
            return;
        }
        if let Some(leased) = self.leased.get(&lease).filter(|leased| leased.worker == worker) {
            self.tally.reported(worker, leased.epoch, leased.samples, report);
        }
        self.received.insert(lease, (worker, payload));
        self.tell(Event::DeltaReceived { worker, lease });
    }

    fn process_ended(&mut self, name: &str, failure: Option<String>, left: usize) {
        if self.finished {
            return;
        }
        self.processes = Some(left);
        if let Some(failure) = failure {
            self.display.say(&format!("local worker {name} ended: {failure}"));
            self.last_failure = Some(failure);
        }
        // Before the first lease the run may wait for this very worker: it would wait for ever.
        if !self.tally.has_leased() {
            let how = self.last_failure.as_deref().unwrap_or("by itself");
            let reason = format!("local worker {name} ended before training began: {how}");
            self.stop(Ending::Deserted(reason));
        }
        self.check_deserted();
    }

    /// A run whose own workers all ended goes on only while others are there. Workers from
    /// elsewhere get some time to come back.
    fn check_deserted(&mut self) {
        if self.processes != Some(0) || !self.sessions.is_empty() || self.finished {
            return;
        }
        let others = self.tally.joined_count() > self.local_workers;
        let due = *self.deserted_at.get_or_insert_with(|| {
            Instant::now() + if others { RETURN_TIME } else { Duration::ZERO }
        });
        if due <= Instant::now() {
            let last = self.last_failure.as_deref().unwrap_or("they ended by themselves");
            let reason = format!("no worker is left to train; the last one ended: {last}");
            self.stop(Ending::Deserted(reason));
        }
    }

    fn stop(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.tell(Event::Stop);
        }
    }

    /// The threads that merge or evaluate are gone: nothing that is told leads anywhere.
    fn fail(&mut self) {
        self.ending = Some(Ending::Failed);
        self.finished = true;
        self.evaluations_due = 0;
        self.held.clear();
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Lease { worker, lease } => {
                self.tally.leased(worker, Instant::now());
                let leased = Leased { worker, epoch: lease.epoch, samples: lease.samples() };
                self.leased.insert(lease.id, leased);
                self.send(worker, ToWorker::Lease(lease));
            }
            Action::Snapshot { worker, lease, contains, version } => {
                if let Some(session) = self.sessions.get(&worker) {
                    let outgoing = session.outgoing.clone();
                    let place = self.pulls.place(version);
                    self.command(DataCommand::Snapshot { lease, contains, outgoing, place });
                }
            }
            Action::Screen { lease } => {
                if let Some((worker, payload)) = self.received.remove(&lease) {
                    let samples = self.leased.get(&lease).map_or(0, |leased| leased.samples);
                    self.held.insert(lease, (worker, samples));
                    self.command(DataCommand::Screen { lease, payload });
                }
            }
            Action::Merge { lease, order } => self.command(DataCommand::Merge { lease, order }),
            Action::Acknowledge { worker, lease, outcome } => {
                self.acknowledge(worker, lease, outcome);
            }
            Action::EpochComplete { epoch, version, summary } => {
                let record = EpochRecord {
                    epoch: epoch + 1,
                    seconds: self.tally.elapsed(Instant::now()).as_secs_f64(),
                    version: version.number,
                    training_loss: self.tally.take_training_loss(epoch),
                    validation_loss: None,
                    validation_accuracy: None,
                    validation_mae: None,
                    counts: summary,
                };
                self.evaluations_due += 1;
                self.command(DataCommand::Evaluate(record));
            }
            Action::Finished { .. } => {
                self.finished = true;
                self.dismiss();
            }
        }
    }

    fn acknowledge(&mut self, worker: WorkerKey, lease: LeaseId, outcome: Outcome) {
        let own = self.leased.get(&lease).is_some_and(|leased| leased.worker == worker);
        if own {
            self.leased.remove(&lease);
            self.release(lease);
        }
        self.received.remove(&lease);
        let held = self.held.remove(&lease);
        match (outcome, held) {
            (Outcome::Merged(_), Some((worker, samples))) => {
                self.tally.merged(worker, samples, Instant::now());
            }
            (Outcome::Merged(_), None) => {}
            (Outcome::Rejected(reason), held) => {
                self.tally.rejected(worker, reason);
                if held.is_some() {
                    self.command(DataCommand::Discard(lease));
                }
            }
        }
        self.send(worker, ToWorker::Ack { lease, outcome });
        self.dismiss();
    }

    /// An upload's place is free for the next one.
    fn release(&mut self, lease: LeaseId) {
        if self.grants.release(lease) {
            self.grant();
        }
    }

    fn grant(&mut self) {
        while let Some((worker, lease)) = self.grants.start() {
            self.send(worker, ToWorker::Grant { lease });
        }
    }

    fn send(&mut self, worker: WorkerKey, message: ToWorker) {
        let Some(session) = self.sessions.get(&worker) else { return };
        let outgoing = Outgoing::Message(Box::new(message));
        if session.outgoing.try_send(outgoing).is_err() {
            self.left(worker, "it reads too slowly, or its connection is gone");
        }
    }

    fn command(&mut self, command: DataCommand) {
        if self.data.send(command).is_err() {
            self.fail();
        }
    }

    fn ended(&self) -> ToWorker {
        let reason = self.ending.as_ref().unwrap_or(&Ending::Complete).sentence();
        ToWorker::Ended { run: self.run, reason: bounded_text(&reason) }
    }

    /// Tells every worker that the run is over; their sessions then end. Not before all have heard
    /// what became of their last deltas, and not later: they would train on, and evaluation needs
    /// the cores.
    fn dismiss(&mut self) {
        if !self.finished || !self.held.is_empty() {
            return;
        }
        let workers: HashSet<WorkerKey> = self.sessions.keys().copied().collect();
        for worker in workers {
            let ended = self.ended();
            self.send(worker, ended);
        }
    }

    fn show(&mut self) {
        let now = Instant::now();
        let due = self.displayed + DISPLAY_INTERVAL;
        self.show_at = Some(due).filter(|due| *due > now && !self.finished);
        if self.show_at.is_none() {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.displayed = Instant::now();
        let status = self.engine.status();
        self.display.status(&status, &self.tally);
        let time = self.tally.elapsed(self.displayed);
        self.board.status(&status, self.tally.samples_per_second(), time, self.tally.curve());
    }
}

/// Sleeps until a moment; for ever without one.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
