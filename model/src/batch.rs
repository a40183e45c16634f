//! Samples on their way to a device.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::error::Error;
use crate::loss::Loss;
use crate::plan::Plan;

/// What the outputs of some samples should be.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// A class number for each sample.
    Classes(Vec<i32>),
    /// `width` values for each sample, row by row.
    Values {
        /// Values of one sample.
        width: u32,
        /// The values of all samples.
        values: Vec<f32>,
    },
}

/// What a data set has as targets, for [`Plan::check_targets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Class numbers from 0 up, below this.
    Classes(u32),
    /// So many values for each sample.
    Values(u32),
}

/// Some samples with their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The samples row by row, each in the shape of the spec's `input`; images channels-last.
    pub inputs: Vec<f32>,
    /// What their outputs should be.
    pub targets: Targets,
    /// Factor of each sample's loss in training; empty = all count alike. Metrics never weigh.
    pub weights: Vec<f32>,
    /// Number of samples.
    pub count: usize,
}

impl Batch {
    fn check_weights(&self) -> Result<(), Error> {
        if !self.weights.is_empty() && self.weights.len() != self.count {
            let (weights, count) = (self.weights.len(), self.count);
            let message = format!("{weights} weights were given for {count} samples");
            return Err(Error::Targets(message));
        }
        if self.weights.iter().any(|weight| !weight.is_finite() || *weight < 0.0) {
            let message = "a sample's weight is negative or not finite".to_owned();
            return Err(Error::Targets(message));
        }
        Ok(())
    }

    /// Checks that counts fit each other and the plan.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), Error> {
        check_inputs(plan, self.inputs.len(), self.count)?;
        self.check_weights()?;
        let width = plan.output_elements();
        match &self.targets {
            Targets::Classes(classes) => {
                if classes.len() != self.count {
                    return Err(Error::Targets(format!(
                        "{} classes were given for {} samples: each sample needs one",
                        classes.len(),
                        self.count
                    )));
                }
                let stranger = classes
                    .iter()
                    .find(|&&class| usize::try_from(class).map_or(true, |c| c >= width));
                match stranger {
                    Some(class) => Err(Error::Targets(format!(
                        "a target is class {class}, but the model has outputs for the classes 0 to {}: \
                         check the labels, or raise the units of node `{}`",
                        width - 1,
                        plan.output_node()
                    ))),
                    None => plan.check_targets(TargetKind::Classes(width as u32)),
                }
            }
            Targets::Values { width: given, values } => {
                plan.check_targets(TargetKind::Values(*given))?;
                if values.len() != self.count * width {
                    return Err(Error::Targets(format!(
                        "{} target values were given for {} samples of {width} values each",
                        values.len(),
                        self.count
                    )));
                }
                Ok(())
            }
        }
    }
}

pub(crate) fn check_inputs(plan: &Plan, given: usize, count: usize) -> Result<(), Error> {
    let expected = plan.input_elements().saturating_mul(count);
    if given == expected && count > 0 {
        return Ok(());
    }
    Err(Error::Inputs { count, expected, got: given })
}

impl Targets {
    /// The targets as rows of `width` values: classes become 1 among 0s.
    pub(crate) fn upload(self, width: usize, device: &Device, dtype: DType) -> Tensor<2> {
        let values = match self {
            Self::Values { values, .. } => values,
            Self::Classes(classes) => {
                let mut values = vec![0.0; classes.len() * width];
                for (row, class) in values.chunks_exact_mut(width).zip(classes) {
                    row[class as usize] = 1.0;
                }
                values
            }
        };
        let rows = values.len() / width;
        Tensor::from_data(TensorData::new(values, [rows, width]), (device, dtype))
    }
}

impl Plan {
    /// Checks that a data set has the targets that this model's loss needs.
    ///
    /// # Errors
    /// When it has not; the message says what to change.
    pub fn check_targets(&self, kind: TargetKind) -> Result<(), Error> {
        let loss = self.spec().loss;
        let width = self.output_elements();
        let node = self.output_node();
        let sparse = matches!(loss, Loss::SparseCategoricalCrossentropy { .. });
        let message = match kind {
            TargetKind::Classes(classes) if sparse => {
                if classes as usize <= width {
                    return Ok(());
                }
                format!(
                    "the data has {classes} classes, but node `{node}` has {width} outputs: set its \
                     units to {classes}"
                )
            }
            TargetKind::Values(values) if !sparse => {
                if values as usize == width {
                    return Ok(());
                }
                format!(
                    "the data has {values} target values for each sample, but node `{node}` has \
                     {width} outputs: set its units to {values}"
                )
            }
            TargetKind::Classes(_) => {
                let other = if loss.is_cross_entropy() {
                    "use sparse_categorical_crossentropy"
                } else {
                    "use sparse_categorical_crossentropy, or targets that are values"
                };
                format!(
                    "loss `{}` needs target values, but the data has classes: {other}",
                    loss.name()
                )
            }
            TargetKind::Values(_) => format!(
                "loss `{}` needs classes, but the data has target values: use \
                 categorical_crossentropy or mean_squared_error",
                loss.name()
            ),
        };
        Err(Error::Targets(message))
    }
}
