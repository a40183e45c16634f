//! Everything that can be wrong with a job is found here, before anything starts.

use model::Plan;
use protocol::message::ShardInfo;

use super::{INCARNATION, RUN};
use crate::cli::TrainArgs;
use crate::config::{self, Job};
use crate::data::{self, Cut, LabelKind, Splits};
use crate::storage;

/// A checked job with its data.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The resolved job.
    pub(super) job: Job,
    /// Its checked model.
    pub(super) plan: Plan,
    /// Its samples.
    pub(super) splits: Splits,
    /// The training samples as they are served.
    pub(super) shards: Vec<Cut>,
    /// The first parameters.
    pub(super) initial: Vec<f32>,
}

/// Reads and checks a job.
pub(super) fn prepare(args: &TrainArgs) -> anyhow::Result<Prepared> {
    let settings = args.settings()?;
    let job = config::resolve(args.job.as_deref(), &config::environment(), &settings)?;
    let plan = Plan::new(&job.model)?;
    let splits = Splits::load(job.division(), LabelKind::of(job.model.loss))?;
    splits.train.check(&plan)?;
    let shards = data::cut(&splits.train, job.seed)?;
    let initial = match &job.init {
        Some(path) => storage::read_parameters(path, plan.tensors())?,
        None => plan.initial(job.seed),
    };
    Ok(Prepared { job, plan, splits, shards, initial })
}

/// What workers are told of a shard.
pub(super) fn shard_info(shard: &Cut) -> ShardInfo {
    ShardInfo { digest: shard.digest, rows: shard.rows, bytes: shard.bytes.len() as u32 }
}

impl Prepared {
    /// The job as the engine wants it.
    pub(super) fn engine_config(&self) -> engine::Config {
        let training = &self.job.training;
        engine::Config {
            run: RUN,
            incarnation: INCARNATION,
            mode: training.mode,
            frequency: training.frequency,
            strategy: training.strategy,
            shards: self.shards.iter().map(|shard| shard.rows).collect(),
            batch_size: training.batch_size,
            epochs: training.epochs,
            seed: self.job.seed,
            learning_rate: self.plan.learning_rate(),
            schedule: training.schedule,
            inner_momentum: self.plan.carries_momentum(),
            workers_min: self.job.fleet.workers_at_start(),
        }
    }
}
