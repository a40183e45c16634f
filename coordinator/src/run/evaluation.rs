//! The thread that evaluates versions of the master, keeps the best and writes what is to be kept.
//! It alone touches the run folder while a run goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use engine::EpochSummary;
use model::{Batch, Metrics, Plan, Predictor};
use protocol::Digest;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Alarm, ControlEvent, Live, finite};
use crate::data::{Dataset, Names, batches};
use crate::goals::{Judge, Measured};
use crate::predict::evaluation;
use crate::storage::{self, BEST, BestRecord, Checkpoint, RunFolder, Store};

/// Versions in evaluation and waiting for it: each is a whole copy of the master.
const SNAPSHOTS_MAX: usize = 3;

/// Their bytes: of a large model there is one at a time, and merging waits instead.
const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

/// Samples of one evaluation step.
const BATCH_ROWS: usize = 256;

/// Training samples over which statistics of batch normalization are re-estimated: a sample of
/// the data is as good for a mean and a variance as all of it, and as quick each epoch.
const RE_ESTIMATE_ROWS: u32 = 2048;

/// Training samples that are evaluated after each epoch, always the same: enough to see a model that
/// knows them better than those of validation, and few beside an epoch.
const TRAINING_ROWS: usize = 256;

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// Seconds since the first lease.
    pub seconds: f64,
    /// Merges since the start of the run.
    pub version: u64,
    /// Mean loss of the epoch's samples, as the workers report it while they train.
    pub training_loss: Option<f64>,
    /// Of up to 256 training samples, evenly chosen, after the epoch; for classes.
    pub training_accuracy: Option<f64>,
    /// Of the same samples; for values.
    pub training_mae: Option<f64>,
    /// Of the validation samples.
    pub validation_loss: Option<f64>,
    /// Of the validation samples; for classes.
    pub validation_accuracy: Option<f64>,
    /// Of the validation samples; for values.
    pub validation_mae: Option<f64>,
    /// What was counted.
    #[serde(flatten)]
    pub counts: EpochSummary,
}

impl EpochRecord {
    /// What validation measured.
    #[must_use]
    pub fn measured(&self) -> Measured {
        Measured {
            loss: self.validation_loss,
            accuracy: self.validation_accuracy,
            mae: self.validation_mae,
        }
    }
}

/// A version on its way to evaluation.
#[derive(Debug)]
pub struct Snapshot {
    /// What is known of the epoch that it ends.
    pub record: Box<EpochRecord>,
    /// The master's values.
    pub master: Lent,
}

/// A copy of a master, or the master itself.
#[derive(Debug)]
pub struct Lent {
    /// Its values.
    pub values: Vec<f32>,
    /// The momentum of the merge rule; of a copy only where it is asked for.
    pub momentum: Vec<f32>,
    /// Takes both back, if they are no copies.
    pub back: Option<Sender<(Vec<f32>, Vec<f32>)>>,
}

impl Lent {
    /// It is not needed any more.
    fn give_back(self) {
        if let Some(back) = self.back {
            // The data plane waits for it, if it has not failed.
            let _ = back.send((self.values, self.momentum));
        }
    }
}

/// What the thread is given to do, in order.
#[derive(Debug)]
pub enum Work {
    /// Evaluate a version, and write what comes of it.
    Evaluate(Snapshot),
    /// Store a checkpoint.
    Keep {
        /// What is to be kept; the thread adds what it knows itself.
        checkpoint: Box<Checkpoint>,
        /// The master with its momentum.
        master: Lent,
    },
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The model that the run is for: the best one on validation samples, or the last.
    pub model: PathBuf,
    /// The epoch after which it stood, from 1; `None` for the last.
    pub best_epoch: Option<u32>,
    /// That model on the test samples.
    pub test: Option<Metrics>,
    /// That model on the validation samples.
    pub validation: Option<Metrics>,
    /// Whether the target is met; nothing when there was none.
    pub target_met: Option<bool>,
    /// What to say of a target that is not met.
    pub missed: Option<String>,
    /// BLAKE3 of the last parameters, little-endian, in the order of the shape table: equal for
    /// runs that came to the same.
    pub digest: Digest,
}

/// What the thread works with.
#[derive(Debug)]
pub struct Evaluation {
    /// The checked spec.
    pub plan: Plan,
    /// Where the run is kept.
    pub folder: RunFolder,
    /// Its ledger and checkpoints.
    pub store: Store,
    /// What validated best before, in a run that goes on.
    pub best: Option<BestRecord>,
    /// Says when it is enough, and what is best; it has seen the epochs before.
    pub judge: Judge,
    /// Names for the model file.
    pub names: Names,
    /// For statistics of batch normalization.
    pub train: Dataset,
    /// Selects the best model.
    pub validation: Option<Dataset>,
    /// Evaluated once, at the end.
    pub test: Option<Dataset>,
    /// Is told of checkpoints: of the last one when the control task has ended.
    pub live: Arc<Live>,
}

