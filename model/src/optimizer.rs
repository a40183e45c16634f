//! The optimizers of a spec, with Keras's names and defaults. `update` computes them.
//!
//! Weight decay is decoupled, as in Keras, for every optimizer and every trained tensor: before
//! the update each value loses `learning_rate * weight_decay` of itself. It never enters the
//! gradient.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{SpecError, explain};

/// The inner optimizer of a worker. In a spec: a name, or a table with `type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Optimizer {
    /// Gradient descent.
    Sgd(Sgd),
    /// Adam.
    Adam(Adam),
    /// Adam, by default with weight decay.
    Adamw(Adamw),
}

/// Keys of `sgd`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Step size.
    pub learning_rate: f64,
    /// How much of the last step each step keeps.
    pub momentum: f64,
    /// Whether the step looks ahead along the momentum.
    pub nesterov: bool,
    /// Share of each value that it loses per step, times the learning rate.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { learning_rate: 0.01, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

/// Keys of `adam`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Share of each value that it loses per step, times the learning rate.
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { learning_rate: 0.001, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-7, weight_decay: 0.0 }
    }
}

/// Keys of `adamw`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adamw {
    /// Step size.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta_1: f64,
    /// Decay of the mean of squared gradients.
    pub beta_2: f64,
    /// Added to the root of the mean square.
    pub epsilon: f64,
    /// Share of each value that it loses per step, times the learning rate.
    pub weight_decay: f64,
}

impl Default for Adamw {
    fn default() -> Self {
        Self {
            learning_rate: 0.001,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-7,
            weight_decay: 0.004,
        }
    }
}

impl FromStr for Optimizer {
    type Err = SpecError;

    /// An optimizer by its name, with its defaults.
    fn from_str(name: &str) -> Result<Self, SpecError> {
        serde_json::from_value(serde_json::json!({ "type": name }))
            .map_err(|error| SpecError::key("optimizer", explain(&error, &[])))
    }
}

impl Optimizer {
    /// Step size.
    #[must_use]
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate,
            Self::Adam(adam) => adam.learning_rate,
            Self::Adamw(adamw) => adamw.learning_rate,
        }
    }

    /// Replaces the step size.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate = learning_rate,
            Self::Adam(adam) => adam.learning_rate = learning_rate,
            Self::Adamw(adamw) => adamw.learning_rate = learning_rate,
        }
    }

    /// Whether first moments live on from step to step.
    #[must_use]
    pub fn carries_momentum(&self) -> bool {
        match self {
            Self::Sgd(sgd) => sgd.momentum > 0.0,
            Self::Adam(adam) => adam.beta_1 > 0.0,
            Self::Adamw(adamw) => adamw.beta_1 > 0.0,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SpecError> {
        let in_range = |key: &str, value: f64, range: std::ops::Range<f64>| {
            if range.contains(&value) {
                return Ok(());
            }
            let std::ops::Range { start, end } = range;
            let message = if end == f64::INFINITY {
                format!("`{key}` is {value}: it must be a number from {start} up")
            } else {
                format!("`{key}` is {value}: it must be at least {start} and below {end}")
            };
            Err(SpecError::key("optimizer", message))
        };
        let unbounded = 0.0..f64::INFINITY;
        in_range("learning_rate", self.learning_rate(), unbounded.clone())?;
        match self {
            Self::Sgd(sgd) => {
                in_range("momentum", sgd.momentum, 0.0..1.0)?;
                in_range("weight_decay", sgd.weight_decay, unbounded)
            }
            Self::Adam(Adam { beta_1, beta_2, epsilon, weight_decay, .. })
            | Self::Adamw(Adamw { beta_1, beta_2, epsilon, weight_decay, .. }) => {
                in_range("beta_1", *beta_1, 0.0..1.0)?;
                in_range("beta_2", *beta_2, 0.0..1.0)?;
                in_range("epsilon", *epsilon, f64::MIN_POSITIVE..f64::INFINITY)?;
                in_range("weight_decay", *weight_decay, unbounded)
            }
        }
    }
}
