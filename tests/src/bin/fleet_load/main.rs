//! A fleet of workers that do not train, in one process, against a real coordinator.
//!
//! - `fleet-load active WORKERS SECONDS RATE`: they lease, pull and push; at RATE merges a second
//!   together, or with RATE 0 as fast as they are answered
//! - `fleet-load floor WORKERS SECONDS RATE`: the same against a server that only answers ([`floor`])
//! - `fleet-load idle SESSIONS SECONDS`: sessions that join, answer pings and ask for nothing
//!
//! It prints one JSON line: what was measured, and what coordinator and load generator cost.
#![allow(clippy::print_stdout, reason = "the result is the program's output")]

mod floor;
mod session;
mod system;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;

use session::{Load, Merge, Phase};
use system::Cost;
use tests::coordinator::{Coordinator, job};
use tests::process::Invitation;

/// Before anything is measured the fleet works for so long.
const WARM_UP: Duration = Duration::from_secs(5);

/// Hidden units of the model, which then has 10,345 parameters.
const UNITS: u32 = 13;

/// All of a fleet are to be let in within this time.
const JOIN_TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["active", workers, seconds, rate] => {
            let coordinator = Coordinator::start(&job(UNITS), &[])?;
            let rate = whole(rate)?;
            measure(
                coordinator.invitation(),
                Some(coordinator.id()),
                whole(workers)?,
                seconds,
                rate,
            )
        }
        ["floor", workers, seconds, rate] => {
            let floor = floor::start()?;
            measure(&floor.invitation, None, whole(workers)?, seconds, whole(rate)?)
        }
        ["idle", sessions, seconds] => {
            let coordinator = Coordinator::start(&job(UNITS), &[])?;
            idle(&coordinator, whole(sessions)?, Duration::from_secs(whole(seconds)?))
        }
        _ => bail!("usage: fleet-load active|floor WORKERS SECONDS RATE, or idle SESSIONS SECONDS"),
    };
    println!("{}", result?);
    Ok(())
}

fn whole(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text:?} is no whole number"))
}

/// One thread: what it costs is then known to be the load generator's, and bounded.
fn runtime() -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("no event loop can be started")
}

/// The workers of a fleet, as tasks.
struct Fleet {
    tasks: JoinSet<Result<Vec<Merge>>>,
    phase: watch::Sender<Phase>,
}

impl Fleet {
    /// Lets so many workers join, and waits until all have.
    async fn join(invitation: &Invitation, workers: u64, cycle: Option<Duration>) -> Result<Self> {
        let (phase, told) = watch::channel(Phase::Joining);
        let load = Arc::new(Load::new(invitation.clone(), cycle, workers));
        let mut tasks = JoinSet::new();
        for number in 0..workers {
            tasks.spawn(session::run(load.clone(), number, told.clone()));
        }
        let mut fleet = Self { tasks, phase };
        let joined = tokio::time::timeout(JOIN_TIMEOUT, load.all_joined());
        tokio::select! {
            joined = joined => joined.context("not all workers were let in in time")?,
            error = fleet.failure() => return Err(error),
        }
        Ok(fleet)
    }

    /// Waits for so long; fails when a session ends meanwhile.
    async fn run_for(&mut self, time: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            error = self.failure() => Err(error),
        }
    }

    async fn failure(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error.context("a session ended"),
            Some(Err(error)) => anyhow::Error::new(error),
            Some(Ok(Ok(_))) | None => anyhow::anyhow!("a session ended early"),
        }
    }

    /// Ends all sessions; what they have seen merged.
    async fn end(mut self) -> Result<Vec<Merge>> {
        self.phase.send_replace(Phase::Ending);
        let mut merges = Vec::new();
        while let Some(task) = self.tasks.join_next().await {
            merges.extend(task??);
        }
        Ok(merges)
    }
}

/// Merges a second, and the time from offer to acknowledgement, of a fleet that works. The seconds
/// after the warm-up count. A floor has no process of its own.
fn measure(
    invitation: &Invitation,
    coordinator: Option<u32>,
    workers: u64,
    seconds: &str,
    rate: u64,
) -> Result<Value> {
    let time = Duration::from_secs(whole(seconds)?);
    let cycle = (rate > 0).then(|| Duration::from_secs_f64(workers as f64 / rate as f64));
    let cost = || coordinator.map(system::cost).transpose();
    let (merges, begin, before, after, own) = runtime()?.block_on(async {
        let mut fleet = Fleet::join(invitation, workers, cycle).await?;
        fleet.phase.send_replace(Phase::Working);
        fleet.run_for(WARM_UP).await?;
        let (begin, before) = (Instant::now(), (cost()?, system::own_cost()?));
        fleet.run_for(time).await?;
        let (after, own) = (cost()?, system::own_cost()?);
        let merges = fleet.end().await?;
        anyhow::Ok((merges, begin, before, after, own))
    })?;
    let end = begin + time;
    let counted = merges.iter().filter(|merge| (begin..end).contains(&merge.at));
    let mut waits: Vec<f64> = counted.map(|merge| merge.waited.as_secs_f64() * 1e3).collect();
    ensure!(!waits.is_empty(), "nothing was merged in {seconds} s");
    waits.sort_by(f64::total_cmp);
    let part = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize];
    let mut result = json!({
        "workers": workers,
        "merges_per_second": waits.len() as f64 / time.as_secs_f64(),
        "median_ms": part(0.5),
        "p99_ms": part(0.99),
        "longest_ms": part(1.0),
        "load_cores": own.cores_since(&before.1, time),
        "load_mb": own.megabytes,
    });
    if let (Some(before), Some(after)) = (before.0, after) {
        add(&mut result, &before, &after, time);
    }
    Ok(result)
}

/// What sessions cost that only exist.
fn idle(coordinator: &Coordinator, sessions: u64, time: Duration) -> Result<Value> {
    let id = coordinator.id();
    let alone = system::cost(id)?;
    let (before, after, own) = runtime()?.block_on(async {
        let mut fleet = Fleet::join(coordinator.invitation(), sessions, None).await?;
        let before = (system::cost(id)?, system::own_cost()?);
        fleet.run_for(time).await?;
        let (after, own) = (system::cost(id)?, system::own_cost()?);
        fleet.end().await?;
        anyhow::Ok((before, after, own))
    })?;
    let mut result = json!({
        "sessions": sessions,
        "coordinator_mb_alone": alone.megabytes,
        "load_cores": own.cores_since(&before.1, time),
        "load_mb": own.megabytes,
    });
    add(&mut result, &before.0, &after, time);
    Ok(result)
}

fn add(result: &mut Value, before: &Cost, after: &Cost, time: Duration) {
    result["coordinator_cores"] = json!(after.cores_since(before, time));
    result["coordinator_mb"] = json!(after.megabytes);
    result["coordinator_mb_most"] = json!(after.megabytes_most);
}
