//! `herd train`: a job becomes a run, a fleet trains it, a model is left.
//!
//! - [`prepare`]: job, data and model are read and checked before anything starts
//! - [`plan`]: what `--dry-run` prints
//! - [`local`]: local worker processes
//! - [`display`]: progress on a terminal or in plain lines
//! - [`serving`]: the server, and how long it outlives the run
//! - [`summary`]: what is said at the end

mod display;
mod local;
mod plan;
mod prepare;
mod serving;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use engine::merge::Master;
use engine::{Engine, Status};
use protocol::{Assignment, RunId, ToWorker, Version, frame};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::cli::{Failure, TrainArgs};
use crate::run::{Board, Control, ControlEvent, DataPlane, Ending, Evaluation, Tally};
use crate::server::{self, Shared, Traffic};
use crate::storage::RunFolder;
use prepare::Prepared;
use serving::Serving;
use summary::Summary;

/// This coordinator trains one run.
const RUN: RunId = RunId(1);

/// Which start of the coordinator this is.
const INCARNATION: u32 = 1;

/// How long the server may take to end its last connections.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Events that may wait for the control task; sessions wait when it is full.
const EVENTS_MAX: usize = 1024;

/// Trains a job.
///
/// # Errors
/// With the exit code of its kind: configuration, data, network, Ctrl-C.
pub fn train(args: &TrainArgs) -> anyhow::Result<()> {
    let prepared = prepare::prepare(args)?;
    let config = prepared.engine_config();
    let engine = Engine::new(config.clone()).map_err(|error| Failure::Usage(error.to_string()))?;
    for warning in config.warnings(u64::from(prepared.job.fleet.workers)) {
        display::warn(&warning);
    }
    if args.dry_run {
        return plan::print(&prepared, &config, args.json);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("herd-server")
        .enable_all()
        .build()?;
    let worker = local::binary(&prepared.job)?;
    // The port before the folder: a run that cannot listen leaves nothing behind.
    let listener = runtime.block_on(listen(&prepared.job.fleet.listen))?;
    let folder = RunFolder::create(&prepared.job)?;
    let linger = Duration::from_secs(prepared.job.fleet.linger.into());
    let (summary, serving) = runtime.block_on(run(prepared, engine, listener, folder, worker))?;
    summary.print(args.json)?;
    runtime.block_on(serving.end(linger));
    // Sessions that do not end in time are cut off.
    runtime.shutdown_timeout(END_TIMEOUT);
    if summary.ending == Ending::Complete
        && summary.status.merged_samples < summary.status.total_samples / 2
    {
        return Err(nothing_learnt(&summary.status));
    }
    match summary.ending {
        Ending::Complete => Ok(()),
        Ending::Interrupted => Err(Failure::Interrupted.into()),
        Ending::Deserted(reason) => Err(Failure::Network(reason).into()),
        Ending::Failed => Err(anyhow::anyhow!("a thread of the run failed")),
    }
}

async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    let bound = server::listen(address).await;
    let remedy = |error: std::io::Error| {
        let remedy = if error.kind() == std::io::ErrorKind::AddrInUse {
            "the port is in use; choose another with --listen, or port 0 for any free one"
        } else {
            "choose another address with --listen"
        };
        Failure::Network(format!("cannot listen on {address}: {error}; {remedy}"))
    };
    Ok(bound.map_err(remedy)?)
}

