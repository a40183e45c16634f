//! What a run starts from: nothing, or the newest checkpoint of its folder.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use engine::Engine;
use engine::merge::Master;
use protocol::Version;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::display;
use super::prepare::{self, Prepared};
use super::summary::grouped;
use crate::cli::{Failure, TrainArgs};
use crate::goals::{Judge, Span};
use crate::run::{EpochRecord, Shell, Tally};
use crate::runs::metrics;
use crate::server::{self, Tokens};
use crate::storage::{self, BestRecord, Loaded, RunFolder, Store, TokenRow};
use crate::tokens::{Role, Secret};

/// A run that is ready to begin or to go on.
pub(super) struct Start {
    pub(super) prepared: Prepared,
    pub(super) engine: Engine,
    pub(super) master: Master,
    pub(super) listener: TcpListener,
    pub(super) folder: RunFolder,
    pub(super) store: Store,
    /// The tokens of this start.
    pub(super) made: Made,
    /// All tokens that admit, those of earlier starts included.
    pub(super) tokens: Tokens,
    pub(super) before: Before,
}

/// The tokens that a start of the coordinator makes.
pub(super) struct Made {
    pub(super) worker: Secret,
    /// Its number in the run.
    pub(super) worker_id: u32,
    pub(super) viewer: Secret,
    pub(super) admin: Secret,
    /// For local workers, who die with the coordinator: it is stored and printed nowhere, and who
    /// takes links back does not end them.
    pub(super) local: Secret,
}

impl Made {
    /// Makes tokens, and commits them with a new start, whose number it says.
    fn begin(store: &mut Store, listener: &TcpListener) -> anyhow::Result<(Self, u32)> {
        let [worker, viewer, admin, local] =
            [Secret::new()?, Secret::new()?, Secret::new()?, Secret::new()?];
        let rows = [(&worker, Role::Worker), (&viewer, Role::Viewer), (&admin, Role::Admin)];
        let rows = rows.map(|(secret, role)| TokenRow::new(secret, role));
        let (incarnation, ids) = store.begin(listener.local_addr()?, &rows)?;
        let worker_id = ids.first().copied().unwrap_or_default();
        Ok((Self { worker, worker_id, viewer, admin, local }, incarnation))
    }

    /// All tokens of the run in this folder, those of earlier starts included.
    fn and_others(&self, folder: &Path) -> anyhow::Result<Tokens> {
        Tokens::follow(folder, vec![TokenRow::new(&self.local, Role::Worker)])
    }
}

/// What came before this start.
#[derive(Default)]
pub(super) struct Before {
    pub(super) best: Option<BestRecord>,
    pub(super) tally: Tally,
    pub(super) records: Vec<EpochRecord>,
    pub(super) shell: Shell,
    /// Has seen the epochs so far.
    pub(super) judge: Judge,
    /// For people: where the run goes on.
    pub(super) goes_on: Option<String>,
}

/// A run from nothing.
pub(super) fn new(mut prepared: Prepared, runtime: &Runtime) -> anyhow::Result<Start> {
    // The port before the folder: a run that cannot listen leaves nothing behind.
    let listener = runtime.block_on(listen(&prepared.job.fleet.listen))?;
    let folder = RunFolder::create(&prepared.job)?;
    folder.write_spec(prepared.plan.spec())?;
    let mut store = Store::create(folder.path())?;
    let (made, incarnation) = Made::begin(&mut store, &listener)?;
    let engine = Engine::new(prepared.engine_config(incarnation))?;
    let version = Version { incarnation, number: 0 };
    // Taken: a second copy would stay as long as the run.
    let initial = std::mem::take(&mut prepared.initial);
    let master = Master::new(prepared.plan.tensors(), initial, version)?;
    let before = Before { judge: prepared.judge(), ..Before::default() };
    let tokens = made.and_others(folder.path())?;
    Ok(Start { prepared, engine, master, listener, folder, store, made, tokens, before })
}

