//! Which deltas are believed: the norm against the running median of accepted ones.

use std::collections::VecDeque;

use protocol::Reason;
use serde::{Deserialize, Serialize};

/// Accepted deltas before any is judged.
const UNJUDGED: u64 = 20;
/// Accepted norms that the median is taken of.
const WINDOW: usize = 101;
/// Times the median from which a delta is clipped to that.
const CLIPPED_ABOVE: f64 = 3.0;
/// Times the median from which a delta is refused.
const REJECTED_ABOVE: f64 = 10.0;

/// No honest delta is as long per root of local steps, however its data are scaled; a few of these
/// would overflow the master. It holds for the first ones too, that are not judged otherwise.
const NORM_MAX: f64 = 1e12;

/// The screening of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Screening {
    accepted: u64,
    /// The first median by which deltas were judged.
    first: Option<f64>,
    /// Accepted norms in order of arrival, and the same ones sorted.
    recent: VecDeque<f64>,
    #[serde(skip)]
    sorted: Vec<f64>,
}

impl Screening {
    /// The factor by which a delta is to be weighed: 1, or less if it is clipped.
    ///
    /// `norm` is divided by the root of the local steps, by which honest deltas of different
    /// lengths grow alike. `at_pull` is the median when its parameters were sent: deltas shrink as
    /// a run converges, and one that took long is no worse than others of its age.
    pub(crate) fn judge(&self, norm: f64, steps: u64, at_pull: Option<f64>) -> Result<f64, Reason> {
        self.bounded(norm, steps)?;
        let Some(median) = self.median() else { return Ok(1.0) };
        let usual = at_pull.or(self.first).unwrap_or(median).max(median);
        let norm = per_step(norm, steps);
        let times = norm / usual;
        // Long after convergence the usual delta is next to nothing, and an honest outlier many
        // times that. What would have been usual at the start of the run is clipped, not refused.
        if times > REJECTED_ABOVE && norm > self.first.unwrap_or(median) {
            return Err(Reason::Norm);
        }
        Ok(if times > CLIPPED_ABOVE { CLIPPED_ABOVE / times } else { 1.0 })
    }

    /// Refuses only what no honest worker sends.
    pub(crate) fn bounded(&self, norm: f64, steps: u64) -> Result<f64, Reason> {
        if !norm.is_finite() {
            return Err(Reason::NotFinite);
        }
        if per_step(norm, steps) > NORM_MAX { Err(Reason::Norm) } else { Ok(1.0) }
    }

    /// For a checkpoint: without what can be computed.
    pub(crate) fn saved(&self) -> Self {
        Self { sorted: Vec::new(), ..self.clone() }
    }

    /// As it was, from a checkpoint, which does not hold what can be computed.
    pub(crate) fn sorted(mut self) -> Self {
        self.sorted = self.recent.iter().copied().collect();
        self.sorted.sort_by(f64::total_cmp);
        self
    }

    /// Learns from an accepted delta; a clipped one counts as what was left of it.
    pub(crate) fn accept(&mut self, norm: f64, steps: u64, factor: f64) {
        self.accepted += 1;
        let norm = per_step(norm, steps) * factor;
        if self.recent.len() == WINDOW
            && let Some(old) = self.recent.pop_front()
        {
            let place = self.sorted.partition_point(|known| *known < old);
            self.sorted.remove(place);
        }
        self.recent.push_back(norm);
        let place = self.sorted.partition_point(|known| *known < norm);
        self.sorted.insert(place, norm);
        self.first = self.first.or_else(|| self.median());
    }

    /// The median of accepted norms per root of local steps; none while nothing is judged.
    pub(crate) fn median(&self) -> Option<f64> {
        let median = self.sorted.get(self.sorted.len() / 2).copied()?;
        (self.accepted >= UNJUDGED && median > 0.0).then_some(median)
    }
}

fn per_step(norm: f64, steps: u64) -> f64 {
    norm / (steps.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(count: u64, norm: f64) -> Screening {
        let mut screening = Screening::default();
        for _ in 0..count {
            screening.accept(norm, 1, 1.0);
        }
        screening
    }

    #[test]
    fn the_first_twenty_are_not_judged() {
        assert_eq!(after(19, 1.0).judge(1e9, 1, None), Ok(1.0));
        assert_eq!(after(0, 1.0).judge(1e38, 1, None), Err(Reason::Norm), "but for the absurd");
        assert_eq!(after(20, 1.0).judge(1e9, 1, None), Err(Reason::Norm));
        assert_eq!(after(0, 1.0).judge(f64::NAN, 1, None), Err(Reason::NotFinite));
    }

    #[test]
    fn thresholds_are_three_and_ten_medians() {
        let screening = after(50, 2.0);
        assert_eq!(screening.judge(6.0, 1, None), Ok(1.0));
        assert_eq!(screening.judge(12.0, 1, None), Ok(0.5));
        assert_eq!(screening.judge(20.0, 1, None), Ok(0.3));
        assert_eq!(screening.judge(20.1, 1, None), Err(Reason::Norm));
        assert_eq!(screening.judge(20.0, 100, None), Ok(1.0), "per root of local steps");
    }

    #[test]
    fn the_median_follows_and_zeros_judge_nobody() {
        let mut screening = after(200, 1.0);
        for _ in 0..60 {
            screening.accept(8.0, 1, 1.0);
        }
        assert_eq!(screening.judge(20.0, 1, Some(1.0)), Ok(1.0));
        assert_eq!(after(50, 0.0).judge(5.0, 1, None), Ok(1.0));
    }

    #[test]
    fn a_late_delta_is_judged_by_the_norms_of_its_time() {
        let mut screening = after(50, 100.0);
        for _ in 0..200 {
            screening.accept(1.0, 1, 1.0);
        }
        assert_eq!(screening.judge(101.0, 1, Some(1.0)), Err(Reason::Norm));
        let outlier = screening.judge(90.0, 1, Some(1.0));
        assert_eq!(outlier, Ok(3.0 / 90.0), "no longer than the run's first ones: clipped");
        assert_eq!(screening.judge(100.0, 1, Some(100.0)), Ok(1.0));
        assert_eq!(screening.judge(100.0, 1, None), Ok(1.0), "pulled before any was judged");
        assert_eq!(screening.judge(2000.0, 1, None), Err(Reason::Norm), "and still bounded");
    }
}
