//! The losses and metrics of a spec, and the losses as tensors.

use burn::tensor::{Tensor, activation::log_softmax};
use serde::{Deserialize, Serialize};

/// Probabilities are kept this far from 0 and 1 before a logarithm, as in Keras.
pub(crate) const PROBABILITY_MIN: f64 = 1e-7;

/// What training makes small. In a spec: a name, or a table with `type`.
///
/// Where the output node ends in softmax, the cross-entropies are computed from its logits: the
/// same value, without the loss of precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Targets are probabilities, one for each class.
    CategoricalCrossentropy {
        /// Whether the outputs are logits rather than probabilities.
        #[serde(default)]
        from_logits: bool,
    },
    /// Targets are class numbers from 0 up.
    SparseCategoricalCrossentropy {
        /// Whether the outputs are logits rather than probabilities.
        #[serde(default)]
        from_logits: bool,
    },
    /// Mean of squared differences.
    #[serde(alias = "mse")]
    MeanSquaredError {},
    /// Mean of absolute differences.
    #[serde(alias = "mae")]
    MeanAbsoluteError {},
}

/// What evaluation reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean loss of a sample.
    Loss,
    /// Share of samples whose greatest output is the right class.
    Accuracy,
    /// Mean absolute difference of outputs and targets.
    #[serde(alias = "mean_absolute_error")]
    Mae,
}

impl Loss {
    /// Its name in a spec.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CategoricalCrossentropy { .. } => "categorical_crossentropy",
            Self::SparseCategoricalCrossentropy { .. } => "sparse_categorical_crossentropy",
            Self::MeanSquaredError {} => "mean_squared_error",
            Self::MeanAbsoluteError {} => "mean_absolute_error",
        }
    }

    /// Whether it compares classes.
    #[must_use]
    pub fn is_cross_entropy(self) -> bool {
        matches!(
            self,
            Self::CategoricalCrossentropy { .. } | Self::SparseCategoricalCrossentropy { .. }
        )
    }

    pub(crate) fn is_from_logits(self) -> bool {
        matches!(
            self,
            Self::CategoricalCrossentropy { from_logits: true }
                | Self::SparseCategoricalCrossentropy { from_logits: true }
        )
    }

    /// The sum of the samples' losses, each times its weight if there are `weights`, one a row.
    /// `outputs` are logits where `logits` says so; `targets` are values or, for both
    /// cross-entropies, a probability for each class.
    pub(crate) fn sum(
        self,
        outputs: Tensor<2>,
        targets: Tensor<2>,
        weights: Option<Tensor<2>>,
        logits: bool,
    ) -> Tensor<1> {
        let width = outputs.dims()[1];
        let weighed = |each: Tensor<2>| match weights {
            Some(weights) => each.mul(weights),
            None => each,
        };
        match self {
            Self::MeanSquaredError {} => {
                let difference = outputs.sub(targets);
                weighed(difference.clone().mul(difference)).sum().div_scalar(width as f64)
            }
            Self::MeanAbsoluteError {} => {
                weighed(outputs.sub(targets).abs()).sum().div_scalar(width as f64)
            }
            _ if logits => weighed(log_softmax(outputs, 1).mul(targets)).sum().neg(),
            Self::CategoricalCrossentropy { .. } => {
                let total = outputs.clone().sum_dim(1);
                weighed(log_probability(outputs.div(total)).mul(targets)).sum().neg()
            }
            Self::SparseCategoricalCrossentropy { .. } => {
                weighed(log_probability(outputs).mul(targets)).sum().neg()
            }
        }
    }
}

fn log_probability(probabilities: Tensor<2>) -> Tensor<2> {
    probabilities.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN).log()
}
