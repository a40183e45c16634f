//! How a run stands at one moment, for people who watch it: plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::{EpochSummary, Mode, Status, UnitCounts};
use protocol::Reason;
use serde::Serialize;

use super::super::{EpochRecord, Tally, WorkerTally, finite};
use model::Metrics;

/// Workers that are listed: more are counted only.
pub(crate) const WORKERS_MAX: usize = 200;

/// What does not change while a run goes on.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// The job's name.
    pub name: String,
    /// The run folder's name.
    pub run: String,
    /// Of this program.
    pub version_of_herd: &'static str,
    /// How workers and master keep step.
    pub mode: Mode,
    /// Whether the model says classes.
    pub classes: bool,
    /// Trained values of the model.
    pub parameters: u64,
    /// Rows per batch.
    pub batch_size: u32,
    /// Training begins when so many workers are there.
    pub min_workers: u32,
    /// Which start of the coordinator this is.
    pub incarnation: u32,
    /// Longest time of training, in seconds.
    #[serde(skip)]
    pub max_seconds: Option<f64>,
}

/// The view as it is serialised.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    #[serde(flatten)]
    pub(crate) about: About,
    /// `waiting`, `training`, `paused` or `ended`.
    pub(crate) state: &'static str,
    /// How the run ends, once that is decided.
    pub(crate) reason: Option<String>,
    pub(crate) epoch: u32,
    pub(crate) epochs: u32,
    pub(crate) samples: u64,
    pub(crate) total_samples: u64,
    /// Of the last seconds; at the end the mean.
    pub(crate) samples_per_second: f64,
    pub(crate) mean_samples_per_second: f64,
    pub(crate) seconds: f64,
    pub(crate) seconds_left: Option<f64>,
    pub(crate) versions: u64,
    /// What the next lease gets.
    pub(crate) learning_rate: f64,
    /// The same before the schedule.
    pub(crate) base_learning_rate: f64,
    pub(crate) units: Units,
    pub(crate) leases: Leases,
    pub(crate) rejected: BTreeMap<&'static str, u64>,
    /// Samples.
    pub(crate) dropped: BTreeMap<&'static str, u64>,
    pub(crate) samples_re_leased: u64,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) viewers: usize,
    pub(crate) checkpoint: Option<Stored>,
    pub(crate) best: Option<Best>,
    pub(crate) test: Option<Test>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) workers_total: usize,
    pub(crate) workers_connected: usize,
}

/// Units, and leases that did not merge one.
#[derive(Debug, Serialize)]
pub(crate) struct Units {
    done: u64,
    out: u64,
    open: u64,
    arrived: u64,
    /// Leases beyond the first of each unit: copies, and those whose unit has to be leased again.
    again: u64,
}

/// How leases ended, or began twice.
#[derive(Debug, Serialize)]
pub(crate) struct Leases {
    expired: u64,
    released: u64,
    duplicate: u64,
    late: u64,
    backup: u64,
}

/// The newest checkpoint.
#[derive(Debug, Serialize)]
pub(crate) struct Stored {
    pub(crate) number: u64,
    pub(crate) seconds_ago: f64,
}

/// The epoch that validated best so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Best {
    pub(crate) epoch: u32,
    /// The master's version then.
    #[serde(skip)]
    pub(crate) version: u64,
    metric: &'static str,
    value: Option<f64>,
}

/// The result on the test samples.
#[derive(Debug, Serialize)]
pub(crate) struct Test {
    accuracy: Option<f64>,
    loss: Option<f64>,
    mae: Option<f64>,
}

/// One worker.
#[derive(Debug, Serialize)]
pub(crate) struct Worker {
    number: u32,
    name: String,
    client: String,
    device: String,
    /// `training`, `idle`, `away` or `gone`.
    state: &'static str,
    samples_per_second: Option<f64>,
    staleness: Option<f64>,
    merged: u64,
    samples: u64,
    share: f64,
    busy: f64,
    rejected: BTreeMap<&'static str, u64>,
    seen_seconds_ago: Option<f64>,
}

/// A worker that is here, or may come back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presence {
    pub(crate) number: u32,
    pub(crate) connected: bool,
    pub(crate) leases: u32,
    /// Since something was heard of it.
    pub(crate) silence: Duration,
}

/// What else is known at the moment of a view.
#[derive(Debug, Default)]
pub(crate) struct Moment {
    pub(crate) reason: Option<String>,
    pub(crate) seconds: f64,
    /// Samples per second of the last seconds, and of the last minute.
    pub(crate) speeds: (f64, f64),
    pub(crate) bytes: (u64, u64),
    pub(crate) viewers: usize,
    pub(crate) checkpoint: Option<Stored>,
    pub(crate) best: Option<Best>,
    pub(crate) present: Vec<Presence>,
}

