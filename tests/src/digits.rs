//! The default job as the integration tests use it: its model, its digits, its settings.

use coordinator::config::{self, Job, Setting};
use coordinator::data::{Dataset, LabelKind, Splits, batches, cut};
use model::{Metrics, Plan, Predictor};
use protocol::RunId;

use crate::fleet::Fleet;

/// The default job with some keys set, such as `training.epochs=3`.
///
/// # Panics
/// When a key or value is wrong.
#[must_use]
pub fn job(settings: &[&str]) -> Job {
    let settings: Vec<Setting> = settings
        .iter()
        .map(|text| {
            let (key, value) = text.split_once('=').expect("KEY=VALUE");
            Setting { flag: format!("--set {text}"), key: key.into(), text: value.into() }
        })
        .collect();
    config::resolve(None, &[], &settings).expect("the test's job is valid")
}

/// A job's rows.
///
/// # Panics
/// When they cannot be read.
#[must_use]
pub fn splits(job: &Job) -> Splits {
    Splits::load(job.division(), LabelKind::of(job.model.loss)).expect("the job's data")
}

/// A job on these training rows as a fleet without workers yet.
///
/// # Panics
/// When the job is not valid.
#[must_use]
pub fn fleet(job: &Job, train: &Dataset) -> Fleet {
    let plan = Plan::new(&job.model).expect("the job's model");
    let shards = cut(train, job.seed, &[]).expect("the job's shards");
    let engine = engine::Config {
        run: RunId(1),
        incarnation: 1,
        mode: job.training.mode,
        frequency: job.training.frequency,
        strategy: job.training.strategy,
        shards: shards.iter().map(|shard| shard.rows).collect(),
        batch_size: job.training.batch_size,
        epochs: job.training.epochs,
        seed: job.seed,
        learning_rate: plan.learning_rate(),
        schedule: job.training.schedule,
        inner_momentum: plan.carries_momentum(),
        workers_min: 1,
        deterministic: false,
    };
    let initial = plan.initial(job.seed);
    Fleet {
        plan,
        engine,
        shards,
        codec: job.training.codec,
        initial,
        step_times: Vec::new(),
        vanish: Vec::new(),
    }
}

/// Metrics of a model's values on some rows.
///
/// # Panics
/// When the values do not fit the model.
#[must_use]
pub fn evaluate(plan: &Plan, values: &[f32], rows: &Dataset) -> Metrics {
    let mut predictor = Predictor::empty(plan, &model::cpu());
    predictor.load(values).expect("the model's values");
    coordinator::predict::evaluation(&predictor, batches(rows, 256)).expect("the rows")
}
