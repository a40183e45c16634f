//! `herd train`: a job becomes a run, a fleet trains it, a model is left.
//!
//! - [`prepare`]: job, data and model are read and checked before anything starts
//! - [`start`]: from nothing, or from a checkpoint
//! - [`plan`]: what `--dry-run` prints
//! - [`certificate`]: what connections are encrypted with; [`reach`]: links and commands that lead here
//! - [`local`]: local worker processes
//! - [`links`]: where the run is reached, and with which token
//! - [`display`]: progress on a terminal or in plain lines
//! - [`serving`]: the server, and how long it outlives the run; [`signals`]: what ends it before
//! - [`summary`]: what is said at the end

mod certificate;
mod display;
mod links;
mod local;
mod plan;
mod prepare;
mod reach;
mod serving;
mod signals;
mod start;
mod summary;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use engine::{Mode, Status};
use model::Plan;
use protocol::{Assignment, RunId, ToWorker, frame};
use tokio::sync::mpsc;

use crate::cli::{Failure, TrainArgs};
use crate::config::Job;
use crate::goals::Span;
use crate::predict::Input;
use crate::run::{
    About, Board, Constants, Control, DataPlane, Display, Ended, Ending, Evaluation, Intake, Live,
    Merging, Parts, Tally,
};
use crate::runs;
use crate::server::{self, Access, Dashboard, Invitation, Shared};
use crate::storage::Audit;
use crate::tensorboard::{self, TensorBoard};
use certificate::Renewal;
use prepare::Prepared;
use reach::Reach;
use serving::Serving;
use signals::Signals;
use start::Start;
use summary::Summary;

pub(crate) use display::eprint_line;
pub(crate) use links::Place;
pub(crate) use summary::{bytes, grouped, percent};

/// This coordinator trains one run.
const RUN: RunId = RunId(1);

/// What a dry run takes the first start of the coordinator to be.
const FIRST_INCARNATION: u32 = 1;

/// How long the server may take to end its last connections.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Where this machine's own workers reach a run that speaks TLS.
const LOCAL_WORKERS: &str = "127.0.0.1:0";

/// Events that may wait for the control task; sessions wait when it is full.
const EVENTS_MAX: usize = 1024;

/// Trains a job.
///
/// # Errors
/// With the exit code of its kind: configuration, data, network, Ctrl-C.
pub fn train(args: &TrainArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("herd-server")
        .enable_all()
        .build()?;
    tensorboard::check(args.tensorboard.as_ref())?;
    let start = match &args.resume {
        Some(run) => start::resumed(args, run, &runtime)?,
        None => {
            let prepared = prepare::prepare(args)?;
            let config = prepared.engine_config(FIRST_INCARNATION);
            config.check()?;
            for warning in config.warnings(u64::from(prepared.job.fleet.workers)) {
                display::warn(&warning);
            }
            if args.dry_run {
                return plan::print(&prepared, &config, args.json);
            }
            start::new(prepared, &runtime)?
        }
    };
    let linger = Duration::from_secs(start.prepared.job.fleet.linger.into());
    let tensorboard = tensorboard::folder(args.tensorboard.as_ref(), start.folder.path())?;
    let folder = start.folder.path().to_owned();
    let ran = runtime.block_on(run(start, tensorboard));
    if ran.is_err() {
        report(&folder, None);
    }
    let (summary, serving) = ran?;
    summary.print(args.json)?;
    report(&folder, summary.value());
    if summary.ending.goes_on() {
        let folder = summary.folder.display();
        let more =
            if matches!(summary.ending, Ending::TimeUp(_)) { " --max-time TIME" } else { "" };
        display::eprint_line(&format!("to go on: herd train --resume {folder}{more}"));
    }
    let linger = if summary.ending == Ending::Restarting { Duration::ZERO } else { linger };
    runtime.block_on(serving.end(linger));
    // Sessions that do not end in time are cut off.
    runtime.shutdown_timeout(END_TIMEOUT);
    if summary.ending == Ending::Complete
        && summary.status.merged_samples < summary.status.total_samples / 2
    {
        return Err(nothing_learnt(&summary.status));
    }
    let missed = summary.outcome.missed.map(Failure::Target);
    match (summary.ending == Ending::Failed, cut_short(summary.ending).or(missed)) {
        (_, Some(failure)) => Err(failure.into()),
        (true, None) => Err(anyhow::anyhow!("a thread of the run failed")),
        (false, None) => Ok(()),
    }
}

