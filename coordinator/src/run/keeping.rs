//! When a run is checkpointed, and what a checkpoint holds.
//!
//! The engine's state is that after all orders so far. The order to keep it goes through the same
//! queue as the merges, so that the data plane adds the master as it is at exactly that place, and
//! nothing has to stand still.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use engine::End;
use protocol::LeaseId;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::acts::Answer;
use super::control::{Control, Leased};
use super::curve::Curve;
use super::history::History;
use super::live::EventKind;
use super::{DataCommand, Ending};
use crate::server::Traffic;
use crate::storage::{Checkpoint, LedgerRow, RowEnd};

/// What the coordinator wants back from a checkpoint beside engine, model and workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shell {
    /// Names the training data: the digests of all shards.
    pub data: String,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Bytes from workers so far.
    pub bytes_up: u64,
    /// Bytes to workers so far.
    pub bytes_down: u64,
    /// Samples and workers over time.
    #[serde(default)]
    pub history: History,
    /// Training loss over samples.
    #[serde(default)]
    pub curve: Curve,
}

/// What each checkpoint holds beside the state of engine and tally.
#[derive(Debug)]
pub struct Constants {
    /// Rows of each shard.
    pub shards: Vec<u32>,
    /// See [`Shell::data`].
    pub data: String,
    /// Counted by the server.
    pub traffic: Arc<Traffic>,
}

/// What is to be kept, and when.
pub(super) struct Keeping {
    interval: Duration,
    pub(super) constants: Constants,
    /// Leases that have ended since the last checkpoint.
    rows: Vec<LedgerRow>,
    /// When the last checkpoint was ordered.
    last: Instant,
    under_way: bool,
    /// Something has happened since the last checkpoint.
    changed: bool,
    /// Who has asked for a checkpoint that is not ordered yet: in a round it waits for its end.
    asked: Vec<oneshot::Sender<Answer>>,
    /// Who is answered when the one that is under way is on the disk.
    waiting: Vec<oneshot::Sender<Answer>>,
    /// A thread has failed: nothing can be kept any more.
    failed: bool,
}

impl Keeping {
    pub(super) fn new(now: Instant, interval: Duration, constants: Constants) -> Self {
        Self {
            interval,
            constants,
            rows: Vec::new(),
            last: now,
            under_way: false,
            changed: false,
            asked: Vec::new(),
            waiting: Vec::new(),
            failed: false,
        }
    }

    /// Somebody wants a checkpoint of what is now, and waits for it.
    pub(super) fn ask(&mut self, answer: oneshot::Sender<Answer>) {
        self.asked.push(answer);
    }

    /// A lease is no attempt any more: a row of the ledger.
    pub(super) fn ended(
        &mut self,
        lease: LeaseId,
        leased: &Leased,
        unit: u64,
        in_epoch: bool,
        end: End,
    ) {
        self.rows.push(row(lease, leased, unit, in_epoch, RowEnd::Ended(end)));
        self.changed = true;
    }

    /// When the next checkpoint is due; in the middle of a round it then waits for the round's end.
    pub(super) fn due(&self) -> Option<Instant> {
        let at = self.last + self.interval;
        (self.is_wanted() && at > Instant::now()).then_some(at)
    }

    fn is_wanted(&self) -> bool {
        self.changed && !self.under_way && !self.failed
    }

    pub(super) fn fail(&mut self) {
        self.failed = true;
        self.under_way = false;
    }
}

impl Control {
    /// Orders a checkpoint if one is due.
    pub(super) fn keep(&mut self) {
        let keeping = &self.keeping;
        let due = keeping.is_wanted() && keeping.last.elapsed() >= keeping.interval;
        let asked = !keeping.asked.is_empty() && !keeping.under_way && !keeping.failed;
        if (due || asked) && !self.finished {
            self.order_checkpoint(false);
        }
    }

    /// Orders the run's last checkpoint. Whoever joins the threads knows when it is stored.
    pub(super) fn keep_last(&mut self) {
        let ending = self.ending.as_ref().unwrap_or(&Ending::Complete);
        if !self.keeping.failed {
            self.order_checkpoint(ending.is_complete());
        }
    }

    /// A checkpoint is on the disk.
    pub(super) fn kept(&mut self, number: u64) {
        tracing::debug!("checkpoint {number}");
        self.keeping.under_way = false;
        let waiting = std::mem::take(&mut self.keeping.waiting);
        if !waiting.is_empty() {
            self.say(EventKind::Checkpoint, &format!("checkpoint {number} is on the disk"));
        }
        for answer in waiting {
            // Who asked may not wait any more.
            let _ = answer.send(Ok(format!("checkpoint {number} is on the disk")));
        }
    }

    fn order_checkpoint(&mut self, complete: bool) {
        let Some(state) = self.engine.state() else { return };
        let mut rows = std::mem::take(&mut self.keeping.rows);
        for (lease, leased) in &self.leased {
            let Some(unit) = self.engine.unit_of(*lease) else { continue };
            let in_epoch = self.engine.is_open(leased.epoch);
            rows.push(row(*lease, leased, unit, in_epoch, RowEnd::Lost));
        }
        let workers = (!self.finished).then(|| self.sessions.connected());
        self.tally.look(Instant::now(), workers);
        let constants = &self.keeping.constants;
        let shell = Shell {
            data: constants.data.clone(),
            seconds: self.tally.training_time().as_secs_f64(),
            bytes_up: constants.traffic.up.load(Ordering::Relaxed),
            bytes_down: constants.traffic.down.load(Ordering::Relaxed),
            history: self.tally.history().clone(),
            curve: self.tally.curve().clone(),
        };
        let checkpoint = Checkpoint {
            engine: state,
            version: self.engine.version_now(),
            // The thread that writes metrics and models knows these.
            metrics_bytes: 0,
            best: None,
            shell: serde_json::json!(shell),
            complete,
            shards: constants.shards.clone(),
            rows,
            workers: self.tally.take_changed(),
        };
        self.keeping.last = Instant::now();
        self.keeping.under_way = true;
        self.keeping.changed = false;
        let asked = std::mem::take(&mut self.keeping.asked);
        self.keeping.waiting.extend(asked);
        self.command(DataCommand::Keep(Box::new(checkpoint)));
    }
}

fn row(lease: LeaseId, leased: &Leased, unit: u64, in_epoch: bool, end: RowEnd) -> LedgerRow {
    LedgerRow {
        lease,
        worker: leased.number,
        unit,
        epoch: leased.epoch,
        samples: leased.samples,
        segments: leased.segments.clone(),
        in_epoch,
        end,
    }
}
