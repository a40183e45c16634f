//! How a run stands, for the page: one object that the control task writes and the server reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::Status;
use model::Metrics;
use serde::Serialize;

use super::curve::Curve;
use super::{Ending, EpochRecord};

/// A browser that has not asked for so long is gone: it asks every few seconds, hidden ones more
/// rarely.
const PRESENT_TIME: Duration = Duration::from_secs(15);

/// The board of one run.
#[derive(Debug)]
pub struct Board {
    live: Mutex<Live>,
    asked: Mutex<Option<Instant>>,
    restarts: AtomicBool,
}

/// What the page is given.
#[derive(Debug, Clone, Default, Serialize)]
struct Live {
    name: String,
    /// `waiting`, `training` or `ended`.
    state: &'static str,
    reason: Option<String>,
    epoch: u32,
    epochs: u32,
    samples: u64,
    total_samples: u64,
    samples_per_second: f64,
    seconds: f64,
    workers: usize,
    min_workers: u32,
    parameters: u64,
    curve: Curve,
    records: Vec<EpochRecord>,
    test_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_mae: Option<f64>,
}

impl Board {
    /// The board of a run that has not begun, or goes on after these epochs.
    #[must_use]
    pub fn new(name: &str, parameters: u64, min_workers: u32, records: Vec<EpochRecord>) -> Self {
        let live = Live {
            name: name.to_owned(),
            state: "waiting",
            parameters,
            min_workers,
            records,
            ..Live::default()
        };
        let restarts = AtomicBool::new(false);
        Self { live: Mutex::new(live), asked: Mutex::new(None), restarts }
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

    /// Whether a browser has asked lately.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        locked(&self.asked).is_some_and(|asked| asked.elapsed() < PRESENT_TIME)
    }

    pub(super) fn epoch(&self, record: &EpochRecord) {
        locked(&self.live).records.push(record.clone());
    }

    pub(super) fn status(&self, status: &Status, speed: f64, time: Duration, curve: &Curve) {
        let mut live = locked(&self.live);
        if live.state == "waiting" && status.totals.leases > 0 {
            live.state = "training";
        }
        live.epoch = (status.epoch + 1).min(status.epochs);
        live.epochs = status.epochs;
        live.samples = status.merged_samples;
        live.total_samples = status.total_samples;
        live.samples_per_second = speed;
        live.seconds = time.as_secs_f64();
        live.workers = status.workers.len();
        live.curve.clone_from(curve);
    }

    /// The run is over.
    pub fn end(&self, ending: &Ending, test: Option<&Metrics>, classes: bool) {
        let mut live = locked(&self.live);
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        live.state = "ended";
        live.reason = Some(ending.sentence());
        live.workers = 0;
        live.test_loss = test.and_then(|test| finite(test.loss()));
        if classes {
            live.test_accuracy = test.and_then(|test| finite(test.accuracy()));
        } else {
            live.test_mae = test.and_then(|test| finite(test.mae()));
        }
    }
}

/// The locks are held for plain assignments, which cannot fail half-way.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
