//! The training loss over samples, in few points however long a run is.

use serde::{Serialize, Serializer};

/// Points at which neighbours are joined: more than a chart can show.
const POINTS_MAX: usize = 400;

/// Mean losses of consecutive blocks of samples, as the workers report them while they train.
#[derive(Debug, Clone, Default)]
pub(super) struct Curve {
    /// Least samples of a point.
    block: u64,
    /// Samples trained up to a point's end, and the mean loss of its samples.
    points: Vec<(u64, f64)>,
    samples: u64,
    open_samples: u64,
    open_loss: f64,
}

impl Curve {
    /// Adds the loss sum of so many samples.
    pub(super) fn add(&mut self, samples: u64, loss_sum: f64) {
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
        self.points.push((self.samples, self.open_loss / self.open_samples as f64));
        (self.open_samples, self.open_loss) = (0, 0.0);
        if self.points.len() > POINTS_MAX {
            self.halve();
        }
    }

    /// Joins each two neighbours.
    fn halve(&mut self) {
        let mut before = 0;
        let mut joined = Vec::with_capacity(POINTS_MAX);
        for pair in self.points.chunks(2) {
            let mut sum = 0.0;
            let start = before;
            for &(end, loss) in pair {
                sum += loss * (end - before) as f64;
                before = end;
            }
            joined.push((before, sum / (before - start) as f64));
        }
        self.points = joined;
        self.block = (self.samples / self.points.len() as u64).max(self.block);
    }
}

impl Serialize for Curve {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.points.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_few_points_and_its_mean() {
        let mut curve = Curve::default();
        for step in 0..10_000_u64 {
            curve.add(64, 64.0 * (step as f64));
        }
        curve.add(64, f64::MAX);
        assert!(curve.points.len() <= POINTS_MAX && curve.points.len() > POINTS_MAX / 8);
        assert!(curve.points.is_sorted_by(|(a, _), (b, _)| a < b));
        let mut before = 0;
        let sum: f64 = curve
            .points
            .iter()
            .map(|&(end, loss)| {
                let part = loss * (end - before) as f64;
                before = end;
                part
            })
            .sum();
        let covered = before as f64 / 64.0;
        assert!((sum / before as f64 - (covered - 1.0) / 2.0).abs() < 1e-6 * covered);
    }
}
