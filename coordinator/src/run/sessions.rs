//! Who is connected: sessions begin, are lost and come back, say things and are told things.
//!
//! A worker keeps its key for the engine through lost connections. A connection that is not the
//! worker's current one is not listened to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use engine::{Event, WorkerKey};
use protocol::limits::{GRACE_MAX, RECONNECT_MS_MAX};
use protocol::message::bounded_text;
use protocol::{Hello, Identity, LeaseId, Outcome, Reason, Report, ToCoordinator, ToWorker};
use tokio::sync::mpsc;

use super::Outgoing;
use super::control::{Control, Received};
use super::ending::Ending;
use super::exposition::Kind;
use super::live::{EventKind, Presence};
use super::tally::printable;

/// Milliseconds before the first worker is to be back after a restart, which takes about as long.
const RECONNECT_MS_FIRST: u64 = 1000;

/// The others are spread behind it by so many milliseconds each, over [`RECONNECT_MS_MAX`] in all.
const RECONNECT_MS_EACH: u64 = 20;

/// What a worker is told that may not train here any more.
pub(super) const REMOVED: &str = "whoever runs this training has removed this worker";

/// The workers of a run, by the key that the engine knows.
#[derive(Default)]
pub(super) struct Sessions {
    by_worker: HashMap<WorkerKey, Session>,
    /// The workers that are connected.
    by_connection: HashMap<WorkerKey, WorkerKey>,
    by_identity: HashMap<(Identity, u16), WorkerKey>,
    /// The workers whose connection is lost, by when they are given up: each event asks for the next.
    lost: BTreeSet<(Instant, WorkerKey)>,
    /// Who may not come back in this start of the coordinator.
    removed: HashSet<(Identity, u16)>,
}

struct Session {
    identity: (Identity, u16),
    /// Its number in the tally.
    number: u32,
    kind: Kind,
    connection: WorkerKey,
    /// None while its connection is lost.
    outgoing: Option<mpsc::Sender<Outgoing>>,
    /// It has asked for a lease: the engine knows it.
    ready: bool,
    /// When it is given up, while its connection is lost.
    lost_until: Option<Instant>,
    /// When something was heard of it.
    heard: Instant,
}

impl Sessions {
    /// The worker whose current connection this is.
    pub(super) fn worker(&self, connection: WorkerKey) -> Option<WorkerKey> {
        self.by_connection.get(&connection).copied()
    }

    /// A worker's number in the tally; 0 for one that is gone.
    pub(super) fn number(&self, worker: WorkerKey) -> u32 {
        self.by_worker.get(&worker).map_or(0, |session| session.number)
    }

    /// Where to send what is for a worker, while it is connected.
    pub(super) fn outgoing(&self, worker: WorkerKey) -> Option<mpsc::Sender<Outgoing>> {
        self.by_worker.get(&worker)?.outgoing.clone()
    }

    /// Whether any worker is connected.
    pub(super) fn any_connected(&self) -> bool {
        !self.by_connection.is_empty()
    }

    /// How many workers are connected.
    pub(super) fn connected(&self) -> usize {
        self.by_connection.len()
    }

    /// How many workers of each kind are connected.
    pub(super) fn kinds(&self) -> BTreeMap<Kind, u64> {
        let mut kinds = BTreeMap::new();
        for session in self.by_worker.values().filter(|session| session.outgoing.is_some()) {
            *kinds.entry(session.kind).or_default() += 1;
        }
        kinds
    }

    /// All who are connected or may be back, with the leases that `held` says they have.
    pub(super) fn present(&self, held: impl Fn(WorkerKey) -> u32) -> Vec<Presence> {
        let presence = |(worker, session): (&WorkerKey, &Session)| Presence {
            number: session.number,
            connected: session.outgoing.is_some(),
            leases: held(*worker),
            silence: session.heard.elapsed(),
        };
        self.by_worker.iter().map(presence).collect()
    }

