//! What must hold of the engine: a plain ledger of every row, beside it and after every event.

use std::collections::{BTreeMap, BTreeSet};

use engine::{Action, Config, End, EpochSummary, Event, Mode, State, Strategy, WorkerKey};
use protocol::{Lease, LeaseId, Outcome, Reason, Segment, TensorTable, Version};

use crate::failure::{Check, ensure, fail};
use crate::maths::{Norms, Parameters};

mod ends;
mod orders;
mod restarts;

/// What became of a row.
const MERGED: u8 = 1;
const DROPPED: u8 = 2;

/// A lease as the model knows it.
#[derive(Debug)]
struct Known {
    worker: WorkerKey,
    lease: Lease,
    base: u64,
    usual: Option<f64>,
    pending: Vec<LeaseId>,
    received: bool,
    unit: u64,
    end: Option<End>,
    ordered: bool,
    clip: f64,
    acknowledged: Option<Outcome>,
}

/// What a checkpoint takes back.
#[derive(Debug, Clone)]
struct Durable {
    /// By epoch, shard after shard.
    rows: Vec<Vec<u8>>,
    counts: Vec<EpochSummary>,
    /// Samples of all leases, by epoch.
    handed: Vec<u64>,
    /// Ends that came after their epoch was complete.
    after: EpochSummary,
    complete: u32,
    merges: u64,
    norms: Norms,
    parameters: Parameters,
    /// Learning rate of the next lease.
    rate: f64,
}

/// What an event must bring.
#[derive(Debug)]
enum Expected {
    Anything,
    /// This refusal, and nothing else about the lease.
    Refusal(WorkerKey, LeaseId, Reason),
    /// The delta is to be screened.
    Screen(LeaseId),
    /// It must not be screened: it is here already, or decided.
    NoScreen(LeaseId),
    /// The lease ends, merged with this factor or refused.
    End(LeaseId, Result<f64, Reason>),
    /// Of a worker's leases only these may go on, and those whose delta is here.
    Only(WorkerKey, Vec<LeaseId>),
}

/// The model.
#[derive(Debug)]
pub(crate) struct Model {
    config: Config,
    strategy: Strategy,
    incarnation: u32,
    leases: BTreeMap<LeaseId, Known>,
    /// Leases without an end.
    open: BTreeSet<LeaseId>,
    units: BTreeMap<u64, Vec<Segment>>,
    present: BTreeSet<WorkerKey>,
    /// Whose connections are lost.
    away: BTreeSet<WorkerKey>,
    /// Versions ordered, and whose delta made each.
    version: u64,
    makers: Vec<Option<WorkerKey>>,
    /// Digests of the versions that are there.
    pub(crate) digests: Vec<u64>,
    /// Leases of the round whose deltas were ordered.
    accumulated: Vec<LeaseId>,
    /// Leases that are merged and not in a version yet.
    pub(crate) undecided: usize,
    pub(crate) finished: bool,
    /// The version at which the run was paused.
    paused: Option<u64>,
    durable: Durable,
    /// A run at its start.
    fresh: Durable,
    kept: BTreeMap<u64, (Durable, Vec<LeaseId>, u64)>,
    expected: Expected,
}

impl Model {
    pub(crate) fn new(config: &Config, table: &TensorTable, values: &[f32], digest: u64) -> Self {
        let epochs = config.epochs as usize;
        let durable = Durable {
            rows: vec![vec![0; config.epoch_samples() as usize]; epochs],
            counts: vec![EpochSummary::default(); epochs],
            handed: vec![0; epochs],
            after: EpochSummary::default(),
            complete: 0,
            merges: 0,
            norms: Norms::default(),
            parameters: Parameters::new(table, values),
            rate: config.learning_rate,
        };
        Self {
            strategy: config.resolved_strategy(),
            incarnation: 0,
            leases: BTreeMap::new(),
            open: BTreeSet::new(),
            units: BTreeMap::new(),
            present: BTreeSet::new(),
            away: BTreeSet::new(),
            version: 0,
            makers: Vec::new(),
            digests: vec![digest],
            accumulated: Vec::new(),
            undecided: 0,
            finished: false,
            paused: None,
            fresh: durable.clone(),
            durable,
            kept: BTreeMap::new(),
            expected: Expected::Anything,
            config: config.clone(),
        }
    }

    pub(crate) fn merges(&self) -> u64 {
        self.durable.merges
    }

    /// The lease as it was handed out.
    pub(crate) fn lease(&self, lease: LeaseId) -> Option<&Lease> {
        self.leases.get(&lease).map(|known| &known.lease)
    }

