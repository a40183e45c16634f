//! When a run ends before its last epoch: validation says that it is enough, or the time is up.

use std::time::Instant;

use super::Ending;
use super::control::Control;
use super::live::EventKind;
use crate::goals::{Span, Verdict};

impl Control {
    /// Validation says that it is enough. Where the last epoch says so nothing is left to stop, but
    /// a target that is met is met.
    pub(super) fn decided(&mut self, verdict: &Verdict) {
        let ending = Ending::from(verdict);
        let is_met = matches!(ending, Ending::TargetMet(_));
        // What ends anyway, as its time is up, ends better.
        let is_late = |other: &Option<Ending>| matches!(other, Some(Ending::TimeUp(_)));
        if is_met && (is_late(&self.ending) || is_late(&self.stop_after_round)) {
            self.say(EventKind::Note, &ending.sentence());
            let first = is_late(&self.ending);
            *(if first { &mut self.ending } else { &mut self.stop_after_round }) = Some(ending);
            return;
        }
        if !self.is_ending() && (is_met || !self.finished) {
            self.say(EventKind::Note, &ending.sentence());
            self.stop(ending);
        }
    }

    /// Whether it is decided how the run ends.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_some() || self.stop_after_round.is_some()
    }

    /// When the time is up, unless the run ends already.
    pub(super) fn time_up_at(&self) -> Option<Instant> {
        let Span(time) = self.max_time.filter(|_| !self.finished && !self.is_ending())?;
        self.tally.moment_of(time)
    }

    /// The time is up.
    pub(super) fn stop_in_time(&mut self) {
        let Some(time) = self.max_time else { return };
        let ending = Ending::TimeUp(format!("the time is up: {time} of training"));
        let kept = "a checkpoint and the models are written";
        self.say(EventKind::Note, &format!("{}; {kept}", ending.sentence()));
        self.stop(ending);
    }
}