/// The thread's handle.
#[derive(Debug)]
pub struct EvaluationThread {
    /// Takes work.
    pub work: Works,
    /// Gives the state back for [`Finisher::finish`].
    pub thread: JoinHandle<anyhow::Result<Finisher>>,
}

/// Takes work to the thread, with a bounded number of copies of the master.
#[derive(Debug)]
pub struct Works {
    queue: Sender<Work>,
    /// One item for each version that may be made.
    places: Receiver<()>,
}

impl Works {
    /// Waits for a place, and only then makes a snapshot and hands it over. Does nothing when the
    /// thread has ended.
    pub fn give(&self, make: impl FnOnce() -> Work) {
        if self.places.recv().is_ok() {
            // What the thread ended with is told by who joins it.
            let _ = self.queue.send(make());
        }
    }
}

/// Ends a run: writes the last model and tests the best.
#[derive(Debug)]
pub struct Finisher {
    evaluation: Evaluation,
    predictor: Predictor,
    /// The training samples that are evaluated after each epoch.
    sample: Dataset,
    best: Option<Best>,
}

#[derive(Debug)]
struct Best {
    epoch: u32,
    metrics: Metrics,
    /// Where its values are: another copy in memory would be one too many.
    path: PathBuf,
}

impl Evaluation {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the device cannot hold the model, or the system gives no thread.
    pub fn start(self, events: mpsc::Sender<ControlEvent>) -> anyhow::Result<EvaluationThread> {
        let by_bytes = SNAPSHOT_BYTES_MAX / (4 * self.plan.tensors().elements()).max(1);
        let (work, queue) = channel();
        let (freed, places) = channel();
        for _ in 0..by_bytes.clamp(1, SNAPSHOTS_MAX) {
            freed.send(())?;
        }
        let predictor = Predictor::empty(&self.plan, &model::cpu());
        let best = self.best_before()?;
        let sample = self.train.select(&evenly(self.train.rows(), TRAINING_ROWS));
        let mut finisher = Finisher { evaluation: self, predictor, sample, best };
        // One thread, so that evaluation takes at most one core from local workers.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let thread =
            thread::Builder::new().name("herd-evaluation".to_owned()).spawn(move || {
                let _alarm = Alarm(events.clone());
                let ended =
                    pool.install(|| finisher.run(queue, &freed, &events).map(|()| finisher));
                if ended.is_err() {
                    // Nobody listens any more when the run is over anyway.
                    let _ = events.blocking_send(ControlEvent::Failed);
                }
                ended
            })?;
        Ok(EvaluationThread { work: Works { queue: work, places }, thread })
    }

    fn best_before(&self) -> anyhow::Result<Option<Best>> {
        let Some(BestRecord { epoch, metrics }) = &self.best else { return Ok(None) };
        let path = self.folder.path().join(BEST);
        let metrics = serde_json::from_value(metrics.clone())?;
        Ok(Some(Best { epoch: *epoch, metrics, path }))
    }
}

impl Finisher {
    fn run(
        &mut self,
        queue: Receiver<Work>,
        freed: &Sender<()>,
        events: &mpsc::Sender<ControlEvent>,
    ) -> anyhow::Result<()> {
        for work in queue {
            let Snapshot { mut record, master } = match work {
                Work::Evaluate(snapshot) => snapshot,
                Work::Keep { checkpoint, master } => {
                    let number = self.keep(*checkpoint, &master.values, &master.momentum)?;
                    master.give_back();
                    // The data plane ends before this thread does, with nobody to take a place.
                    let _ = freed.send(());
                    // Nobody listens any more after the run's last checkpoint.
                    let _ = events.blocking_send(ControlEvent::Kept(number));
                    continue;
                }
            };
            let (mut verdict, mut is_best) = (None, false);
            let (training, validation) = self.measure(master)?;
            record.training_accuracy = accuracy(&self.evaluation.plan, &training);
            record.training_mae = finite(training.mae());
            if let Some(metrics) = validation {
                record.validation_loss = finite(metrics.loss());
                record.validation_accuracy = accuracy(&self.evaluation.plan, &metrics);
                record.validation_mae = finite(metrics.mae());
                is_best = self.keep_best(record.epoch, metrics)?;
                verdict = self.evaluation.judge.see(record.epoch, &record.measured());
            }
            // Nobody waits for a place when the run is over.
            let _ = freed.send(());
            self.evaluation.folder.append_metrics(&record)?;
            // Nobody listens any more when the run was stopped.
            let _ = events.blocking_send(ControlEvent::Evaluated { record, verdict, is_best });
        }
        Ok(())
    }