    /// Notes what is about to be told, and what that must bring.
    pub(crate) fn before(&mut self, event: &Event) {
        self.expected = match event {
            Event::WorkerJoined { worker } => {
                self.present.insert(*worker);
                Expected::Anything
            }
            Event::WorkerLeft { worker } => {
                self.present.remove(worker);
                self.away.remove(worker);
                Expected::Only(*worker, Vec::new())
            }
            Event::WorkerDetached { worker } => {
                self.away.insert(*worker);
                Expected::Anything
            }
            Event::WorkerReturned { worker, leases } => {
                self.away.remove(worker);
                Expected::Only(*worker, leases.clone())
            }
            Event::Pulled { worker, lease, pending } => {
                match self.leases.get_mut(lease).filter(|known| known.worker == *worker) {
                    Some(known) => known.pending.clone_from(pending),
                    None if lease.incarnation == self.incarnation => {}
                    None => return self.expect(Expected::Refusal(*worker, *lease, Reason::Fenced)),
                }
                Expected::Anything
            }
            Event::DeltaReceived { worker, lease } => self.expect_of_delta(*worker, *lease),
            Event::DeltaScreened { lease, finite, length_ok, norm } => {
                self.expect_of_screening(*lease, *finite, *length_ok, *norm)
            }
            Event::Pause | Event::Resume | Event::LearningRate { .. } => self.expect_of_act(event),
            _ => Expected::Anything,
        };
    }

    fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    fn expect_of_delta(&mut self, worker: WorkerKey, lease: LeaseId) -> Expected {
        if lease.incarnation != self.incarnation {
            return Expected::Refusal(worker, lease, Reason::Fenced);
        }
        let gone = self.is_settled(lease);
        let Some(known) = self.leases.get_mut(&lease).filter(|known| known.worker == worker) else {
            return Expected::Refusal(worker, lease, Reason::UnknownLease);
        };
        if known.received || known.end.is_some() {
            return Expected::NoScreen(lease);
        }
        known.received = true;
        match (self.finished, gone) {
            (true, _) => Expected::End(lease, Err(Reason::Ended)),
            (_, true) => Expected::End(lease, Err(Reason::Duplicate)),
            _ => Expected::Screen(lease),
        }
    }

    fn expect_of_screening(
        &mut self,
        lease: LeaseId,
        finite: bool,
        length_ok: bool,
        norm: f64,
    ) -> Expected {
        let gone = self.is_settled(lease);
        let Some(known) = self.leases.get_mut(&lease).filter(|known| known.end.is_none()) else {
            return Expected::Anything;
        };
        let norm = norm / (known.lease.steps() as f64).sqrt();
        let judged = match () {
            () if self.finished => Err(Reason::Ended),
            () if gone => Err(Reason::Duplicate),
            () if !length_ok => Err(Reason::Length),
            () if !finite => Err(Reason::NotFinite),
            () => self.durable.norms.judge(norm, known.usual, self.config.deterministic),
        };
        if let Ok(clip) = judged {
            known.clip = clip;
            self.durable.norms.accept(norm * clip);
        }
        Expected::End(lease, judged)
    }

    /// Looks at what the engine answered.
    pub(crate) fn after(&mut self, actions: &[Action]) -> Check {
        for action in actions {
            self.see(action)?;
        }
        let about = |lease: LeaseId| {
            move |action: &&Action| {
                matches!(action, Action::Screen { lease: of } | Action::LeaseEnded { lease: of, .. }
                    if *of == lease)
            }
        };
        match std::mem::replace(&mut self.expected, Expected::Anything) {
            Expected::Anything => {}
            Expected::Refusal(worker, lease, reason) => {
                let outcome = Outcome::Rejected(reason);
                let answer = Action::Acknowledge { worker, lease, outcome };
                ensure!(actions.contains(&answer), "I3 refusals", "{lease} was not {reason:?}");
                let other = actions.iter().find(about(lease)).filter(|_| reason == Reason::Fenced);
                ensure!(other.is_none(), "I3 refusals", "{lease} is fenced, and yet {other:?}");
            }
            Expected::Only(worker, named) => {
                let left = self.open.iter().filter(|lease| !named.contains(lease));
                let mut left = left.filter_map(|lease| self.leases.get(lease));
                let kept = left.find(|known| known.worker == worker && !known.received);
                ensure!(kept.is_none(), "I1 ends", "{worker} is gone, and not {kept:?}");
            }
            Expected::Screen(lease) => {
                let screened = actions.contains(&Action::Screen { lease });
                ensure!(screened, "I1 deltas", "the delta of {lease} was not screened");
            }
            Expected::NoScreen(lease) => {
                let found = actions.iter().find(about(lease));
                ensure!(found.is_none(), "I3 repeats", "a repeated push of {lease} made {found:?}");
            }
            Expected::End(lease, judged) => {
                let end = self.leases.get(&lease).and_then(|known| known.end);
                let fits = match (judged, end) {
                    (Ok(_), Some(End::Merged { .. })) => true,
                    (Err(reason), Some(End::Rejected { reason: said, .. })) => said == reason,
                    _ => false,
                };
                ensure!(fits, "I3 screening", "{lease} should end {judged:?} and ended {end:?}");
            }
        }
        Ok(())
    }

