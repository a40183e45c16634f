//! How fast a run is now, and not since its start.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The speed that is shown is that of so much time: units come in bursts.
const SPEED_TIME: Duration = Duration::from_secs(10);

/// The speed by which the rest of the run is judged.
const OUTLOOK_TIME: Duration = Duration::from_secs(60);

/// Least time between two notes.
const NOTE_INTERVAL: Duration = Duration::from_millis(500);

/// More than [`OUTLOOK_TIME`] at [`NOTE_INTERVAL`].
const NOTES_MAX: usize = 128;

/// Merged samples at moments of the last minute.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    notes: VecDeque<(Instant, u64)>,
}

impl Recent {
    /// So many samples are merged. Before the first lease there is nothing to note.
    pub(crate) fn note(&mut self, now: Instant, samples: u64) {
        let last = self.notes.back().map(|(at, _)| *at);
        if last.is_some_and(|at| now.saturating_duration_since(at) < NOTE_INTERVAL) {
            return;
        }
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back((now, samples));
    }

    /// Samples per second of the last seconds, and of the last minute; with `samples` merged now.
    pub(crate) fn speeds(&self, now: Instant, samples: u64) -> (f64, f64) {
        (self.speed(now, samples, SPEED_TIME), self.speed(now, samples, OUTLOOK_TIME))
    }

    /// Since the newest note that is so old, or the first of all.
    fn speed(&self, now: Instant, samples: u64, time: Duration) -> f64 {
        let age = |at: Instant| now.saturating_duration_since(at);
        let old = self.notes.iter().rev().find(|(at, _)| age(*at) >= time);
        let Some((since, before)) = old.or(self.notes.front()) else { return 0.0 };
        let seconds = age(*since).as_secs_f64();
        if seconds > 0.0 { samples.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let at = |tenths: u32| start + tenths * Duration::from_millis(100);
        let mut recent = Recent::default();
        assert_eq!(recent.speeds(at(0), 5), (0.0, 0.0));
        (0..=200).for_each(|tenth| recent.note(at(tenth), 10 * u64::from(tenth)));
        assert_eq!(recent.speeds(at(200), 2000), (100.0, 100.0));
        // Nothing more is merged: the notes end.
        assert_eq!(recent.speeds(at(310), 2000), (0.0, 2000.0 / 31.0));
        (0..2000).for_each(|second| recent.note(at(1000 + 10 * second), 2000));
        assert!(recent.notes.len() <= NOTES_MAX);
    }
}
