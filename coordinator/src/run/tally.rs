//! What is counted for people: who trained how much, how busily, at what speed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::WorkerKey;
use protocol::message::DeviceKind;
use protocol::{Hello, Reason, Report};
use serde::Serialize;

use super::curve::Curve;

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
    busy: Duration,
    #[serde(skip)]
    trained: u64,
    #[serde(skip)]
    first_lease: Option<Instant>,
    #[serde(skip)]
    last_merge: Option<Instant>,
}

/// All workers of a run, those that left included.
#[derive(Debug, Default)]
pub struct Tally {
    workers: BTreeMap<u64, WorkerTally>,
    first_lease: Option<Instant>,
    last_merge: Option<Instant>,
    samples: u64,
    /// Loss sum and samples of the deltas that came, by the epoch of their lease.
    losses: BTreeMap<u32, (f64, u64)>,
    curve: Curve,
}

impl Tally {
    /// A worker has joined.
    pub fn joined(&mut self, worker: WorkerKey, hello: &Hello) {
        let kind = match hello.device {
            DeviceKind::Cpu => "cpu",
            DeviceKind::Gpu => "gpu",
        };
        let device = if hello.device_name.eq_ignore_ascii_case(kind) {
            kind.to_owned()
        } else {
            format!("{kind} ({})", printable(&hello.device_name))
        };
        let name = if hello.name.is_empty() { worker.to_string() } else { printable(&hello.name) };
        let tally = WorkerTally {
            name,
            device,
            samples: 0,
            merged: 0,
            rejected: BTreeMap::new(),
            busy_percent: 0.0,
            samples_per_second: 0.0,
            busy: Duration::ZERO,
            trained: 0,
            first_lease: None,
            last_merge: None,
        };
        self.workers.insert(worker.0, tally);
    }

    /// A worker's name for messages.
    #[must_use]
    pub fn name(&self, worker: WorkerKey) -> &str {
        self.workers.get(&worker.0).map_or("a worker", |tally| &tally.name)
    }

    /// Sessions that were opened.
    #[must_use]
    pub fn joined_count(&self) -> usize {
        self.workers.len()
    }

    /// Whether any lease was handed out.
    #[must_use]
    pub fn has_leased(&self) -> bool {
        self.first_lease.is_some()
    }

    /// A lease was handed out.
    pub fn leased(&mut self, worker: WorkerKey, now: Instant) {
        self.first_lease.get_or_insert(now);
        if let Some(tally) = self.workers.get_mut(&worker.0) {
            tally.first_lease.get_or_insert(now);
        }
    }

    /// The delta of a lease of so many samples came, with the worker's report.
    pub fn reported(&mut self, worker: WorkerKey, epoch: u32, samples: u64, report: &Report) {
        let (loss_sum, count) = self.losses.entry(epoch).or_default();
        *loss_sum += report.loss_sum;
        *count += samples;
        self.curve.add(samples, report.loss_sum);
        if let Some(tally) = self.workers.get_mut(&worker.0) {
            tally.busy = tally.busy.saturating_add(Duration::from_micros(report.busy_us));
            tally.trained += samples;
        }
    }

    /// A delta of so many samples was merged.
    pub fn merged(&mut self, worker: WorkerKey, samples: u64, now: Instant) {
        self.last_merge = Some(now);
        self.samples += samples;
        if let Some(tally) = self.workers.get_mut(&worker.0) {
            tally.last_merge = Some(now);
            tally.samples += samples;
            tally.merged += 1;
        }
    }

    /// A delta was refused.
    pub fn rejected(&mut self, worker: WorkerKey, reason: Reason) {
        if let Some(tally) = self.workers.get_mut(&worker.0) {
            *tally.rejected.entry(reason.name()).or_default() += 1;
        }
    }

    /// Mean loss of an epoch's samples, as workers reported it; forgotten by this call.
    pub fn take_training_loss(&mut self, epoch: u32) -> Option<f64> {
        let (sum, samples) = self.losses.remove(&epoch)?;
        // Late copies of units that were counted already.
        self.losses.retain(|late, _| *late > epoch);
        (samples > 0).then(|| sum / samples as f64).filter(|loss| loss.is_finite())
    }

    /// Training loss over samples.
    pub(super) fn curve(&self) -> &Curve {
        &self.curve
    }

    /// From the first lease to the last merge.
    #[must_use]
    pub fn training_time(&self) -> Duration {
        match (self.first_lease, self.last_merge) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        }
    }

    /// Time since the first lease.
    #[must_use]
    pub fn elapsed(&self, now: Instant) -> Duration {
        self.first_lease.map_or(Duration::ZERO, |first| now.saturating_duration_since(first))
    }

    /// Merged samples per second of [`Self::training_time`].
    #[must_use]
    pub fn samples_per_second(&self) -> f64 {
        rate(self.samples, self.training_time())
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
        let trained = self.workers.values().filter(|tally| tally.first_lease.is_some());
        trained
            .map(|tally| {
                let present = match (tally.first_lease, tally.last_merge) {
                    (Some(first), Some(last)) => last.saturating_duration_since(first),
                    _ => Duration::ZERO,
                };
                let part = tally.busy.as_secs_f64() / present.as_secs_f64().max(1e-9);
                WorkerTally {
                    busy_percent: (100.0 * part).clamp(0.0, 100.0),
                    samples_per_second: tally.speed(),
                    ..tally.clone()
                }
            })
            .collect()
    }
}

impl WorkerTally {
    fn speed(&self) -> f64 {
        rate(self.trained, self.busy)
    }
}

fn rate(samples: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { samples as f64 / time.as_secs_f64() }
}

/// A stranger's text without control characters: it is printed on a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(100).collect()
}
