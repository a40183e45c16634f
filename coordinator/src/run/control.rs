//! The task that owns the engine: it tells the engine what happened and carries out what it says.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{Action, Engine, Event, Status, Timestamp, WorkerKey};
use protocol::{LeaseId, RunId, Segment, ToWorker};
use tokio::sync::mpsc;

use super::board::Board;
use super::ending::Ending;
use super::evaluation::EpochRecord;
use super::examining::Examined;
use super::grants::Grants;
use super::keeping::{Constants, Keeping};
use super::live::EventKind;
use super::pulls::Pulls;
use super::sessions::Sessions;
use super::showing::Showing;
use super::tally::Tally;
use super::{ControlEvent, DataCommand};
use crate::goals::{Span, Verdict};

/// How long a run without any worker waits for those from elsewhere to come back.
const RETURN_TIME: Duration = Duration::from_secs(30);

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
    pub(super) engine: Engine,
    pub(super) run: RunId,
    data: std_mpsc::Sender<DataCommand>,
    pub(super) display: Box<dyn Display>,
    pub(super) board: Arc<Board>,
    pub(super) sessions: Sessions,
    pub(super) tally: Tally,
    started: Instant,
    pub(super) showing: Showing,
    /// Deltas that arrived, until the engine asks for them.
    pub(super) received: HashMap<LeaseId, Received>,
    /// Deltas that are examined, until they are answered.
    pub(super) held: HashMap<LeaseId, Held>,
    /// The leases that have not ended.
    pub(super) leased: HashMap<LeaseId, Leased>,
    pub(super) grants: Grants,
    pub(super) keeping: Keeping,
    /// The deltas of a round are merged together.
    deterministic: bool,
    /// How the run is to end once its round has.
    pub(super) stop_after_round: Option<Ending>,
    pub(super) pulls: Pulls,
    evaluations_due: u32,
    /// Longest time of training.
    pub(super) max_time: Option<Span>,
    /// What validation has decided before this start.
    verdict: Option<Verdict>,
    /// Local worker processes at the start.
    local_workers: usize,
    /// Local worker processes that still run; none before the first one ended.
    processes: Option<usize>,
    /// When a run without any worker is given up.
    pub(super) deserted_at: Option<Instant>,
    /// How the last local worker failed.
    last_failure: Option<String>,
    /// Events that wait while actions are carried out.
    untold: VecDeque<Event>,
    telling: bool,
    pub(super) ending: Option<Ending>,
    pub(super) finished: bool,
}

/// What is known of a lease that has not ended.
pub(super) struct Leased {
    pub(super) worker: WorkerKey,
    /// The worker's number in the tally.
    pub(super) number: u32,
    pub(super) epoch: u32,
    pub(super) samples: u64,
    pub(super) segments: Vec<Segment>,
}

/// A delta that has arrived.
pub(super) struct Received {
    pub(super) worker: WorkerKey,
    pub(super) payload: Bytes,
    pub(super) examined: Examined,
}

/// A delta that waits for the engine's word, or is with the data plane.
pub(super) struct Held {
    pub(super) worker: WorkerKey,
    /// None from its merge on.
    payload: Option<Bytes>,
}

/// What a control task is made of.
pub struct Parts {
    /// The engine of the run.
    pub engine: Engine,
    /// The run's name on the wire.
    pub run: RunId,
    /// Where orders for the master go.
    pub data: std_mpsc::Sender<DataCommand>,
    /// Encoded size of a delta.
    pub model_bytes: u64,
    /// Worker processes that the coordinator starts itself.
    pub local_workers: usize,
    /// What people are shown on the terminal.
    pub display: Box<dyn Display>,
    /// What they are shown on the page.
    pub board: Arc<Board>,
    /// What was counted before, in a run that goes on.
    pub tally: Tally,
    /// The run is deterministic.
    pub deterministic: bool,
    /// Longest time of training, earlier starts included.
    pub max_time: Option<Span>,
    /// What validation has decided already, in a run that goes on.
    pub verdict: Option<Verdict>,
    /// Least time between two checkpoints.
    pub checkpoint_interval: Duration,
    /// What each checkpoint holds beside the state of engine and tally.
    pub constants: Constants,
}