    /// The worker of this number, if it is connected or may be back.
    pub(super) fn numbered(&self, number: u32) -> Option<WorkerKey> {
        let mut all = self.by_worker.iter();
        all.find(|(_, session)| session.number == number).map(|(worker, _)| *worker)
    }

    /// A worker may not come back.
    pub(super) fn remove(&mut self, worker: WorkerKey) {
        if let Some(session) = self.by_worker.get(&worker) {
            self.removed.insert(session.identity);
        }
    }

    /// When the next lost connection is given up.
    pub(super) fn next_loss(&self) -> Option<Instant> {
        self.lost.first().map(|(until, _)| *until)
    }
}

impl Control {
    /// A connection is open and admitted. It is a new worker's, or one that comes back; a repeated
    /// slot replaces the connection before it.
    pub(super) fn joined(
        &mut self,
        connection: WorkerKey,
        hello: &Hello,
        outgoing: mpsc::Sender<Outgoing>,
    ) {
        let identity = (hello.identity, hello.slot);
        if self.sessions.removed.contains(&identity) {
            refuse(&outgoing);
            return;
        }
        let worker = self.sessions.by_identity.get(&identity).copied().unwrap_or(connection);
        // Connections are numbered before they are announced: the older of two may come second.
        // Dropping its queue ends it.
        if self.sessions.by_worker.get(&worker).is_some_and(|known| known.connection > connection) {
            return;
        }
        let number = self.tally.joined(connection, hello);
        self.deserted_at = None;
        let session = self.sessions.by_worker.entry(worker).or_insert_with(|| Session {
            identity,
            number,
            kind: Kind::of(hello),
            connection,
            outgoing: None,
            ready: false,
            lost_until: None,
            heard: Instant::now(),
        });
        let before = std::mem::replace(&mut session.connection, connection);
        // Dropping the queue of the connection before ends that one.
        session.outgoing = Some(outgoing);
        let lost = session.lost_until.take();
        let ready = session.ready;
        if let Some(until) = lost {
            self.sessions.lost.remove(&(until, worker));
        }
        self.sessions.by_identity.insert(identity, worker);
        self.sessions.by_connection.remove(&before);
        self.sessions.by_connection.insert(connection, worker);
        self.forget_wishes(worker);
        if self.finished {
            let ended = self.farewell(worker);
            self.send(worker, ended);
            return;
        }
        if lost.is_some() {
            self.say(EventKind::Back, &format!("{} is back", self.tally.name(number)));
        }
        if ready {
            self.tell(Event::WorkerReturned { worker, leases: hello.leases.clone() });
        } else {
            for &lease in &hello.leases {
                let outcome = self.engine.known_outcome(worker, lease);
                self.send(worker, ToWorker::Ack { lease, outcome });
            }
        }
        self.grant();
    }

    /// A connection has ended: with a goodbye for good, without one perhaps for a while.
    pub(super) fn gone(&mut self, connection: WorkerKey, reason: &str, goodbye: bool) {
        let Some(worker) = self.sessions.worker(connection) else { return };
        let now = self.now();
        let last = now.plus(GRACE_MAX.as_micros() as u64);
        let until = self.engine.leases_until(worker).map_or(last, |until| until.min(last));
        let grace = Duration::from_micros(until.since(now));
        let Some(session) = self.sessions.by_worker.get_mut(&worker) else { return };
        if goodbye || !session.ready || self.finished {
            self.left(worker, reason);
            return;
        }
        session.outgoing = None;
        self.sessions.by_connection.remove(&connection);
        let until = Instant::now() + grace;
        session.lost_until = Some(until);
        self.sessions.lost.insert((until, worker));
        let (number, seconds) = (session.number, grace.as_secs());
        let reason = printable(reason);
        let name = self.tally.name(number);
        let text = format!("{name} is lost: {reason}; it has {seconds} s to come back");
        self.say(EventKind::Lost, &text);
        self.forget_wishes(worker);
        self.tell(Event::WorkerDetached { worker });
        self.grant();
        self.check_deserted();
    }

