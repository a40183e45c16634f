//! What is counted for people: who trained how much, how busily, at what speed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use engine::{End, WorkerKey};
use protocol::message::DeviceKind;
use protocol::{Hello, Identity, Reason, Report};
use serde::{Deserialize, Serialize};

use super::Shell;
use super::clock::Clock;
use super::curve::Curve;
use super::exposition::Kind;
use super::finite;
use super::history::History;
use crate::storage::WorkerRow;

/// One worker's part of a run.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerTally {
    /// As it calls itself.
    pub name: String,
    /// `cpu` or `gpu`, and the processor's name.
    pub device: String,
    /// Samples of its deltas that were merged.
    pub samples: u64,
    /// Its deltas that were merged.
    pub merged: u64,
    /// Its deltas that were refused, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Part of its time that went into training, in percent.
    pub busy_percent: f64,
    /// Samples per second of training time.
    pub samples_per_second: f64,
    #[serde(skip)]
    identity: (Identity, u16),
    #[serde(skip)]
    busy: Duration,
    #[serde(skip)]
    trained: u64,
    /// Sum of the staleness of its merged deltas.
    #[serde(skip)]
    staleness: u64,
    /// What program it is, as it says itself.
    #[serde(skip)]
    pub(super) client: String,
    /// Time from its first lease to its last merge, in earlier starts of the coordinator.
    #[serde(skip)]
    present_before: Duration,
    /// By the run's clock.
    #[serde(skip)]
    first_lease: Option<Duration>,
    #[serde(skip)]
    last_merge: Option<Duration>,
}

/// What a checkpoint holds of a worker's tally.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Facts {
    samples: u64,
    merged: u64,
    rejected: BTreeMap<String, u64>,
    busy_seconds: f64,
    present_seconds: f64,
    trained: u64,
    #[serde(default)]
    staleness: u64,
    #[serde(default)]
    client: String,
}

/// All workers of a run, those that left included. A worker keeps its number through all of its
/// sessions.
#[derive(Debug, Default)]
pub struct Tally {
    workers: BTreeMap<u32, WorkerTally>,
    numbers: HashMap<(Identity, u16), u32>,
    /// Workers of which something is new since the last checkpoint.
    changed: BTreeSet<u32>,
    clock: Clock,
    /// Workers that joined since this start.
    here: BTreeSet<u32>,
    samples: u64,
    samples_before: u64,
    /// Loss sum and samples of the deltas that came, by the epoch of their lease.
    losses: BTreeMap<u32, (f64, u64)>,
    curve: Curve,
    history: History,
}

impl Tally {
    /// The tally of a run that goes on, of which so many samples are merged.
    #[must_use]
    pub fn restored(workers: Vec<WorkerRow>, shell: &Shell, samples: u64) -> Self {
        let mut tally = Self {
            clock: Clock::after(seconds(shell.seconds)),
            curve: shell.curve.clone(),
            samples,
            samples_before: samples,
            history: shell.history.clone(),
            ..Self::default()
        };
        for row in workers {
            // What another version wrote is shown as nothing rather than wrong.
            let facts: Facts = serde_json::from_value(row.facts).unwrap_or_default();
            let rejected = facts.rejected.iter().filter_map(|(name, count)| {
                Reason::from_name(name).map(|reason| (reason.name(), *count))
            });
            let identity = (row.identity, row.slot);
            let worker = WorkerTally {
                name: row.name,
                device: row.device,
                samples: facts.samples,
                merged: facts.merged,
                rejected: rejected.collect(),
                busy: seconds(facts.busy_seconds),
                trained: facts.trained,
                present_before: seconds(facts.present_seconds),
                staleness: facts.staleness,
                client: facts.client,
                ..WorkerTally::new(identity)
            };
            tally.numbers.insert(identity, row.number);
            tally.workers.insert(row.number, worker);
        }
        tally
    }

    /// A connection of a worker is open; gives the worker's number, from 1.
    pub fn joined(&mut self, connection: WorkerKey, hello: &Hello) -> u32 {
        let kind = match hello.device {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Gpu => "gpu",
        };
        let device = if hello.device_name.eq_ignore_ascii_case(kind) {
            kind.to_owned()
        } else {
            format!("{kind} ({})", printable(&hello.device_name))
        };
        let given = printable(&hello.name);
        let name = if given.is_empty() { connection.to_string() } else { given };
        let identity = (hello.identity, hello.slot);
        let next = self.workers.last_key_value().map_or(1, |(last, _)| last + 1);
        let number = *self.numbers.entry(identity).or_insert(next);
        let worker = self.workers.entry(number).or_insert_with(|| WorkerTally::new(identity));
        (worker.name, worker.device) = (name, device);
        worker.client = Kind::of(hello).client().to_owned();
        self.changed.insert(number);
        self.here.insert(number);
        number
    }