impl Control {
    /// A control task for a run.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let now = Instant::now();
        // A run may go on that was over and had only its end to be written.
        let finished = parts.engine.status().finished;
        Self {
            engine: parts.engine,
            run: parts.run,
            data: parts.data,
            display: parts.display,
            board: parts.board,
            sessions: Sessions::default(),
            tally: parts.tally,
            started: now,
            showing: Showing::new(now),
            received: HashMap::new(),
            held: HashMap::new(),
            leased: HashMap::new(),
            grants: Grants::new(parts.model_bytes),
            keeping: Keeping::new(now, parts.checkpoint_interval, parts.constants),
            pulls: Pulls::new(parts.model_bytes),
            deterministic: parts.deterministic,
            stop_after_round: None,
            evaluations_due: 0,
            max_time: parts.max_time,
            verdict: parts.verdict,
            local_workers: parts.local_workers,
            processes: None,
            deserted_at: None,
            last_failure: None,
            untold: VecDeque::new(),
            telling: false,
            ending: None,
            finished,
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
        let live = self.board.live().clone();
        if let Some(verdict) = self.verdict.take() {
            self.decided(&verdict);
        }
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
                () = sleep_until(self.deserted_at), if !self.finished => self.check_deserted(),
                () = sleep_until(self.time_up_at()) => self.stop_in_time(),
                () = sleep_until(self.sessions.next_loss()) => self.give_up_lost(),
                () = sleep_until(self.keeping.due()) => {}
                () = sleep_until(self.showing.due()) => {}
                () = live.wanted() => {}
            }
            if self.stop_after_round.is_some()
                && !self.engine.is_mid_round()
                && let Some(ending) = self.stop_after_round.take()
            {
                self.stop(ending);
            }
            self.pull();
            self.keep();
            self.show();
        }
        self.keep_last();
        self.settle();
        let status = self.engine.status();
        (self.ending.unwrap_or(Ending::Complete), self.tally, status)
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Tells the engine, and carries out what it says before anything else is told: carrying out
    /// may itself cause events, and the data plane must get all orders in the engine's order.
    pub(super) fn tell(&mut self, event: Event) {
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
            ControlEvent::Left { worker, reason, goodbye } => self.gone(worker, &reason, goodbye),
            ControlEvent::Message { worker, message } => {
                if let Some(worker) = self.sessions.worker(worker) {
                    self.message(worker, message);
                }
            }
            ControlEvent::Delta { worker, lease, report, payload, examined } => {
                if let Some(worker) = self.sessions.worker(worker) {
                    let delta = Received { worker, payload, examined };
                    self.delta(lease, &report, delta);
                }
            }
            ControlEvent::Merged { lease, version } => {
                if let Some(lease) = lease {
                    self.release(lease);
                }
                if let Some(version) = version {
                    self.tell(Event::Merged { version });
                }
            }
            ControlEvent::Evaluated { record, verdict, is_best } => {
                self.evaluations_due = self.evaluations_due.saturating_sub(1);
                let epochs = self.engine.status().epochs;
                self.display.epoch(&record, epochs);
                self.board.epoch(&record, is_best);
                if let Some(verdict) = verdict {
                    self.decided(&verdict);
                }
            }
            ControlEvent::ProcessEnded { name, failure, left } => {
                self.process_ended(&name, failure, left);
            }
            ControlEvent::Kept(number) => self.kept(number),
            ControlEvent::Act(asked) => self.act(asked),
            ControlEvent::Interrupted => self.stop(Ending::Interrupted),
            ControlEvent::Terminated => self.stop(Ending::Restarting),
            ControlEvent::Failed => self.fail(),
        }
    }

    /// Tells the pulls that wait, as long as there is room for a version.
    pub(super) fn pull(&mut self) {
        while let Some(pull) = self.pulls.next(Instant::now(), self.engine.version_now()) {
            let (worker, lease, pending) = pull;
            self.tell(Event::Pulled { worker, lease, pending });
        }
    }

    fn process_ended(&mut self, name: &str, failure: Option<String>, left: usize) {
        if self.finished {
            return;
        }
        self.processes = Some(left);
        if let Some(failure) = failure {
            self.say(EventKind::Note, &format!("local worker {name} ended: {failure}"));
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
    pub(super) fn check_deserted(&mut self) {
        if self.processes != Some(0) || self.sessions.any_connected() || self.finished {
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

    pub(super) fn stop(&mut self, ending: Ending) {
        // Half of a deterministic round cannot be kept: its workers finish it first.
        let asked = ending.is_orderly();
        if self.deterministic && asked && self.ending.is_none() && self.engine.is_mid_round() {
            self.stop_after_round.get_or_insert(ending);
            return;
        }
        if self.ending.is_none() {
            if ending == Ending::Restarting {
                self.board.restart();
            }
            self.ending = Some(ending);
            self.tell(Event::Stop);
            if self.deterministic && self.engine.is_mid_round() {
                // Half of a deterministic round, which nobody will merge or answer.
                self.held.clear();
                self.dismiss();
            }
        }
    }

    /// The threads that merge or evaluate are gone: nothing that is told leads anywhere.
    pub(super) fn fail(&mut self) {
        self.ending = Some(Ending::Failed);
        // Who comes now is to come again.
        self.board.restart();
        self.finished = true;
        self.evaluations_due = 0;
        self.keeping.fail();
        self.held.clear();
        self.dismiss();
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Lease { worker, lease } => {
                self.tally.leased(self.sessions.number(worker), Instant::now());
                let leased = Leased {
                    worker,
                    number: self.sessions.number(worker),
                    epoch: lease.epoch,
                    samples: lease.samples(),
                    segments: lease.segments.clone(),
                };
                self.leased.insert(lease.id, leased);
                self.send(worker, ToWorker::Lease(lease));
            }
            Action::Snapshot { worker, lease, contains, version } => {
                if let Some(outgoing) = self.sessions.outgoing(worker) {
                    let place = self.pulls.place(version);
                    self.command(DataCommand::Snapshot { lease, contains, outgoing, place });
                }
            }
            Action::Screen { lease } => {
                if let Some(Received { worker, payload, examined }) = self.received.remove(&lease) {
                    self.held.insert(lease, Held { worker, payload: Some(payload) });
                    // Until it is merged it holds memory; but the deltas of a deterministic round
                    // wait for each other.
                    if self.deterministic {
                        self.release(lease);
                    }
                    let Examined { finite, length_ok, norm } = examined;
                    self.tell(Event::DeltaScreened { lease, finite, length_ok, norm });
                }
            }
            Action::Merge { lease, order } => {
                let held = lease.and_then(|lease| Some((lease, self.held.get_mut(&lease)?)));
                let delta = held.and_then(|(lease, held)| Some((lease, held.payload.take()?)));
                self.command(DataCommand::Merge { delta, order });
            }
            Action::Acknowledge { worker, lease, outcome } => {
                self.acknowledge(worker, lease, outcome);
            }
            Action::LeaseEnded { lease, unit, in_epoch, end, .. } => {
                if let Some(leased) = self.leased.remove(&lease) {
                    // With the ledger's row, so that a checkpoint holds both or neither.
                    self.tally.ended(leased.number, leased.samples, end, Instant::now());
                    self.keeping.ended(lease, &leased, unit, in_epoch, end);
                }
            }
            Action::EpochComplete { epoch, summary, .. } => {
                let record = EpochRecord {
                    epoch: epoch + 1,
                    seconds: self.tally.elapsed(Instant::now()).as_secs_f64(),
                    version: self.engine.status().merges,
                    training_loss: self.tally.take_training_loss(epoch),
                    training_accuracy: None,
                    training_mae: None,
                    validation_loss: None,
                    validation_accuracy: None,
                    validation_mae: None,
                    counts: summary,
                };
                self.evaluations_due += 1;
                self.command(DataCommand::Evaluate(Box::new(record)));
            }
            Action::Finished { .. } => {
                self.finished = true;
                self.dismiss();
            }
        }
    }

    pub(super) fn command(&mut self, command: DataCommand) {
        if self.data.send(command).is_err() {
            self.fail();
        }
    }
}

/// Sleeps until a moment; for ever without one.
async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
