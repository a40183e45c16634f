//! Trains one lease and makes its delta.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{Device, Plan, Spec, Trainer};
use protocol::{Assignment, Lease, LeaseId, Report, TensorTable};

use crate::samples::Rows;

/// A lease with all that training it needs.
#[derive(Debug)]
pub struct Job {
    /// The lease.
    pub lease: Lease,
    /// Where training starts: all tensors, in the order of the shape table.
    pub parameters: Vec<f32>,
    /// Its rows.
    pub rows: Rows,
    /// Set when the lease is void: training it further is for nothing.
    pub cancelled: Arc<AtomicBool>,
}

/// A trained lease.
#[derive(Debug)]
pub struct Trained {
    /// The lease.
    pub lease: LeaseId,
    /// `after - before` for parameters, the values themselves for buffers.
    pub delta: Vec<f32>,
    /// For display; `busy_us` is left to the shell, which has a clock.
    pub report: Report,
}

/// Why a run cannot be trained here.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The spec does not check.
    #[error("the run's model is not understood by this version: {0}")]
    Spec(#[from] model::SpecError),
    /// Coordinator and worker derive different tensors from the spec.
    #[error("this version derives other tensors from the run's model than its coordinator does")]
    Table,
    /// The device or a batch failed.
    #[error(transparent)]
    Model(#[from] model::Error),
}

/// The model of a run on one device, ready to train lease after lease.
pub struct LeaseTrainer {
    trainer: Trainer,
    table: TensorTable,
    /// The optimizer's state starts anew with each lease.
    fresh: bool,
}

impl std::fmt::Debug for LeaseTrainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaseTrainer").field("tensors", &self.table.tensors.len()).finish()
    }
}

impl LeaseTrainer {
    /// Builds the run's model.
    ///
    /// # Errors
    /// When the spec does not check here, or gives other tensors than the coordinator's.
    pub fn new(assignment: &Assignment, device: &Device) -> Result<Self, TrainError> {
        let plan = Plan::new(&Spec::from_json(&assignment.spec)?)?;
        if *plan.tensors() != assignment.table {
            return Err(TrainError::Table);
        }
        let trainer = Trainer::new(&plan, device)?;
        let fresh = assignment.fresh_optimizer;
        Ok(Self { trainer, table: assignment.table.clone(), fresh })
    }

    /// Trains a lease; `None` when it was cancelled on the way.
    ///
    /// After each step `progress` is awaited with the steps made so far: the shell reports them,
    /// and gives the event loop a turn where there is one.
    ///
    /// # Errors
    /// When the device or a batch fails.
    pub async fn train(
        &mut self,
        job: Job,
        mut progress: impl AsyncFnMut(u64),
    ) -> Result<Option<Trained>, TrainError> {
        let Job { lease, parameters: before, rows, cancelled } = job;
        self.trainer.load(&before)?;
        if self.fresh {
            self.trainer.reset_optimizer();
        }
        self.trainer.seed(lease.seed);
        for index in 0..rows.batches() {
            if cancelled.load(Ordering::Relaxed) {
                return Ok(None);
            }
            self.trainer.step(rows.batch(index), lease.learning_rate).await?;
            progress(index as u64 + 1).await;
        }
        let loss_sum = self.trainer.take_loss().await?;
        // A loss that is not finite cannot travel; the largest number shows what happened.
        let loss_sum = if loss_sum.is_finite() { loss_sum } else { f64::MAX };
        let mut delta = self.trainer.flat().await?;
        for (tensor, range) in self.table.ranges() {
            if !tensor.is_buffer() {
                let (after, before) = (&mut delta[range.clone()], &before[range]);
                after.iter_mut().zip(before).for_each(|(after, before)| *after -= before);
            }
        }
        if delta.iter().any(|value| !value.is_finite()) {
            // Moments that are not finite would spoil every later lease.
            self.trainer.reset_optimizer();
        }
        let report =
            Report { steps: lease.steps(), samples: lease.samples(), loss_sum, busy_us: 0 };
        Ok(Some(Trained { lease: lease.id, delta, report }))
    }
}