    /// A worker's name for messages.
    #[must_use]
    pub fn name(&self, number: u32) -> &str {
        self.workers.get(&number).map_or("a worker", |tally| &tally.name)
    }

    /// Workers that joined since this start.
    #[must_use]
    pub fn joined_count(&self) -> usize {
        self.here.len()
    }

    /// What is new since the last checkpoint.
    pub(super) fn take_changed(&mut self) -> Vec<WorkerRow> {
        let changed = std::mem::take(&mut self.changed);
        let rows = changed.into_iter().filter_map(|number| {
            let worker = self.workers.get(&number)?;
            let rejected = &worker.rejected;
            let facts = Facts {
                samples: worker.samples,
                merged: worker.merged,
                rejected: rejected
                    .iter()
                    .map(|(name, count)| ((*name).to_owned(), *count))
                    .collect(),
                busy_seconds: worker.busy.as_secs_f64(),
                present_seconds: worker.present().as_secs_f64(),
                trained: worker.trained,
                staleness: worker.staleness,
                client: worker.client.clone(),
            };
            Some(WorkerRow {
                number,
                identity: worker.identity.0,
                slot: worker.identity.1,
                name: worker.name.clone(),
                device: worker.device.clone(),
                facts: serde_json::json!(facts),
            })
        });
        rows.collect()
    }

    fn worker(&mut self, number: u32) -> Option<&mut WorkerTally> {
        let worker = self.workers.get_mut(&number)?;
        self.changed.insert(number);
        Some(worker)
    }

    /// Whether any lease was handed out.
    #[must_use]
    pub fn has_leased(&self) -> bool {
        self.clock.has_begun()
    }

    /// A lease was handed out.
    pub fn leased(&mut self, worker: u32, now: Instant) {
        self.clock.begin(now);
        let reading = self.clock.reading(now);
        if let Some(tally) = self.worker(worker) {
            tally.first_lease.get_or_insert(reading);
        }
    }

    /// The delta of a lease of so many samples came, with the worker's report.
    pub fn reported(&mut self, worker: u32, epoch: u32, samples: u64, report: &Report) {
        let (loss_sum, count) = self.losses.entry(epoch).or_default();
        *loss_sum += report.loss_sum;
        *count += samples;
        let clock = &self.clock;
        self.curve.add(samples, report.loss_sum, || clock.elapsed(Instant::now()));
        if let Some(tally) = self.worker(worker) {
            tally.busy = tally.busy.saturating_add(Duration::from_micros(report.busy_us));
            tally.trained += samples;
        }
    }

    /// A lease of so many samples has ended.
    pub fn ended(&mut self, number: u32, samples: u64, end: End, now: Instant) {
        match end {
            End::Merged { staleness, .. } => {
                self.clock.merge(now);
                let reading = self.clock.merged();
                self.samples += samples;
                if let Some(tally) = self.worker(number) {
                    tally.last_merge = Some(reading);
                    tally.samples += samples;
                    tally.merged += 1;
                    tally.staleness += staleness;
                }
            }
            End::Rejected { reason, .. } => self.rejected(number, reason),
            End::Released => {}
        }
    }

    /// A delta was refused.
    pub fn rejected(&mut self, worker: u32, reason: Reason) {
        if let Some(tally) = self.worker(worker) {
            *tally.rejected.entry(reason.name()).or_default() += 1;
        }
    }

    /// How many of a worker's deltas were refused for this reason.
    pub(super) fn refusals(&self, worker: u32, reason: Reason) -> u64 {
        let refused = self.workers.get(&worker).and_then(|tally| tally.rejected.get(reason.name()));
        refused.copied().unwrap_or_default()
    }

    /// The run's clock stands still.
    pub(super) fn pause(&mut self, now: Instant) {
        self.clock.pause(now);
    }

    /// It goes on.
    pub(super) fn resume(&mut self, now: Instant) {
        self.clock.resume(now);
    }

