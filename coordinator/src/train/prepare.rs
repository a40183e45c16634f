//! Everything that can be wrong with a job is found here, before anything starts.

use std::path::Path;

use model::Plan;
use protocol::Digest;
use protocol::message::ShardInfo;

use super::{RUN, certificate};
use crate::cli::{Failure, TrainArgs};
use crate::config::{self, Job};
use crate::data::{self, Cut, LabelKind, Scaling, Splits};
use crate::goals::Judge;
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
    load(config::resolve(args.job.as_deref(), &config::environment(), &settings)?)
}

fn load(job: Job) -> anyhow::Result<Prepared> {
    certificate::from_files(&job.server)?;
    let plan = Plan::new(&job.model)?;
    let splits = Splits::load(job.division(), LabelKind::of(job.model.loss))?;
    splits.train.check(&plan)?;
    let plan = match job.data.scaling {
        Scaling::None => plan,
        Scaling::Standard => Plan::new(&data::scaling::scaled(&job.model, &splits.train)?)?,
    };
    let weights = job.training.class_weights.of(&splits.train)?;
    let shards = data::cut(&splits.train, job.seed, &weights)?;
    let initial = match &job.init {
        Some(path) => storage::read_parameters(path, plan.tensors())?,
        None => plan.initial(job.seed),
    };
    Ok(Prepared { job, plan, splits, shards, initial })
}

/// Flags that a run which goes on may be given: who trains it, where and how it is reached, and how long.
const FLEET: [&str; 12] = [
    "workers",
    "min_workers",
    "device",
    "listen",
    "linger",
    "max_time",
    "tls",
    "tls_cert",
    "tls_key",
    "trusted_proxies",
    "allow_hosts",
    "insecure",
];

/// Reads the job of the run in `folder` again, with other flags for its fleet and its time alone.
pub(super) fn prepare_again(args: &TrainArgs, folder: &Path) -> anyhow::Result<Prepared> {
    let settings = args.settings()?;
    let of_fleet = |key: &str| {
        let sections = ["fleet.", "training.", "server."];
        let name = sections.iter().find_map(|section| key.strip_prefix(section)).unwrap_or(key);
        FLEET.contains(&name)
    };
    if let Some(other) = settings.iter().find(|setting| !of_fleet(&setting.key)) {
        return Err(Failure::Usage(format!(
            "{} cannot change in a run that goes on: with --resume there may be --workers, \
             --min-workers, --device, --listen, --linger, --max-time and the flags of TLS, proxies and \
             names",
            other.flag
        ))
        .into());
    }
    let config = folder.join(storage::CONFIG);
    let stored = config::resolve(Some(&config), &[], &[])?;
    let mut job = config::resolve(Some(&config), &[], &settings)?;
    if stored.training.deterministic {
        // Its rounds have as many units as it had workers.
        job.fleet.min_workers = stored.fleet.workers_at_start();
    }
    load(job)
}

/// What workers are told of a shard.
pub(super) fn shard_info(shard: &Cut) -> ShardInfo {
    ShardInfo { digest: shard.digest, rows: shard.rows, bytes: shard.bytes.len() as u32 }
}

impl Prepared {
    /// Who says when it is enough, before the first epoch.
    pub(super) fn judge(&self) -> Judge {
        Judge::new(self.job.training.target, self.job.training.early_stopping)
    }

    /// Names the training data: shards have the digest of their content.
    pub(super) fn data_name(&self) -> String {
        let digests: Vec<u8> = self.shards.iter().flat_map(|shard| shard.digest.0).collect();
        Digest::of(&digests).to_string()
    }

    /// The job as the engine wants it.
    pub(super) fn engine_config(&self, incarnation: u32) -> engine::Config {
        let training = &self.job.training;
        engine::Config {
            run: RUN,
            incarnation,
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
            deterministic: training.deterministic,
        }
    }
}
