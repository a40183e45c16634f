//! How a run stands, for the page: one object that the control task writes and the server reads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::Status;
use model::Metrics;
use serde::Serialize;

use super::curve::Curve;
use super::exposition::{self, Figures, Kind};
use super::live::Live as Watched;
use super::{Ending, EpochRecord, Tally, finite};

/// A browser that has not asked for so long is gone: it asks every few seconds, hidden ones more
/// rarely.
const PRESENT_TIME: Duration = Duration::from_secs(15);

/// What a run's state may be called.
pub(super) const STATES: [&str; 4] = ["waiting", "training", "paused", "ended"];

/// The board of one run.
#[derive(Debug)]
pub struct Board {
    live: Mutex<Live>,
    /// The same, and more, for those who watch.
    watched: Arc<Watched>,
    asked: Mutex<Option<Instant>>,
    restarts: AtomicBool,
    merge_us: AtomicU64,
}

/// What the page is given.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Live {
    pub(super) name: String,
    /// One of [`STATES`].
    pub(super) state: &'static str,
    pub(super) reason: Option<String>,
    pub(super) epoch: u32,
    pub(super) epochs: u32,
    pub(super) samples: u64,
    pub(super) total_samples: u64,
    pub(super) samples_per_second: f64,
    pub(super) seconds: f64,
    pub(super) workers: usize,
    pub(super) min_workers: u32,
    pub(super) parameters: u64,
    #[serde(serialize_with = "Curve::pairs")]
    pub(super) curve: Curve,
    pub(super) records: Vec<EpochRecord>,
    pub(super) test_accuracy: Option<f64>,
    pub(super) test_loss: Option<f64>,
    pub(super) test_mae: Option<f64>,
    #[serde(skip)]
    pub(super) figures: Figures,
}

impl Board {
    /// The board of a run that has not begun, or goes on after these epochs.
    #[must_use]
    pub fn new(watched: Arc<Watched>, records: Vec<EpochRecord>) -> Self {
        let about = watched.about();
        let live = Live {
            name: about.name.clone(),
            state: STATES[0],
            parameters: about.parameters,
            min_workers: about.min_workers,
            records,
            ..Live::default()
        };
        let restarts = AtomicBool::new(false);
        let (asked, merge_us) = (Mutex::new(None), AtomicU64::new(0));
        Self { live: Mutex::new(live), watched, asked, restarts, merge_us }
    }

    /// The run for those who watch it.
    #[must_use]
    pub fn live(&self) -> &Arc<Watched> {
        &self.watched
    }

    /// How the run stands, as JSON; and the mark that a browser is there.
    ///
    /// # Errors
    /// Never in practice: all of it is plain data.
    pub fn read(&self) -> serde_json::Result<Vec<u8>> {
        *locked(&self.asked) = Some(Instant::now());
        serde_json::to_vec(&*locked(&self.live))
    }

    /// The coordinator ends in order to be started again.
    pub(super) fn restart(&self) {
        self.restarts.store(true, Ordering::Relaxed);
    }

    /// Whether the run goes on with another start of the coordinator.
    #[must_use]
    pub fn restarts(&self) -> bool {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Whether a browser watches, or has asked lately.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched.viewers() > 0
            || locked(&self.asked).is_some_and(|asked| asked.elapsed() < PRESENT_TIME)
    }

    /// An epoch was evaluated; its model may be the best so far.
    pub(super) fn epoch(&self, record: &EpochRecord, is_best: bool) {
        locked(&self.live).records.push(record.clone());
        self.watched.epoch(record, is_best);
    }

    pub(super) fn status(&self, status: &Status, speed: f64, time: Duration, curve: &Curve) {
        let mut live = locked(&self.live);
        live.state = match () {
            () if status.paused => STATES[2],
            () if status.totals.leases > 0 => STATES[1],
            () => STATES[0],
        };
        live.show(status, speed, time);
        live.workers = status.workers.len();
        live.curve.clone_from(curve);
    }

    /// Who is connected.
    pub(super) fn kinds(&self, kinds: BTreeMap<Kind, u64>) {
        locked(&self.live).figures.kinds = kinds;
    }

    /// So much time was spent on a merge.
    pub(super) fn merged(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.merge_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// How the run stands, for Prometheus, with bytes from and to workers so far. This is no sign of a
    /// browser: who measures must not keep the page up.
    #[must_use]
    pub fn exposition(&self, bytes: (u64, u64)) -> String {
        let seconds = Duration::from_micros(self.merge_us.load(Ordering::Relaxed)).as_secs_f64();
        exposition::text(&locked(&self.live), bytes, seconds)
    }

    /// The run is over: from now on the board says what the command says at its end.
    pub fn end(&self, ended: &Ended<'_>) {
        let Ended { ending, test, classes, status, tally, bytes } = ended;
        let mut live = locked(&self.live);
        live.show(status, tally.samples_per_second(), tally.training_time());
        live.state = STATES[3];
        live.reason = Some(ending.sentence());
        live.workers = 0;
        live.figures.kinds.clear();
        live.figures.bytes = Some(*bytes);
        live.test_loss = test.and_then(|test| finite(test.loss()));
        if *classes {
            live.test_accuracy = test.and_then(|test| finite(test.accuracy()));
        } else {
            live.test_mae = test.and_then(|test| finite(test.mae()));
        }
        drop(live);
        self.watched.end(ended);
    }
}

/// A run that is over.
#[derive(Debug)]
pub struct Ended<'a> {
    /// How it ended.
    pub ending: &'a Ending,
    /// The result on the test samples.
    pub test: Option<&'a Metrics>,
    /// Whether the model says classes.
    pub classes: bool,
    /// The engine's last word.
    pub status: &'a Status,
    /// What was counted for people.
    pub tally: &'a Tally,
    /// From and to workers.
    pub bytes: (u64, u64),
}

impl Live {
    fn show(&mut self, status: &Status, speed: f64, time: Duration) {
        self.epoch = (status.epoch + 1).min(status.epochs);
        self.epochs = status.epochs;
        self.samples = status.merged_samples;
        self.total_samples = status.total_samples;
        self.samples_per_second = speed;
        self.seconds = time.as_secs_f64();
        let figures = &mut self.figures;
        figures.totals.clone_from(&status.totals);
        figures.merges = status.merges;
        figures.learning_rate = status.learning_rate;
        figures.units = status.units;
    }
}

/// The locks are held for plain assignments, which cannot fail half-way.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