    /// Mean loss of an epoch's samples, as workers reported it; forgotten by this call.
    pub fn take_training_loss(&mut self, epoch: u32) -> Option<f64> {
        let (sum, samples) = self.losses.remove(&epoch)?;
        // Late copies of units that were counted already.
        self.losses.retain(|late, _| *late > epoch);
        (samples > 0).then(|| sum / samples as f64).and_then(finite)
    }

    /// Notes how the run stands, with so many workers; without a number it is over, and its time ended
    /// with the last merge.
    pub(super) fn look(&mut self, now: Instant, workers: Option<usize>) {
        if self.clock.has_begun() {
            let time = if workers.is_some() { self.elapsed(now) } else { self.training_time() };
            let workers = workers.map_or(self.history.workers(), |workers| workers as u64);
            self.history.look(time, self.samples, workers);
        }
    }

    /// Samples and workers over time.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Training loss over samples.
    pub(super) fn curve(&self) -> &Curve {
        &self.curve
    }

    /// From the first lease to the last merge.
    #[must_use]
    pub fn training_time(&self) -> Duration {
        self.clock.training_time()
    }

    /// Time since the first lease; pauses take none.
    #[must_use]
    pub fn elapsed(&self, now: Instant) -> Duration {
        self.clock.elapsed(now)
    }

    /// When training will have taken so long; nothing before the first lease, and in a pause.
    #[must_use]
    pub fn moment_of(&self, time: Duration) -> Option<Instant> {
        self.clock.moment_of(time)
    }

    /// Merged samples per second of the training time since this start.
    #[must_use]
    pub fn samples_per_second(&self) -> f64 {
        rate(self.samples - self.samples_before, self.clock.merged())
    }

    /// Fleet speed over the speed of the fastest single worker while it trains.
    #[must_use]
    pub fn speed_up(&self) -> Option<f64> {
        let best = self.workers.values().map(WorkerTally::speed).fold(0.0, f64::max);
        (best > 0.0).then(|| self.samples_per_second() / best)
    }

    /// Workers that were given a lease, by the time of joining, with their shares worked out.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerTally> {
        let trained = self.workers.values().filter(|tally| tally.has_trained());
        trained
            .map(|tally| WorkerTally {
                busy_percent: tally.busy_percent(),
                samples_per_second: tally.speed(),
                ..tally.clone()
            })
            .collect()
    }

    /// All workers ever seen, by number, without their shares worked out.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &WorkerTally)> {
        self.workers.iter().map(|(number, worker)| (*number, worker))
    }

    pub(super) fn get(&self, number: u32) -> Option<&WorkerTally> {
        self.workers.get(&number)
    }

    /// Samples merged, those of earlier starts included.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }
}

impl WorkerTally {
    fn new(identity: (Identity, u16)) -> Self {
        Self {
            name: String::new(),
            device: String::new(),
            samples: 0,
            merged: 0,
            rejected: BTreeMap::new(),
            busy_percent: 0.0,
            samples_per_second: 0.0,
            identity,
            busy: Duration::ZERO,
            trained: 0,
            staleness: 0,
            client: String::new(),
            present_before: Duration::ZERO,
            first_lease: None,
            last_merge: None,
        }
    }

    /// From first leases to last merges.
    fn present(&self) -> Duration {
        let first = self.first_lease.unwrap_or_default();
        self.present_before + self.last_merge.unwrap_or_default().saturating_sub(first)
    }

    /// It was given a lease, or has trained in an earlier start.
    pub(super) fn has_trained(&self) -> bool {
        self.first_lease.is_some() || self.merged > 0
    }

    /// Samples per second of its own training time.
    pub(super) fn speed(&self) -> f64 {
        rate(self.trained, self.busy)
    }

    /// Part of its time that went into training, in percent.
    pub(super) fn busy_percent(&self) -> f64 {
        let part = self.busy.as_secs_f64() / self.present().as_secs_f64().max(1e-9);
        (100.0 * part).clamp(0.0, 100.0)
    }

    /// Mean number of merges by others between its pulls and its merges.
    pub(super) fn staleness(&self) -> Option<f64> {
        (self.merged > 0).then(|| self.staleness as f64 / self.merged as f64)
    }
}

/// A duration from a file, which may hold anything.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn rate(samples: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { samples as f64 / time.as_secs_f64() }
}

/// A stranger's text without control characters: it is printed on a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(100).collect()
}
