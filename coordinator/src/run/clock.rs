//! The time that a run trains: from its first lease on, without the time that it is paused.
//!
//! A pause begins with the last merge of what was out when the run was paused: that was training.

use std::time::{Duration, Instant};

/// The clock of one run.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Training time in earlier starts of the coordinator.
    before: Duration,
    /// The first lease of this start.
    first: Option<Instant>,
    /// The clock stands still since then.
    stands: Option<Instant>,
    /// All pauses that are over.
    paused: Duration,
    /// Reading at the last merge.
    merged: Duration,
}

impl Clock {
    /// A clock that goes on.
    pub(super) fn after(before: Duration) -> Self {
        Self { before, ..Self::default() }
    }

    /// A lease was handed out.
    pub(super) fn begin(&mut self, now: Instant) {
        self.first.get_or_insert(now);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    pub(super) fn pause(&mut self, now: Instant) {
        self.stands.get_or_insert(now);
    }

    pub(super) fn resume(&mut self, now: Instant) {
        if let Some(since) = self.stands.take()
            && self.has_begun()
        {
            self.paused += now.saturating_duration_since(since);
        }
    }

    /// A delta was merged.
    pub(super) fn merge(&mut self, now: Instant) {
        if let Some(stands) = &mut self.stands {
            *stands = now;
        }
        self.merged = self.reading(now);
    }

    /// Time since the first lease of this start.
    pub(super) fn reading(&self, now: Instant) -> Duration {
        let Some(first) = self.first else { return Duration::ZERO };
        let now = self.stands.map_or(now, |stands| now.min(stands));
        now.saturating_duration_since(first).saturating_sub(self.paused)
    }

    /// The same at the last merge.
    pub(super) fn merged(&self) -> Duration {
        self.merged
    }

    /// Time since the run's first lease.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        self.before.saturating_add(self.reading(now))
    }

    /// From the run's first lease to its last merge.
    pub(super) fn training_time(&self) -> Duration {
        self.before.saturating_add(self.merged)
    }

    /// When training will have taken so long; nothing before the first lease, and in a pause.
    pub(super) fn moment_of(&self, time: Duration) -> Option<Instant> {
        let first = self.first.filter(|_| self.stands.is_none())?;
        first.checked_add(time.saturating_sub(self.before).checked_add(self.paused)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pause_is_no_training_time_and_what_was_out_is() {
        let start = Instant::now();
        let at = |second: u32| start + second * SECOND;
        let mut clock = Clock::after(100 * SECOND);
        clock.pause(at(0));
        clock.resume(at(5));
        assert_eq!(clock.elapsed(at(7)), 100 * SECOND, "nothing was handed out");
        clock.begin(at(10));
        clock.begin(at(11));
        clock.merge(at(14));
        clock.pause(at(20));
        assert_eq!(clock.elapsed(at(30)), 110 * SECOND);
        clock.merge(at(24));
        assert_eq!(clock.elapsed(at(30)), 114 * SECOND);
        assert_eq!(clock.moment_of(200 * SECOND), None, "its time cannot come to an end");
        clock.resume(at(40));
        assert_eq!((clock.elapsed(at(41)), clock.training_time()), (115 * SECOND, 114 * SECOND));
        assert_eq!(clock.moment_of(200 * SECOND), Some(at(126)));
        clock.merge(at(50));
        assert_eq!(clock.training_time(), 124 * SECOND);
        assert_eq!(clock.merged(), 24 * SECOND);
    }
}
