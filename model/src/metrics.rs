//! Metrics as sums, so that those of parts add up to those of the whole.

use serde::{Deserialize, Serialize};

use crate::batch::{Batch, Targets};
use crate::loss::{Loss, PROBABILITY_MIN};

/// Sums over samples. Those of two parts of a data set, merged, are those of both.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// Samples.
    pub count: u64,
    /// Sum of the samples' losses.
    pub loss_sum: f64,
    /// Samples whose greatest output is the right class; 0 where targets are no classes.
    pub correct: u64,
    /// Sum of absolute differences of outputs and target values.
    pub absolute_error_sum: f64,
    /// Number of those differences.
    pub values: u64,
}

impl Metrics {
    /// Adds the metrics of other samples.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.loss_sum += other.loss_sum;
        self.correct += other.correct;
        self.absolute_error_sum += other.absolute_error_sum;
        self.values += other.values;
    }

    /// Mean loss of a sample; NaN where there is none.
    #[must_use]
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.count as f64
    }

    /// Share of samples whose greatest output is the right class; NaN where there is none.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.count as f64
    }

    /// Mean absolute difference of outputs and targets; NaN where there is none.
    #[must_use]
    pub fn mae(&self) -> f64 {
        self.absolute_error_sum / self.values as f64
    }

    /// The metrics of a checked batch whose outputs are known. `outputs` are logits where `logits`
    /// says so; they are compared with target values as what they mean, as probabilities.
    pub(crate) fn of(
        loss: Loss,
        batch: &Batch,
        outputs: &[f32],
        width: usize,
        logits: bool,
    ) -> Self {
        let mut metrics = Self { count: batch.count as u64, ..Self::default() };
        let mut wanted = vec![0.0; width];
        let mut row = vec![0.0; width];
        for (sample, outputs) in outputs.chunks_exact(width).enumerate() {
            match &batch.targets {
                Targets::Classes(classes) => {
                    wanted.fill(0.0);
                    wanted[classes[sample] as usize] = 1.0;
                }
                Targets::Values { values, .. } => {
                    let values = &values[sample * width..(sample + 1) * width];
                    wanted.iter_mut().zip(values).for_each(|(to, from)| *to = f64::from(*from));
                }
            }
            row.iter_mut().zip(outputs).for_each(|(to, from)| *to = f64::from(*from));
            metrics.add_sample(loss, &mut row, &wanted, logits);
        }
        if matches!(batch.targets, Targets::Classes(_)) {
            metrics.absolute_error_sum = 0.0;
            metrics.values = 0;
        }
        metrics
    }

    fn add_sample(&mut self, loss: Loss, outputs: &mut [f64], wanted: &[f64], logits: bool) {
        let width = outputs.len();
        if loss.is_cross_entropy() {
            if greatest(outputs) == greatest(wanted)
                && outputs.iter().all(|output| !output.is_nan())
            {
                self.correct += 1;
            }
            let log_probability: Vec<f64> = if logits {
                let log_sum = log_sum_exp(outputs);
                outputs.iter().map(|logit| logit - log_sum).collect()
            } else {
                let total = match loss {
                    Loss::CategoricalCrossentropy { .. } => outputs.iter().sum(),
                    _ => 1.0,
                };
                outputs
                    .iter()
                    .map(|p| (p / total).clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN).ln())
                    .collect()
            };
            let pairs = wanted.iter().zip(&log_probability).filter(|(wanted, _)| **wanted != 0.0);
            self.loss_sum -= pairs.map(|(wanted, log)| wanted * log).sum::<f64>();
            if logits {
                outputs.iter_mut().zip(log_probability).for_each(|(to, log)| *to = log.exp());
            }
        }
        let differences = || outputs.iter().zip(wanted).map(|(output, wanted)| output - wanted);
        let absolute: f64 = differences().map(f64::abs).sum();
        match loss {
            Loss::MeanSquaredError {} => {
                self.loss_sum += differences().map(|d| d * d).sum::<f64>() / width as f64;
            }
            Loss::MeanAbsoluteError {} => self.loss_sum += absolute / width as f64,
            _ => {}
        }
        self.absolute_error_sum += absolute;
        self.values += width as u64;
    }
}

/// The first place of the greatest value.
fn greatest(values: &[f64]) -> usize {
    let mut best = 0;
    for (place, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = place;
        }
    }
    best
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    greatest + values.iter().map(|value| (value - greatest).exp()).sum::<f64>().ln()
}