    fn keep(
        &mut self,
        mut checkpoint: Checkpoint,
        values: &[f32],
        momentum: &[f32],
    ) -> anyhow::Result<u64> {
        checkpoint.metrics_bytes = self.evaluation.folder.metrics_bytes()?;
        checkpoint.best = self
            .best
            .as_ref()
            .map(|best| BestRecord { epoch: best.epoch, metrics: serde_json::json!(best.metrics) });
        let Evaluation { plan, store, .. } = &mut self.evaluation;
        let number = store.save(&checkpoint, plan.tensors(), values, momentum)?;
        self.evaluation.live.stored(number);
        Ok(number)
    }

    /// Values as they are evaluated and written, if that is not as they are: statistics of batch
    /// normalization that went through many merges are replaced by those of the training samples.
    fn settled(&self, values: &[f32]) -> anyhow::Result<Option<Vec<f32>>> {
        let Evaluation { plan, train, .. } = &self.evaluation;
        if !plan.has_buffers() {
            return Ok(None);
        }
        let rows: Vec<u32> = (0..RE_ESTIMATE_ROWS.min(train.rows() as u32)).collect();
        let sample = train.select(&rows);
        let inputs = batches(&sample, BATCH_ROWS).map(|batch: Batch| (batch.inputs, batch.count));
        Ok(Some(pollster::block_on(model::re_estimate(plan, &model::cpu(), values, inputs))?))
    }

    /// Evaluates a version on some training samples and those of validation. If there are any of those
    /// it is written, as it may be the best. What is lent goes back before the long part of the work.
    fn measure(&mut self, master: Lent) -> anyhow::Result<(Metrics, Option<Metrics>)> {
        let Evaluation { plan, folder, names, validation, .. } = &self.evaluation;
        let settled = self.settled(&master.values)?;
        let values = settled.as_deref().unwrap_or(&master.values);
        if validation.is_some() {
            folder.write_candidate(plan, names, values)?;
        }
        self.predictor.load(values)?;
        drop(settled);
        master.give_back();
        let training = evaluation(&self.predictor, batches(&self.sample, BATCH_ROWS))?;
        let validation = validation.as_ref();
        let validation =
            validation.map(|all| evaluation(&self.predictor, batches(all, BATCH_ROWS)));
        self.predictor.unload();
        Ok((training, validation.transpose()?))
    }

    /// Keeps the model of an epoch, if it is the best so far; says whether it is.
    fn keep_best(&mut self, epoch: u32, metrics: Metrics) -> anyhow::Result<bool> {
        let judge = &self.evaluation.judge;
        let better = self.best.as_ref().is_none_or(|best| judge.prefers(&metrics, &best.metrics));
        // Epochs that were under way when it was decided are late: how many there are is chance.
        let kept = better && metrics.loss().is_finite() && judge.verdict().is_none();
        if kept {
            let path = self.evaluation.folder.keep_candidate()?;
            self.best = Some(Best { epoch, metrics, path });
        }
        Ok(kept)
    }

    /// Writes the last model, and evaluates on the test samples the model that the run is for.
    ///
    /// # Errors
    /// When a file cannot be written or the model cannot be computed.
    pub fn finish(mut self, last: Vec<f32>) -> anyhow::Result<Outcome> {
        let last = self.settled(&last)?.unwrap_or(last);
        let Evaluation { plan, folder, names, .. } = &self.evaluation;
        folder.forget_candidate();
        let final_path = folder.write_final(plan, names, &last)?;
        let digest = Digest::of(bytemuck::must_cast_slice(&last));
        let (model, best_epoch, validation, values) = match self.best.take() {
            Some(best) => {
                drop(last);
                let values = storage::read_parameters(&best.path, plan.tensors())?;
                (best.path, Some(best.epoch), Some(best.metrics), values)
            }
            None => (final_path, None, None, last),
        };
        self.predictor.load(&values)?;
        let test = self.evaluation.test.as_ref();
        let test = test.map(|test| evaluation(&self.predictor, batches(test, BATCH_ROWS)));
        let test = test.transpose()?;
        let judge = &self.evaluation.judge;
        let (target_met, missed) = (judge.is_met(), judge.missed());
        Ok(Outcome { model, best_epoch, test, validation, target_met, missed, digest })
    }
}

/// At most so many of the rows, evenly: files are often in the order of their classes.
fn evenly(rows: usize, most: usize) -> Vec<u32> {
    let count = rows.min(most);
    (0..count).map(|number| (number * rows / count) as u32).collect()
}

/// The accuracy of metrics, where the model says classes.
fn accuracy(plan: &Plan, metrics: &Metrics) -> Option<f64> {
    let classes = plan.spec().loss.is_cross_entropy();
    classes.then(|| metrics.accuracy()).and_then(finite)
}