async fn run(
    prepared: Prepared,
    engine: Engine,
    listener: TcpListener,
    folder: RunFolder,
    worker: Option<PathBuf>,
) -> anyhow::Result<(Summary, Serving)> {
    let Prepared { job, plan, splits, shards, initial } = prepared;
    let address = listener.local_addr()?;
    let token = new_token()?;
    let table = plan.tensors().clone();
    let codec = job.training.codec;
    let spec = plan.spec().to_json();
    let shard_info = shards.iter().map(prepare::shard_info).collect();
    let assignment = Assignment {
        run: RUN,
        name: job.name.clone(),
        spec,
        table: table.clone(),
        seed: job.seed,
        shards: shard_info,
        download: codec,
        upload: codec,
    };
    let assign = ToWorker::Assign(assignment.clone());
    if let Err(error) = frame::encode(&assign, &[]) {
        let message =
            format!("workers cannot be told of this run, its data or model is too large: {error}");
        return Err(Failure::Data(message).into());
    }
    let (events, queue) = mpsc::channel(EVENTS_MAX);
    let stored = shards.into_iter().map(|shard| (shard.digest, shard.bytes)).collect();
    let min_workers = job.fleet.workers_at_start();
    let board = Arc::new(Board::new(&job.name, plan.parameters(), min_workers));
    let shared = Shared::new(&token, assignment, stored, events.clone(), board.clone());
    let traffic = shared.traffic.clone();

    let version = Version { incarnation: INCARNATION, number: 0 };
    let master = Master::new(&table, initial, version)?;
    let path = folder.path().to_owned();
    let evaluation = Evaluation {
        plan: plan.clone(),
        folder,
        names: splits.train.names.clone(),
        train: splits.train,
        validation: splits.validation,
        test: splits.test,
    }
    .start(events.clone())?;
    let model_bytes = codec.bytes(&table) as u64;
    let data = DataPlane::start(master, table, codec, events.clone(), evaluation.snapshots)?;

    let serving = Serving::start(listener, shared, board.clone());
    let mut display = display::Terminal::new(&job, address, &token, &path);
    display.begin(&plan);
    let processes = local::start(worker, &job, address, &token, &events, &display.log())?;
    tokio::spawn(interrupt(events.clone()));
    let control = Control::new(
        engine,
        RUN,
        data.commands,
        model_bytes,
        job.fleet.workers as usize,
        Box::new(display),
        board.clone(),
    );
    drop(events);
    let (ending, tally, status) = control.run(queue).await;

    // The control task held the last senders: merging and then evaluation come to their ends.
    if status.merged_samples == 0 {
        // There is no model to write: the first parameters are nobody's result.
        processes.wait().await;
        return Err(match ending {
            Ending::Interrupted => Failure::Interrupted.into(),
            Ending::Deserted(reason) => Failure::Network(reason).into(),
            Ending::Complete | Ending::Failed => nothing_learnt(&status),
        });
    }
    let finishing = tokio::task::spawn_blocking(move || {
        let master = join(data.thread)?;
        let finisher = join(evaluation.thread)??;
        finisher.finish(master.values().to_vec())
    });
    let outcome = finishing.await??;
    processes.wait().await;
    board.end(&ending, outcome.test.as_ref(), plan.spec().loss.is_cross_entropy());
    let summary = summarise(&plan, &path, outcome, ending, &tally, &status, &traffic);
    Ok((summary, serving))
}

fn join<T>(thread: thread::JoinHandle<T>) -> anyhow::Result<T> {
    thread.join().map_err(|_| anyhow::anyhow!("a thread of the run failed"))
}

fn summarise(
    plan: &model::Plan,
    folder: &std::path::Path,
    outcome: crate::run::Outcome,
    ending: Ending,
    tally: &Tally,
    status: &Status,
    traffic: &Traffic,
) -> Summary {
    Summary {
        classes: plan.spec().loss.is_cross_entropy(),
        folder: folder.to_owned(),
        outcome,
        ending,
        seconds: tally.training_time().as_secs_f64(),
        samples_per_second: tally.samples_per_second(),
        speed_up: tally.speed_up(),
        workers: tally.workers(),
        bytes_up: traffic.up.load(Ordering::Relaxed),
        bytes_down: traffic.down.load(Ordering::Relaxed),
        status: status.clone(),
    }
}

/// What to say of a run whose samples were refused.
fn nothing_learnt(status: &Status) -> anyhow::Error {
    let reasons = status.totals.dropped.iter();
    let reasons: Vec<_> =
        reasons.map(|(reason, count)| format!("{count} {}", reason.name())).collect();
    let message = format!(
        "{} of {} samples were not merged ({}): training diverged; lower --learning-rate",
        status.total_samples - status.merged_samples,
        status.total_samples,
        reasons.join(", ")
    );
    Failure::Target(message).into()
}

/// 256 random bits that admit to a run. No dash or underscore stands at an end: in front it would look
/// like a flag, behind it is easily left out when a link is copied.
fn new_token() -> anyhow::Result<String> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).context("the system gives no random numbers")?;
        let token = data_encoding::BASE64URL_NOPAD.encode(&bytes);
        if !token.starts_with(['-', '_']) && !token.ends_with(['-', '_']) {
            return Ok(token);
        }
    }
}

/// The first Ctrl-C ends the run and keeps what is there; the second ends the process.
async fn interrupt(events: mpsc::Sender<ControlEvent>) {
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    let _ = events.send(ControlEvent::Interrupted).await;
    // Released, so that the run's end is not held up by this task.
    drop(events);
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(130);
    }
}