    fn see(&mut self, action: &Action) -> Check {
        match action {
            Action::Lease { worker, lease } => self.leased(*worker, lease),
            Action::Snapshot { worker, lease, version, contains } => {
                self.answered(*worker, *lease, *version, contains)
            }
            Action::Screen { lease } => {
                let known = self.leases.get(lease);
                let fits = known.is_some_and(|known| known.received && known.end.is_none());
                ensure!(fits, "I3 screening", "{lease} is screened and has no delta: {known:?}");
                Ok(())
            }
            Action::Merge { lease, order } => self.ordered(*lease, order),
            Action::Acknowledge { worker, lease, outcome } => {
                self.acknowledged(*worker, *lease, *outcome)
            }
            Action::LeaseEnded { worker, lease, unit, in_epoch, end } => {
                self.ended(*worker, *lease, (*unit, *in_epoch), *end)
            }
            Action::EpochComplete { epoch, version, summary } => {
                ensure!(
                    version.number == self.version,
                    "I2 versions",
                    "{version} at an epoch's end"
                );
                self.completed(*epoch, summary)
            }
            Action::Finished { version } => {
                ensure!(!self.finished, "ends", "the run is over for the second time");
                ensure!(version.number == self.version, "I2 versions", "{version} at the end");
                self.finished = true;
                Ok(())
            }
        }
    }

    fn leased(&mut self, worker: WorkerKey, lease: &Lease) -> Check {
        let id = lease.id;
        ensure!(!self.finished, "ends", "{id} after the end");
        // A deterministic round is finished, and no other one begun.
        let deterministic = self.config.deterministic;
        let pauses = self.paused.is_some_and(|at| !deterministic || at != self.version);
        ensure!(!pauses, "pauses", "{id} while the run is paused");
        ensure!(lease.learning_rate == self.durable.rate, "rates", "{id}: {}", lease.learning_rate);
        let there = self.present.contains(&worker) && !self.away.contains(&worker);
        ensure!(there, "leases", "{id} goes to {worker}, who is gone");
        ensure!(id.incarnation == self.incarnation, "lease names", "{id} is of another start");
        ensure!(lease.epoch >= self.durable.complete, "I1 rows", "{id} is of a complete epoch");
        let settled = self.rows(lease).any(|row| *row != 0);
        ensure!(!settled && lease.samples() > 0, "I1 rows", "{id} has rows that are settled");
        let epoch = lease.epoch as usize;
        self.durable.counts[epoch].leases += 1;
        self.durable.handed[epoch] += lease.samples();
        let known = Known {
            worker,
            lease: lease.clone(),
            base: self.version,
            usual: None,
            pending: Vec::new(),
            received: false,
            unit: 0,
            end: None,
            ordered: false,
            clip: 1.0,
            acknowledged: None,
        };
        self.open.insert(id);
        let before = self.leases.insert(id, known);
        ensure!(before.is_none(), "lease names", "{id} is used twice");
        Ok(())
    }

    fn place(&self, segment: &Segment) -> std::ops::Range<usize> {
        let before = self.config.shards.iter().take(segment.shard as usize);
        let start = before.map(|rows| *rows as usize).sum::<usize>() + segment.start as usize;
        start..start + segment.count as usize
    }

    fn rows<'a>(&'a self, lease: &'a Lease) -> impl Iterator<Item = &'a u8> {
        let rows = &self.durable.rows[lease.epoch as usize];
        lease.segments.iter().flat_map(move |segment| &rows[self.place(segment)])
    }

    /// Whether the rows of a lease are merged or dropped.
    fn is_settled(&self, lease: LeaseId) -> bool {
        self.leases.get(&lease).is_some_and(|known| self.rows(&known.lease).any(|row| *row != 0))
    }

    fn counts(&mut self, epoch: u32) -> &mut EpochSummary {
        if epoch < self.durable.complete {
            &mut self.durable.after
        } else {
            &mut self.durable.counts[epoch as usize]
        }
    }

