//! The training loss over samples and time, in few points however long a run is.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

/// Points at which neighbours are joined: as many as a chart can show.
const POINTS_MAX: usize = 240;

/// Mean losses of consecutive blocks of samples, as the workers report them while they train. A
/// checkpoint holds it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Least samples of a point.
    block: u64,
    points: Vec<Point>,
    samples: u64,
    open_samples: u64,
    open_loss: f64,
}

/// The end of a block: samples trained so far, the mean loss of the block's samples, and seconds
/// since the first lease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Point(pub(super) u64, pub(super) f64, pub(super) f64);

impl Curve {
    /// Adds the loss sum of so many samples; the time is asked for where a block ends.
    pub(super) fn add(&mut self, samples: u64, loss_sum: f64, time: impl FnOnce() -> Duration) {
        // A diverging worker's loss would hide all others.
        if samples == 0 || !loss_sum.is_finite() || loss_sum == f64::MAX {
            return;
        }
        self.samples += samples;
        self.open_samples += samples;
        self.open_loss += loss_sum;
        if self.open_samples < self.block {
            return;
        }
        let loss = self.open_loss / self.open_samples as f64;
        self.points.push(Point(self.samples, loss, time().as_secs_f64()));
        (self.open_samples, self.open_loss) = (0, 0.0);
        if self.points.len() > POINTS_MAX {
            self.halve();
        }
    }

    /// All points, oldest first.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }

    /// The curve as the page for volunteers draws it: pairs of samples and loss.
    pub(super) fn pairs<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.points.iter().map(|Point(samples, loss, _)| (samples, loss)))
    }

    /// Joins each two neighbours.
    fn halve(&mut self) {
        let mut before = 0;
        let mut joined = Vec::with_capacity(POINTS_MAX);
        for pair in self.points.chunks(2) {
            let mut sum = 0.0;
            let start = before;
            let mut seconds = 0.0;
            for &Point(end, loss, at) in pair {
                sum += loss * (end - before) as f64;
                (before, seconds) = (end, at);
            }
            joined.push(Point(before, sum / (before - start) as f64, seconds));
        }
        self.points = joined;
        self.block = (self.samples / self.points.len() as u64).max(self.block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_few_points_and_its_mean() {
        let mut curve = Curve::default();
        for step in 0..10_000_u64 {
            curve.add(64, 64.0 * (step as f64), || Duration::from_secs(step));
        }
        curve.add(64, f64::MAX, || Duration::MAX);
        assert!(curve.points.len() <= POINTS_MAX && curve.points.len() > POINTS_MAX / 8);
        assert!(curve.points.is_sorted_by(|a, b| a.0 < b.0 && a.2 < b.2));
        let mut before = 0;
        let sum: f64 = curve
            .points
            .iter()
            .map(|&Point(end, loss, seconds)| {
                assert_eq!(seconds, (end / 64 - 1) as f64, "a point's time is its end's");
                let part = loss * (end - before) as f64;
                before = end;
                part
            })
            .sum();
        let covered = before as f64 / 64.0;
        assert!((sum / before as f64 - (covered - 1.0) / 2.0).abs() < 1e-6 * covered);
    }

    #[test]
    fn a_checkpoint_brings_it_back() {
        let mut curve = Curve::default();
        (1..5).for_each(|step| curve.add(8, 4.0, || Duration::from_secs(step)));
        let text = serde_json::to_string(&curve).unwrap();
        let mut again: Curve = serde_json::from_str(&text).unwrap();
        assert_eq!(again, curve);
        again.add(8, 4.0, || Duration::from_secs(9));
        assert_eq!(again.points().last(), Some(&Point(40, 0.5, 9.0)));
    }
}