/// Writes the run's report. A run does not fail by that.
fn report(folder: &Path, result: Option<serde_json::Value>) {
    match runs::report::write(folder, result) {
        Ok(path) => display::eprint_line(&format!("report  {}", path.display())),
        Err(error) => display::warn(&format!("no report: {error:#}")),
    }
}

/// Why a run ended before its time, if somebody wanted it or nobody trained any more.
fn cut_short(ending: Ending) -> Option<Failure> {
    match ending {
        Ending::Interrupted => Some(Failure::Interrupted),
        Ending::Stopped => Some(Failure::Stopped),
        Ending::Restarting => Some(Failure::Terminated),
        Ending::Deserted(reason) => Some(Failure::Network(reason)),
        Ending::Complete
        | Ending::TargetMet(_)
        | Ending::NoProgress(_)
        | Ending::TimeUp(_)
        | Ending::Failed => None,
    }
}

async fn run(start: Start, tensorboard: Option<PathBuf>) -> anyhow::Result<(Summary, Serving)> {
    let Start { prepared, engine, master, listener, folder, mut store, made, tokens, before } =
        start;
    let data_name = prepared.data_name();
    let Prepared { job, plan, splits, shards, .. } = prepared;
    let worker = local::program(&job)?;
    let tls = certificate::of_run(&job.server, folder.path())?;
    let reach = Reach::new(listener.local_addr()?, tls.as_deref(), &job.server);
    store.reached_at(&serde_json::to_string(&reach.network())?)?;
    // Workers of this machine need no TLS, nor a certificate that may change.
    let local = match &tls {
        Some(_) if worker.is_some() => Some(server::listen(LOCAL_WORKERS).await?),
        _ => None,
    };
    let local_address = match &local {
        Some(listener) => listener.local_addr()?.to_string(),
        None => reach.here().at,
    };
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
        fresh_optimizer: job.training.deterministic,
    };
    let assign = ToWorker::Assign(assignment.clone());
    if let Err(error) = frame::encode(&assign, &[]) {
        let message =
            format!("workers cannot be told of this run, its data or model is too large: {error}");
        return Err(Failure::Data(message).into());
    }
    let (events, queue) = mpsc::channel(EVENTS_MAX);
    let rows = shards.iter().map(|shard| shard.rows).collect();
    let stored = shards.into_iter().map(|shard| (shard.digest, shard.bytes)).collect();
    let last_record = before.records.last().cloned();
    let about = about(&job, &plan, folder.path(), engine.status().version.incarnation);
    let best = before.best.as_ref().map(|best| best.epoch);
    let live = Arc::new(Live::new(about, &before.records, best));
    let board = Arc::new(Board::new(live, before.records));
    let dashboard = Dashboard::new(folder.path().to_owned(), Input::of(&splits.train, &plan));
    let invitation = links::invitation(&reach.places(), made.worker.reveal()).to_string();
    let access = Access {
        tokens,
        invitation: Invitation::new(made.worker_id, invitation),
        audit: Audit::of(folder.path()),
    };
    let intake = Intake::new(codec, &table);
    let shared = Shared::new(
        access,
        assignment,
        stored,
        events.clone(),
        board.clone(),
        intake.clone(),
        dashboard,
    )
    .reached_by(&job.server, tls.as_deref());
    let traffic = shared.traffic.clone();
    traffic.up.store(before.shell.bytes_up, Ordering::Relaxed);
    traffic.down.store(before.shell.bytes_down, Ordering::Relaxed);
    let path = folder.path().to_owned();
    let evaluation = Evaluation {
        plan: plan.clone(),
        folder,
        store,
        best: before.best,
        judge: before.judge.clone(),
        names: splits.train.names.clone(),
        train: splits.train,
        validation: splits.validation,
        test: splits.test,
        live: board.live().clone(),
    }
    .start(events.clone())?;
    let model_bytes = codec.bytes(&table) as u64;
    let merging = match job.training.mode {
        Mode::Hogwild => Merging::Hogwild { momentum: engine.merges_with_momentum() },
        Mode::Synchronous | Mode::Asynchronous => Merging::InOrder,
    };
    let data = DataPlane::start(
        master,
        merging,
        (table, codec, intake),
        events.clone(),
        evaluation.work,
        board.clone(),
    )?;

    let renewal = Renewal::catch(tls.as_ref());
    let serving = Serving::start((listener, tls), local, shared, board.clone());
    // Before anything is said: who has read that a run begins can end it.
    let signals = Signals::catch()?;
    certificate::warn(&job.server, &reach);
    let mut display = display::Terminal::new(&job, &reach, &made, &path);
    display.begin(&plan, before.goes_on.as_deref());
    if let Some(renewal) = renewal {
        tokio::spawn(renewal.keep(display.log(), events.downgrade()));
    }
    let mut processes =
        local::start(worker, &job, &local_address, &made.local, &events, &display.log())?;
    let mut display: Box<dyn Display> = Box::new(display);
    if let Some(folder) = tensorboard {
        let incarnation = engine.status().version.incarnation;
        let start = TensorBoard::start(folder, incarnation, last_record.as_ref(), display);
        display = Box::new(start?);
    }
    tokio::spawn(signals.tell(events.clone()));
    let control = Control::new(Parts {
        engine,
        run: RUN,
        data: data.commands,
        model_bytes,
        local_workers: job.fleet.workers as usize,
        display,
        board: board.clone(),
        tally: before.tally,
        deterministic: job.training.deterministic,
        max_time: job.training.max_time,
        verdict: before.judge.verdict().cloned(),
        checkpoint_interval: Duration::from_secs(job.training.checkpoint_interval.into()),
        constants: Constants { shards: rows, data: data_name, traffic: traffic.clone() },
    });
    drop(events);
    let (ending, tally, status) = control.run(queue).await;

    // The control task held the last senders: merging and then evaluation come to their ends, and
    // with them the last checkpoint.
    if let Ending::Restarting | Ending::Failed = ending {
        // Local workers would wait for the coordinator to be back.
        processes.end();
    }
    let trained = status.merges > 0;
    let finishing = tokio::task::spawn_blocking(move || {
        let values = join(data.thread)?;
        let finisher = join(evaluation.thread)??;
        // Untrained parameters are nobody's result.
        trained.then(|| finisher.finish(values)).transpose()
    });
    let outcome = finishing.await??;
    processes.wait().await;
    let Some(outcome) = outcome else {
        return Err(nothing_trained(ending, &status));
    };
    let bytes = (traffic.up.load(Ordering::Relaxed), traffic.down.load(Ordering::Relaxed));
    board.end(&Ended {
        ending: &ending,
        test: outcome.test.as_ref(),
        classes: plan.spec().loss.is_cross_entropy(),
        status: &status,
        tally: &tally,
        bytes,
    });
    let summary = summarise(&plan, &path, outcome, ending, &tally, &status, bytes);
    Ok((summary, serving))
}

/// What does not change while a run goes on, for those who watch.
fn about(job: &Job, plan: &Plan, folder: &Path, incarnation: u32) -> About {
    About {
        name: job.name.clone(),
        run: runs::name(folder),
        version_of_herd: env!("CARGO_PKG_VERSION"),
        mode: job.training.mode,
        classes: plan.spec().loss.is_cross_entropy(),
        parameters: plan.parameters(),
        batch_size: job.training.batch_size,
        min_workers: job.fleet.workers_at_start(),
        incarnation,
        max_seconds: job.training.max_time.map(|Span(time)| time.as_secs_f64()),
    }
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
    (bytes_up, bytes_down): (u64, u64),
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
        bytes_up,
        bytes_down,
        status: status.clone(),
    }
}

/// What to say of a run that ended before anything was merged.
fn nothing_trained(ending: Ending, status: &Status) -> anyhow::Error {
    if let Ending::TimeUp(sentence) = ending {
        let message = format!("{sentence}, before anything was merged: give it more");
        return Failure::Target(message).into();
    }
    cut_short(ending).map_or_else(|| nothing_learnt(status), Into::into)
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