/// A run that goes on from its newest checkpoint, on the port and with the tokens that it had.
pub(super) fn resumed(args: &TrainArgs, run: &Path, runtime: &Runtime) -> anyhow::Result<Start> {
    let path = storage::find_run(run)?;
    let mut store = Store::open(&path)?;
    let mut prepared = prepare::prepare_again(args, &path)?;
    let initial = std::mem::take(&mut prepared.initial);
    let mut loaded = store.load(prepared.plan.tensors())?;
    for warning in loaded.iter().flat_map(|loaded| &loaded.warnings) {
        display::warn(warning);
    }
    let ended = path.join(storage::FINAL).is_file();
    if ended && loaded.as_ref().is_some_and(|loaded| loaded.record.complete) {
        return Err(complete(&path));
    }
    let shell = loaded.as_mut().map(|loaded| loaded.record.shell.take());
    let shell: Option<Shell> = shell
        .map(serde_json::from_value)
        .transpose()
        .with_context(|| format!("{}: the newest checkpoint", path.display()))?;
    if shell.as_ref().is_some_and(|shell| shell.data != prepared.data_name()) {
        return Err(Failure::Data(format!(
            "{}: the training data are not those of this run any more; bring back the files that \
             its config.toml names",
            path.display()
        ))
        .into());
    }
    if let Some(shell) = &shell {
        check_time(&path, shell, prepared.job.training.max_time)?;
    }
    let kept = store.address()?.filter(|_| args.listen.is_none());
    let listener = match kept {
        Some(address) => runtime.block_on(listen_again(address))?,
        None => runtime.block_on(listen(&prepared.job.fleet.listen))?,
    };
    let (made, incarnation) = Made::begin(&mut store, &listener)?;
    let tokens = made.and_others(&path)?;
    let version = Version { incarnation, number: 0 };
    let config = prepared.engine_config(incarnation);
    let table = prepared.plan.tensors();
    let (engine, master, folder, before) = match loaded.zip(shell) {
        None => {
            let master = Master::new(table, initial, version)?;
            let goes_on = Some("from the start, as there is no checkpoint yet".to_owned());
            let before = Before { judge: prepared.judge(), goes_on, ..Before::default() };
            (Engine::new(config)?, master, RunFolder::reopen(&path, 0)?, before)
        }
        Some((Loaded { record, workers, values, momentum, .. }, shell)) => {
            let engine = Engine::restore(config, record.engine)
                .map_err(|error| Failure::Data(format!("{}: {error}", path.display())))?;
            let master = Master::restore(table, values, momentum, version)?;
            let folder = RunFolder::reopen(&path, record.metrics_bytes)?;
            let records = metrics::lines::<EpochRecord>(&path)?;
            let mut judge = prepared.judge();
            for record in &records {
                judge.see(record.epoch, &record.measured());
            }
            let status = engine.status();
            let tally = Tally::restored(workers, &shell, status.merged_samples);
            let goes_on = Some(format!(
                "from checkpoint {}: {} of {} samples, {} epochs complete",
                record.number,
                grouped(status.merged_samples),
                grouped(status.total_samples),
                records.len()
            ));
            let best = record.best;
            (engine, master, folder, Before { best, tally, records, shell, judge, goes_on })
        }
    };
    Ok(Start { prepared, engine, master, listener, folder, store, made, tokens, before })
}

fn complete(path: &Path) -> anyhow::Error {
    let path = path.display();
    Failure::Usage(format!(
        "{path}: this run is complete, there is nothing to go on with; to train its model further \
         start a new run with --init {path}/final.safetensors"
    ))
    .into()
}

/// Refuses to go on with a run whose time is up, but for a second: it would end at once.
fn check_time(path: &Path, shell: &Shell, max_time: Option<Span>) -> anyhow::Result<()> {
    let Some(span @ Span(time)) = max_time else { return Ok(()) };
    if shell.seconds + 1.0 < time.as_secs_f64() {
        return Ok(());
    }
    let path = path.display();
    Err(Failure::Usage(format!(
        "{path}: this run has used the {span} that it may train; give it more with --max-time"
    ))
    .into())
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

/// Workers look for the run where it was.
async fn listen_again(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = server::listen(&address.to_string()).await;
    let remedy = |error: std::io::Error| {
        Failure::Network(format!(
            "cannot listen on {address}, where the run's workers look for it: {error}; end what \
             uses that port, or give another with --listen, and the workers the new address"
        ))
    };
    Ok(bound.map_err(remedy)?)
}