    /// Gives up the workers that did not come back in time.
    pub(super) fn give_up_lost(&mut self) {
        let now = Instant::now();
        let due = self.sessions.lost.iter().take_while(|(until, _)| *until <= now);
        let lost: Vec<WorkerKey> = due.map(|(_, worker)| *worker).collect();
        for worker in lost {
            self.left(worker, "it did not come back");
        }
    }

    /// What a worker asked for does not outlive its connection.
    fn forget_wishes(&mut self, worker: WorkerKey) {
        // What has arrived keeps its place: it holds memory until it is merged.
        let (held, received) = (&self.held, &self.received);
        self.grants
            .forget(worker, |lease| held.contains_key(lease) || received.contains_key(lease));
        self.pulls.forget(worker);
    }

    pub(super) fn left(&mut self, worker: WorkerKey, reason: &str) {
        let Some(session) = self.sessions.by_worker.remove(&worker) else { return };
        self.sessions.by_connection.remove(&session.connection);
        self.sessions.by_identity.remove(&session.identity);
        if let Some(until) = session.lost_until {
            self.sessions.lost.remove(&(until, worker));
        }
        if session.ready && !self.finished {
            let reason = printable(reason);
            let text = format!("{} left: {reason}", self.tally.name(session.number));
            self.say(EventKind::Left, &text);
        }
        self.forget_wishes(worker);
        if session.ready {
            self.tell(Event::WorkerLeft { worker });
        }
        self.grant();
        self.check_deserted();
    }

    pub(super) fn message(&mut self, worker: WorkerKey, message: ToCoordinator) {
        let Some(session) = self.sessions.by_worker.get_mut(&worker) else { return };
        session.heard = Instant::now();
        match message {
            ToCoordinator::LeaseRequest { run } if run == self.run => {
                if !session.ready {
                    session.ready = true;
                    let number = session.number;
                    self.say(EventKind::Joined, &format!("{} joined", self.tally.name(number)));
                    self.tell(Event::WorkerJoined { worker });
                }
                self.tell(Event::LeaseRequested { worker });
            }
            // A request for another run crossed with an assignment: the worker asks again.
            ToCoordinator::LeaseRequest { .. } => {}
            ToCoordinator::Pull { lease, pending } => {
                self.pulls.add(Instant::now(), (worker, lease, pending));
                self.pull();
            }
            ToCoordinator::Progress { lease, steps } => {
                self.tell(Event::Progress { worker, lease, steps });
            }
            ToCoordinator::Offer { lease, .. } => self.offered(worker, lease),
            ToCoordinator::Release { lease, reason } => {
                tracing::debug!("{} releases {lease}: {reason}", self.tally.name(session.number));
                self.tell(Event::LeaseReleased { worker, lease });
            }
            // The session handles these itself.
            ToCoordinator::Hello(_)
            | ToCoordinator::Bye { .. }
            | ToCoordinator::Delta { .. }
            | ToCoordinator::Chunk { .. } => {}
        }
    }

    fn has_arrived(&self, lease: LeaseId) -> bool {
        self.held.contains_key(&lease) || self.received.contains_key(&lease)
    }

    fn offered(&mut self, worker: WorkerKey, lease: LeaseId) {
        // It had arrived before a connection was lost: its answer will come.
        if self.has_arrived(lease) {
            return;
        }
        if self.leased.get(&lease).is_some_and(|leased| leased.worker == worker) {
            self.grants.offer(worker, lease);
            self.grant();
            return;
        }
        let outcome = self.engine.known_outcome(worker, lease);
        self.count_unknown(worker, outcome);
        self.send(worker, ToWorker::Ack { lease, outcome });
    }

    pub(super) fn delta(&mut self, lease: LeaseId, report: &Report, delta: Received) {
        let worker = delta.worker;
        // The same delta again: the first one is under way, and its answer will come.
        if self.has_arrived(lease) {
            return;
        }
        let number = self.sessions.number(worker);
        if let Some(leased) = self.leased.get(&lease).filter(|leased| leased.worker == worker) {
            self.tally.reported(number, leased.epoch, leased.samples, report);
        }
        self.received.insert(lease, delta);
        self.tell(Event::DeltaReceived { worker, lease });
    }

