//! `--dry-run`: what a run would do, without doing it.

use engine::Frequency;
use serde::Serialize;

use super::prepare::Prepared;

#[derive(Debug, Serialize)]
struct DryRun<'a> {
    name: &'a str,
    train_samples: usize,
    validation_samples: usize,
    test_samples: usize,
    shards: usize,
    shard_bytes: u64,
    parameters: u64,
    epochs: u32,
    batches_per_epoch: u64,
    batches_per_lease: u64,
    leases_per_epoch: u64,
    bytes_per_push: u64,
    bytes_per_pull: u64,
    mode: String,
    frequency: String,
    strategy: String,
    workers: u32,
}

/// Prints the plan: a table, or one JSON object.
#[allow(clippy::print_stdout, reason = "this is the command line's answer")]
pub(super) fn print(
    prepared: &Prepared,
    config: &engine::Config,
    json: bool,
) -> anyhow::Result<()> {
    let plan = dry_run(prepared, config);
    if json {
        println!("{}", serde_json::to_string(&plan)?);
        return Ok(());
    }
    println!("{}", prepared.plan.summary());
    println!("run          {} on {}", plan.name, prepared.splits.train.origin);
    println!(
        "samples      {} to train, {} to validate, {} to test",
        plan.train_samples, plan.validation_samples, plan.test_samples
    );
    println!("shards       {} of {} in all", plan.shards, super::summary::bytes(plan.shard_bytes));
    println!("parameters   {}", plan.parameters);
    println!(
        "batches      {} of {} in each of {} epochs",
        plan.batches_per_epoch, config.batch_size, plan.epochs
    );
    println!(
        "leases       about {} an epoch, {} batches each, for {} workers",
        plan.leases_per_epoch, plan.batches_per_lease, plan.workers
    );
    println!(
        "merge        {}, frequency {}, strategy {}",
        plan.mode, plan.frequency, plan.strategy
    );
    let per_push = super::summary::bytes(plan.bytes_per_push);
    println!("bytes        {per_push} a push and as much a pull ({})", prepared.job.training.codec);
    Ok(())
}

fn dry_run<'a>(prepared: &'a Prepared, config: &engine::Config) -> DryRun<'a> {
    let batches = config.epoch_batches();
    let workers = config.workers_min;
    let per_lease = match config.frequency {
        Frequency::Batch => 1,
        Frequency::Steps(steps) => u64::from(steps).min(batches),
        // With many workers `auto` makes less of it, once their speeds are known.
        Frequency::Epoch | Frequency::Auto => batches.div_ceil(u64::from(workers)),
    };
    let rows = |part: &Option<crate::data::Dataset>| part.as_ref().map_or(0, |part| part.rows());
    let bytes = prepared.job.training.codec.bytes(prepared.plan.tensors()) as u64;
    DryRun {
        name: &prepared.job.name,
        train_samples: prepared.splits.train.rows(),
        validation_samples: rows(&prepared.splits.validation),
        test_samples: rows(&prepared.splits.test),
        shards: prepared.shards.len(),
        shard_bytes: prepared.shards.iter().map(|shard| shard.bytes.len() as u64).sum(),
        parameters: prepared.plan.parameters(),
        epochs: config.epochs,
        batches_per_epoch: batches,
        batches_per_lease: per_lease,
        leases_per_epoch: batches.div_ceil(per_lease),
        bytes_per_push: bytes,
        bytes_per_pull: bytes,
        mode: config.mode.to_string(),
        frequency: config.frequency.to_string(),
        strategy: config.resolved_strategy().to_string(),
        workers,
    }
}
