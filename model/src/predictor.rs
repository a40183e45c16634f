//! Prediction and evaluation: no gradients, moving statistics, nothing dropped.

use burn::tensor::{DType, Device};
use rand_chacha::ChaCha8Rng;

use crate::batch::{Batch, check_inputs};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::network::{Pass, works_on_logits};
use crate::plan::Plan;
use crate::tensors::{Weight, upload};
use crate::value::Value;

/// Rows that are computed at once: enough for full speed, little memory.
const ROWS_MAX: usize = 256;

/// A model that predicts on one device.
#[derive(Debug)]
pub struct Predictor {
    plan: Plan,
    device: Device,
    weights: Vec<Weight>,
}

impl Predictor {
    /// A predictor with the first values of seed 0.
    ///
    /// # Errors
    /// When the device cannot hold the model.
    pub fn new(plan: &Plan, device: &Device) -> Result<Self, Error> {
        let mut predictor = Self::empty(plan, device);
        predictor.load(&plan.initial(0))?;
        Ok(predictor)
    }

    /// A predictor that is given its first values by [`Self::load`].
    #[must_use]
    pub fn empty(plan: &Plan, device: &Device) -> Self {
        Self { plan: plan.clone(), device: device.clone().inner(), weights: Vec::new() }
    }

    /// Replaces all tensors by those of a flat vector.
    ///
    /// # Errors
    /// When the vector has another length.
    pub fn load(&mut self, flat: &[f32]) -> Result<(), Error> {
        // First: of a large model there is no room for two.
        self.unload();
        let table = self.plan.tensors();
        let tensors = upload(table, flat, &self.device, DType::F32)?;
        self.weights = table
            .tensors
            .iter()
            .zip(tensors)
            .map(|(info, values)| Weight::new(info, values, false))
            .collect();
        Ok(())
    }

    /// Lets go of all tensors until the next [`Self::load`].
    pub fn unload(&mut self) {
        self.weights.clear();
    }

    /// The outputs of samples, row by row: probabilities where the model ends in softmax.
    ///
    /// # Errors
    /// When the inputs are not `count` samples, or the device fails.
    pub async fn predict(&self, inputs: &[f32], count: usize) -> Result<Vec<f32>, Error> {
        self.outputs(inputs, count, false).await
    }

    /// The metrics of a batch.
    ///
    /// # Errors
    /// When the batch does not fit the model, or the device fails.
    pub async fn evaluate(&self, batch: &Batch) -> Result<Metrics, Error> {
        batch.check(&self.plan)?;
        let logits = works_on_logits(&self.plan);
        let outputs = self.outputs(&batch.inputs, batch.count, logits).await?;
        let width = self.plan.output_elements();
        Ok(Metrics::of(self.plan.spec().loss, batch, &outputs, width, logits))
    }

    async fn outputs(&self, inputs: &[f32], count: usize, logits: bool) -> Result<Vec<f32>, Error> {
        check_inputs(&self.plan, inputs.len(), count)?;
        let width = self.plan.input_elements();
        let mut all = Vec::with_capacity(count * self.plan.output_elements());
        for rows in inputs.chunks(ROWS_MAX * width) {
            let mut pass = Pass::<ChaCha8Rng> {
                weights: &self.weights,
                stream: None,
                batch_statistics: false,
                logits,
                statistics: Vec::new(),
            };
            let shape = self.plan.input_shape();
            let value =
                Value::upload(rows.to_vec(), rows.len() / width, shape, &self.device, DType::F32);
            let outputs = pass.run(&self.plan, value).into_rows();
            let data = outputs.into_data_async().await.map_err(Error::device)?;
            all.extend_from_slice(data.as_slice::<f32>().map_err(Error::device)?);
        }
        Ok(all)
    }
}
