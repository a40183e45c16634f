//! Samples and workers over the time of a run, in few points however long it is.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Stretches at which neighbours are joined, apart from the open one: as many as a chart can show, and
/// some kilobytes of a checkpoint.
const STRETCHES_MAX: usize = 239;

/// Least length of a stretch while there are few.
const STRETCH_MS_MIN: u64 = 250;

/// What happened in a part of a run's time. It begins where the one before ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u64)", into = "(u64, u64, u64)")]
pub struct Stretch {
    /// Its end, in milliseconds since the first lease.
    pub end_ms: u64,
    /// Samples merged in it.
    pub samples: u64,
    /// The time of all workers in it: over its own length, their mean number.
    pub worker_ms: u64,
}

impl From<(u64, u64, u64)> for Stretch {
    fn from((end_ms, samples, worker_ms): (u64, u64, u64)) -> Self {
        Self { end_ms, samples, worker_ms }
    }
}

impl From<Stretch> for (u64, u64, u64) {
    fn from(stretch: Stretch) -> Self {
        (stretch.end_ms, stretch.samples, stretch.worker_ms)
    }
}

impl Stretch {
    /// Both as one.
    #[must_use]
    pub fn joined(self, later: Self) -> Self {
        Self {
            end_ms: later.end_ms,
            samples: self.samples.saturating_add(later.samples),
            worker_ms: self.worker_ms.saturating_add(later.worker_ms),
        }
    }
}

/// The stretches of a run, those before its last checkpoint included. A checkpoint holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Least length of a stretch.
    block_ms: u64,
    stretches: Vec<Stretch>,
    /// The one that is not over yet.
    open: Stretch,
    /// Samples merged at the last look.
    samples: u64,
    /// Workers since the last look.
    #[serde(skip)]
    workers: u64,
}

impl History {
    /// Tells how many samples are merged and workers connected at a time since the first lease. What is
    /// told of a time before the last look is counted, and takes no time.
    pub fn look(&mut self, time: Duration, samples: u64, workers: u64) {
        if self.open.end_ms == 0 {
            // They were there before the first lease.
            self.workers = workers;
        }
        let now_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(self.open.end_ms);
        let passed_ms = now_ms - self.open.end_ms;
        self.open.worker_ms =
            self.open.worker_ms.saturating_add(passed_ms.saturating_mul(self.workers));
        self.open.samples += samples.saturating_sub(self.samples);
        self.open.end_ms = now_ms;
        self.samples = samples;
        self.workers = workers;
        let begun_ms = self.stretches.last().map_or(0, |last| last.end_ms);
        if now_ms.saturating_sub(begun_ms) < self.block_ms.max(STRETCH_MS_MIN) {
            return;
        }
        self.stretches.push(self.open);
        self.open = Stretch { end_ms: now_ms, ..Stretch::default() };
        if self.stretches.len() > STRETCHES_MAX {
            self.stretches = joined(&self.stretches, 2);
            self.block_ms = 2 * self.block_ms.max(STRETCH_MS_MIN);
        }
    }

    /// Whole seconds from the first lease to the last look.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.open.end_ms / 1000
    }

    /// Workers that were connected at the last look.
    #[must_use]
    pub fn workers(&self) -> u64 {
        self.workers
    }

    /// All of it in at most so many stretches, oldest first.
    #[must_use]
    pub fn stretches(&self, most: usize) -> Vec<Stretch> {
        let mut all = self.stretches.clone();
        let begun_ms = all.last().map_or(0, |last| last.end_ms);
        if self.open.end_ms > begun_ms {
            all.push(self.open);
        }
        joined(&all, all.len().div_ceil(most.max(1)).max(1))
    }
}

/// Joins each so many neighbours.
fn joined(stretches: &[Stretch], each: usize) -> Vec<Stretch> {
    let join = |group: &[Stretch]| group.iter().copied().reduce(Stretch::joined);
    stretches.chunks(each).filter_map(join).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_long_run_keeps_few_stretches_and_all_that_happened() {
        let mut history = History::default();
        for second in 0..100_000 {
            history.look(seconds(second), 64 * second, if second < 50_000 { 2 } else { 4 });
        }
        let stretches = history.stretches(usize::MAX);
        assert!((STRETCHES_MAX / 3..=STRETCHES_MAX + 1).contains(&stretches.len()));
        assert!(stretches.is_sorted_by(|a, b| a.end_ms < b.end_ms));
        assert_eq!(stretches.iter().map(|stretch| stretch.samples).sum::<u64>(), 64 * 99_999);
        let worker_ms: u64 = stretches.iter().map(|stretch| stretch.worker_ms).sum();
        assert_eq!(worker_ms, 1000 * (2 * 50_000 + 4 * 49_999));
        let few = history.stretches(10);
        assert!(few.len() <= 10 && few.len() > 4);
        assert_eq!(few.iter().map(|stretch| stretch.samples).sum::<u64>(), 64 * 99_999);
    }

    #[test]
    fn a_checkpoint_brings_it_back_and_time_never_runs_backwards() {
        let mut history = History::default();
        history.look(seconds(1), 100, 1);
        history.look(seconds(9), 900, 1);
        let text = serde_json::to_string(&history).unwrap();
        let mut history: History = serde_json::from_str(&text).unwrap();
        // The clock of the run goes on from its last merge, which was earlier.
        history.look(seconds(8), 1000, 3);
        history.look(seconds(10), 1200, 3);
        let stretches = history.stretches(usize::MAX);
        assert_eq!(stretches.iter().map(|stretch| stretch.samples).sum::<u64>(), 1200);
        assert!(stretches.is_sorted_by_key(|stretch| stretch.end_ms));
        assert_eq!(stretches.last().map(|stretch| stretch.worker_ms), Some(3000));
        assert!(History::default().stretches(5).is_empty());
    }
}
