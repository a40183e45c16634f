//! Training: one step after the other on one device, nothing read but now and then the loss.

use burn::tensor::{DType, Device, Tensor, TensorData};
use protocol::order::{PURPOSE_LEASE, generator};

use crate::batch::Batch;
use crate::error::Error;
use crate::network::{Pass, Statistics, works_on_logits};
use crate::plan::Plan;
use crate::tensors::{Weight, download, upload};
use crate::update::Updater;
use crate::value::Value;

/// After so many steps the summed loss is read. A GPU's queue has no end in a browser: without a
/// read now and then it grows until memory is gone.
const STEPS_PER_READ: u32 = 8;

/// A model in training on one device.
#[derive(Debug)]
pub struct Trainer {
    plan: Plan,
    device: Device,
    dtype: DType,
    logits: bool,
    /// All tensors, flat, in Burn's layout, in the table's order.
    tensors: Vec<Tensor<1>>,
    updater: Updater,
    /// Seed and next step of the dropout stream.
    seed: u64,
    step: u64,
    /// Losses summed on the device since the last read, and what was read since the last take.
    pending_loss: Option<Tensor<1>>,
    pending_steps: u32,
    loss: f64,
}

impl Trainer {
    /// A trainer with the first values of seed 0.
    ///
    /// # Errors
    /// When the device cannot hold the model.
    pub fn new(plan: &Plan, device: &Device) -> Result<Self, Error> {
        Self::with_dtype(plan, device, DType::F32)
    }

    /// As [`Trainer::new`]; tests compute in f64.
    pub(crate) fn with_dtype(plan: &Plan, device: &Device, dtype: DType) -> Result<Self, Error> {
        let device = device.clone().inner();
        let tensors = upload(plan.tensors(), &plan.initial(0), &device, dtype)?;
        let updater = Updater::new(plan.spec().optimizer.clone(), tensors.len());
        Ok(Self {
            plan: plan.clone(),
            device,
            dtype,
            logits: works_on_logits(plan),
            tensors,
            updater,
            seed: 0,
            step: 0,
            pending_loss: None,
            pending_steps: 0,
            loss: 0.0,
        })
    }

    /// Replaces all tensors by those of a flat vector; the optimizer's state stays.
    ///
    /// # Errors
    /// When the vector has another length.
    pub fn load(&mut self, flat: &[f32]) -> Result<(), Error> {
        self.tensors = upload(self.plan.tensors(), flat, &self.device, self.dtype)?;
        Ok(())
    }

    /// Forgets the optimizer's state.
    pub fn reset_optimizer(&mut self) {
        self.updater.reset();
    }

    /// Starts the dropout stream of a lease.
    pub fn seed(&mut self, seed: u64) {
        self.seed = seed;
        self.step = 0;
    }

    /// Trains on a batch.
    ///
    /// # Errors
    /// When the batch does not fit the model, or the device fails.
    pub async fn step(&mut self, batch: Batch, learning_rate: f64) -> Result<(), Error> {
        batch.check(&self.plan)?;
        let (loss, gradients, statistics) = self.gradients(batch);
        self.updater.begin_step();
        // Each tensor moves through its update, so that it can be changed in place.
        self.tensors = std::mem::take(&mut self.tensors)
            .into_iter()
            .zip(gradients)
            .enumerate()
            .map(|(index, (values, gradient))| match gradient {
                Some(gradient) => self.updater.update(index, values, gradient, learning_rate),
                None => values,
            })
            .collect();
        self.fold(statistics);
        self.pending_loss = Some(match self.pending_loss.take() {
            Some(sum) => sum.add(loss),
            None => loss,
        });
        self.pending_steps += 1;
        if self.pending_steps >= STEPS_PER_READ {
            self.read_loss().await?;
        }
        Ok(())
    }

    /// The loss summed over the samples since the last take, each times its weight.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn take_loss(&mut self) -> Result<f64, Error> {
        self.read_loss().await?;
        Ok(std::mem::take(&mut self.loss))
    }

    /// All tensors in the table's order, in Keras's layout.
    ///
    /// # Errors
    /// When the device fails.
    pub async fn flat(&self) -> Result<Vec<f32>, Error> {
        download(self.plan.tensors(), &self.tensors).await
    }

    /// The summed loss of a checked batch, the gradient of its mean over all samples (as Keras has
    /// it, weights do not change by how many it is divided) for each tensor that is
    /// trained, and the batch's statistics.
    pub(crate) fn gradients(
        &mut self,
        batch: Batch,
    ) -> (Tensor<1>, Vec<Option<Tensor<1>>>, Vec<Statistics>) {
        let Batch { inputs, targets, weights: factors, count } = batch;
        let weights: Vec<Weight> = self
            .plan
            .tensors()
            .tensors
            .iter()
            .zip(&self.tensors)
            .map(|(info, values)| Weight::new(info, values.clone(), !info.is_buffer()))
            .collect();
        let mut stream = generator(self.seed, PURPOSE_LEASE, self.step);
        self.step += 1;
        let mut pass = Pass {
            weights: &weights,
            stream: Some(&mut stream),
            batch_statistics: true,
            logits: self.logits,
            statistics: Vec::new(),
        };
        let inputs =
            Value::upload(inputs, count, self.plan.input_shape(), &self.device, self.dtype);
        let outputs = pass.run(&self.plan, inputs).into_rows();
        let statistics = pass.statistics;
        let targets = targets.upload(self.plan.output_elements(), &self.device, self.dtype);
        let factors = (!factors.is_empty()).then(|| {
            let data = TensorData::new(factors, [count, 1]);
            Tensor::from_data(data, (&self.device, self.dtype))
        });
        let sum = self.plan.spec().loss.sum(outputs, targets, factors, self.logits);
        let mut gradients = sum.clone().div_scalar(count as f64).backward();
        let gradients = weights.iter().map(|weight| weight.gradient(&mut gradients)).collect();
        (sum.inner(), gradients, statistics)
    }

    /// Folds a batch's statistics into the moving ones.
    fn fold(&mut self, statistics: Vec<Statistics>) {
        for Statistics { tensors, momentum, mean, variance } in statistics {
            for (index, new) in [(tensors.mean, mean), (tensors.variance, variance)] {
                let moving = self.tensors[index].clone().mul_scalar(momentum);
                self.tensors[index] = moving.add(new.mul_scalar(1.0 - momentum));
            }
        }
    }

    async fn read_loss(&mut self) -> Result<(), Error> {
        self.pending_steps = 0;
        if let Some(sum) = self.pending_loss.take() {
            self.loss += sum.into_scalar_async::<f64>().await.map_err(Error::device)?;
        }
        Ok(())
    }
}