    pub(super) fn acknowledge(&mut self, worker: WorkerKey, lease: LeaseId, outcome: Outcome) {
        // An answer to who names another's lease touches nothing of that lease.
        if self.grants.is_of(worker, lease) {
            self.release(lease);
        }
        if self.received.get(&lease).is_some_and(|received| received.worker == worker) {
            self.received.remove(&lease);
        }
        if self.held.get(&lease).is_some_and(|held| held.worker == worker) {
            self.held.remove(&lease);
        }
        self.count_unknown(worker, outcome);
        self.tell_of_refusal(worker, outcome);
        self.send(worker, ToWorker::Ack { lease, outcome });
        self.dismiss();
    }

    /// Says of each worker once that its deltas are refused for a reason; duplicates are as planned.
    fn tell_of_refusal(&mut self, worker: WorkerKey, outcome: Outcome) {
        let Outcome::Rejected(reason) = outcome else { return };
        let planned = matches!(reason, Reason::Duplicate | Reason::Ended | Reason::Fenced);
        let number = self.sessions.number(worker);
        if !planned && self.tally.refusals(number, reason) == 1 {
            let name = self.tally.name(number);
            let text = format!("{name}: a delta was refused: {}", reason.name());
            self.note(EventKind::Refused, &text);
        }
    }

    /// Counts an answer with which no lease has ended, as there is none.
    fn count_unknown(&mut self, worker: WorkerKey, outcome: Outcome) {
        if let Outcome::Rejected(reason @ (Reason::UnknownLease | Reason::Fenced)) = outcome {
            self.tally.rejected(self.sessions.number(worker), reason);
        }
    }

    /// An upload's place is free for the next one.
    pub(super) fn release(&mut self, lease: LeaseId) {
        if self.grants.release(lease) {
            self.grant();
        }
    }

    fn grant(&mut self) {
        while let Some((worker, lease)) = self.grants.start() {
            self.send(worker, ToWorker::Grant { lease });
        }
    }

    /// Tells a worker something, if it is connected.
    pub(super) fn send(&mut self, worker: WorkerKey, message: ToWorker) {
        let Some(session) = self.sessions.by_worker.get(&worker) else { return };
        let Some(outgoing) = &session.outgoing else { return };
        if outgoing.try_send(Outgoing::Message(Box::new(message))).is_err() {
            let connection = session.connection;
            self.gone(connection, "it reads too slowly, or its connection is gone", false);
        }
    }

    /// The last message to a worker.
    fn farewell(&self, worker: WorkerKey) -> ToWorker {
        let ending = self.ending.as_ref().unwrap_or(&Ending::Complete);
        if let Ending::Restarting | Ending::Failed = ending {
            let place = u64::from(self.sessions.number(worker)) * RECONNECT_MS_EACH;
            let room = u64::from(RECONNECT_MS_MAX) - RECONNECT_MS_FIRST;
            let reconnect_in_ms = (RECONNECT_MS_FIRST + place % room) as u32;
            return ToWorker::Restarting { reconnect_in_ms };
        }
        ToWorker::Ended { run: self.run, reason: bounded_text(&ending.sentence()) }
    }

    /// Tells every worker that the run is over; their sessions then end. Not before all have heard
    /// what became of their last deltas, and not later: they would train on, and evaluation needs
    /// the cores.
    pub(super) fn dismiss(&mut self) {
        if !self.finished || !self.held.is_empty() {
            return;
        }
        let workers: Vec<WorkerKey> = self.sessions.by_worker.keys().copied().collect();
        for worker in workers {
            let last = self.farewell(worker);
            self.send(worker, last);
        }
    }
}

/// Ends the session of a worker that was removed before.
fn refuse(outgoing: &mpsc::Sender<Outgoing>) {
    let refused = ToWorker::Refused { reason: REMOVED.to_owned(), retry: false };
    // The queue is new, and has room. Dropping it ends the session.
    let _ = outgoing.try_send(Outgoing::Message(Box::new(refused)));
}