impl View {
    /// The run as engine and tally have it.
    pub(crate) fn new(about: &About, status: &Status, tally: &Tally, moment: Moment) -> Self {
        let totals = &status.totals;
        let UnitCounts { open, leased, arrived } = status.units;
        let state = match () {
            () if status.paused => "paused",
            () if totals.leases == 0 => "waiting",
            () => "training",
        };
        let seconds_left = (state == "training" && !status.finished)
            .then(|| seconds_left(about, status, &moment))
            .flatten();
        let names = |counts: &BTreeMap<Reason, u64>| {
            counts.iter().map(|(reason, count)| (reason.name(), *count)).collect()
        };
        let (workers, workers_total) = workers(tally, &moment.present);
        let EpochSummary { expired, released, duplicate, late, backup, .. } = *totals;
        let first = totals.units + leased + arrived;
        Self {
            about: about.clone(),
            state,
            reason: moment.reason,
            epoch: (status.epoch + 1).min(status.epochs),
            epochs: status.epochs,
            samples: status.merged_samples,
            total_samples: status.total_samples,
            samples_per_second: moment.speeds.0,
            mean_samples_per_second: tally.samples_per_second(),
            seconds: moment.seconds,
            seconds_left,
            versions: status.merges,
            learning_rate: status.learning_rate,
            base_learning_rate: status.base_rate,
            units: Units {
                done: totals.units,
                out: leased,
                open,
                arrived,
                again: totals.leases.saturating_sub(first),
            },
            leases: Leases { expired, released, duplicate, late, backup },
            rejected: names(&totals.rejected),
            dropped: names(&totals.dropped),
            samples_re_leased: totals.re_leased,
            bytes_up: moment.bytes.0,
            bytes_down: moment.bytes.1,
            viewers: moment.viewers,
            checkpoint: moment.checkpoint,
            best: moment.best,
            test: None,
            workers,
            workers_total,
            workers_connected: moment.present.iter().filter(|worker| worker.connected).count(),
        }
    }

    /// The same of a run that is over, with the result on the test samples.
    pub(crate) fn ended(mut self, test: Option<&Metrics>) -> Self {
        self.state = "ended";
        self.samples_per_second = self.mean_samples_per_second;
        self.seconds_left = None;
        let classes = self.about.classes;
        self.test = test.map(|test| Test {
            accuracy: classes.then(|| test.accuracy()).and_then(finite),
            loss: finite(test.loss()),
            mae: (!classes).then(|| test.mae()).and_then(finite),
        });
        self
    }
}

impl Best {
    /// An epoch that validated best.
    pub(crate) fn of(record: &EpochRecord) -> Self {
        let (metric, value) = match record.validation_accuracy {
            Some(accuracy) => ("validation accuracy", Some(accuracy)),
            None => ("validation loss", record.validation_loss),
        };
        Self { epoch: record.epoch, version: record.version, metric, value }
    }
}

/// At the speed of the last minute, and at most to the end of the time that the run may take.
fn seconds_left(about: &About, status: &Status, moment: &Moment) -> Option<f64> {
    let left = status.total_samples.saturating_sub(status.merged_samples) as f64;
    let speed = moment.speeds.1;
    let seconds = (speed > 0.0).then(|| left / speed)?;
    let most = about.max_seconds.map_or(f64::INFINITY, |most| most - moment.seconds);
    finite(seconds.min(most.max(0.0)))
}

/// Those who are connected or may be back, by number, then those who have left; with the number of
/// all of them.
fn workers(tally: &Tally, present: &[Presence]) -> (Vec<Worker>, usize) {
    let mut present: Vec<&Presence> = present.iter().collect();
    present.sort_unstable_by_key(|worker| (!worker.connected, worker.number));
    let here: BTreeSet<u32> = present.iter().map(|worker| worker.number).collect();
    let gone = || {
        let gone =
            tally.all().filter(|(number, worker)| worker.has_trained() && !here.contains(number));
        gone.map(|(number, worker)| (number, worker, None))
    };
    let listed = present
        .iter()
        .filter_map(|worker| Some((worker.number, tally.get(worker.number)?, Some(**worker))));
    let samples = tally.samples().max(1) as f64;
    let workers = listed.chain(gone()).take(WORKERS_MAX);
    let workers = workers.map(|(number, tally, presence)| worker(number, tally, presence, samples));
    (workers.collect(), present.len() + gone().count())
}

fn worker(number: u32, tally: &WorkerTally, presence: Option<Presence>, samples: f64) -> Worker {
    let state = match presence {
        None => "gone",
        Some(Presence { connected: false, .. }) => "away",
        Some(Presence { leases: 0, .. }) => "idle",
        Some(_) => "training",
    };
    let known = !tally.client.is_empty();
    Worker {
        number,
        name: tally.name.clone(),
        client: if known { tally.client.clone() } else { "other".to_owned() },
        device: tally.device.clone(),
        state,
        samples_per_second: Some(tally.speed()).filter(|speed| *speed > 0.0),
        staleness: tally.staleness(),
        merged: tally.merged,
        samples: tally.samples,
        share: tally.samples as f64 / samples,
        busy: tally.busy_percent() / 100.0,
        rejected: tally.rejected.clone(),
        seen_seconds_ago: presence.map(|presence| presence.silence.as_secs_f64()),
    }
}