    fn completed(&mut self, epoch: u32, summary: &EpochSummary) -> Check {
        ensure!(
            epoch == self.durable.complete,
            "I1 epochs",
            "epoch {epoch} completes out of order"
        );
        let left = self.durable.rows[epoch as usize].iter().filter(|row| **row == 0).count();
        ensure!(left == 0, "I1 epochs", "epoch {epoch} is complete without {left} of its rows");
        self.compare(epoch, summary)?;
        self.durable.complete += 1;
        Ok(())
    }

    /// I9: an epoch's counts are those of its rows in the ledger.
    fn compare(&self, epoch: u32, said: &EpochSummary) -> Check {
        let own = self.summary(epoch, said);
        ensure!(own == *said, "I9 counts", "epoch {epoch}: {said:?} and in the ledger {own:?}");
        let fits = said.late <= said.expired && said.backup <= said.leases;
        ensure!(fits, "I9 counts", "epoch {epoch}: {said:?}");
        Ok(())
    }

    /// The model's counts; those that only the engine knows are taken over.
    fn summary(&self, epoch: u32, said: &EpochSummary) -> EpochSummary {
        let own = self.durable.counts[epoch as usize].clone();
        let re_leased = self.durable.handed[epoch as usize] - own.samples - own.dropped_samples();
        EpochSummary { re_leased, backup: said.backup, expired: said.expired, ..own }
    }

    /// What a pull may be told of the worker's own deltas.
    fn answered(
        &mut self,
        worker: WorkerKey,
        id: LeaseId,
        version: Version,
        contains: &[LeaseId],
    ) -> Check {
        let right = version.number == self.version && version.incarnation == self.incarnation;
        ensure!(right, "I2 versions", "{id} gets {version}");
        ensure!(!self.away.contains(&worker), "pulls", "{id} gets parameters that nobody takes");
        let usual = self.durable.norms.median();
        let Some(known) = self.leases.get_mut(&id).filter(|known| known.worker == worker) else {
            fail!("pulls", "{worker} gets parameters for {id}, which it never had");
        };
        ensure!(known.end.is_none(), "pulls", "{id} gets parameters and has ended");
        known.base = self.version;
        known.usual = usual;
        let pending = known.pending.clone();
        for own in pending {
            let here = self.leases.get(&own).filter(|known| known.worker == worker);
            let here = here.filter(|_| own.incarnation == self.incarnation);
            let forget = here.is_none_or(|known| match self.config.mode {
                Mode::Synchronous => known.received || known.end.is_some(),
                Mode::Asynchronous | Mode::Hogwild => known.end.is_some(),
            });
            let said = contains.contains(&own);
            ensure!(said == forget, "pulls", "{id}: whether to forget {own}: {said}, not {forget}");
        }
        Ok(())
    }

    /// The end of the run: everything adds up.
    pub(crate) fn finish(&self, status: &engine::Status, stopped: bool) -> Check {
        let complete = stopped || self.durable.complete == self.config.epochs;
        ensure!(complete, "I1 epochs", "epochs are missing");
        // What a stopped run leaves under way is in no count of samples leased again.
        if !stopped {
            self.compare_totals(&status.totals)?;
        }
        let merges = status.merges;
        ensure!(merges == self.merges(), "I2 versions", "{merges} merges, not {}", self.merges());
        let merged: u64 = self.durable.counts.iter().map(|epoch| epoch.samples).sum();
        ensure!(merged == status.merged_samples, "I9 counts", "{merged} samples are merged");
        ensure!(status.finished, "ends", "the run is over, and its status is not");
        Ok(())
    }

    fn compare_totals(&self, said: &EpochSummary) -> Check {
        let mut own = EpochSummary {
            backup: said.backup,
            expired: said.expired,
            ..self.durable.after.clone()
        };
        for epoch in 0..self.config.epochs {
            let counts = self.summary(epoch, said);
            own.samples += counts.samples;
            own.units += counts.units;
            own.leases += counts.leases;
            own.released += counts.released;
            own.duplicate += counts.duplicate;
            own.late += counts.late;
            own.re_leased += counts.re_leased;
            for (sum, counts) in
                [(&mut own.rejected, counts.rejected), (&mut own.dropped, counts.dropped)]
            {
                for (reason, count) in counts {
                    *sum.entry(reason).or_default() += count;
                }
            }
        }
        ensure!(own == *said, "I9 counts", "in all {said:?}, and in the ledger {own:?}");
        Ok(())
    }

    /// What of a state can be told without looking inside.
    pub(crate) fn compare_state(&self, state: &State) -> Check {
        let (totals, open) = state.counts();
        for (epoch, said) in &open {
            self.compare(*epoch, said)?;
        }
        ensure!(state.merges() == self.merges(), "I6 restarts", "merges: {}", state.merges());
        self.compare_totals(&totals)
    }
}
