//! What one coordinator carries: a thousand workers that push all the time, ten thousand that wait.
//!
//! `fleet-load` plays the workers in one process beside the coordinator, on the same cores. Its floor is
//! the same traffic with a server that only answers.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Bench, Report, Spread, at_most, number, verdict};
use crate::workspace;

const ROUNDS: usize = 7;

/// Merges a second that are asked for, a tenth more than the goal.
const RATE: &str = "2200";
const RATE_GOAL: f64 = 2000.0;

/// From a delta's offer to its acknowledgement, in milliseconds.
const P99_GOAL: f64 = 250.0;

const SESSIONS: &str = "10000";
/// Descriptors that each side needs for them and for itself.
const DESCRIPTORS: u64 = 10_200;
/// Memory of the coordinator with them, in MB.
const MEMORY_GOAL: f64 = 350.0;

/// Starts a program with as many descriptors as the system allows.
const RAISED: &str = "ulimit -S -n \"$(ulimit -H -n)\" && exec \"$0\" \"$@\"";

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    check_descriptors()?;
    let (mut floors, mut fulls, mut paced) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        floors.push(load(bench, &["floor", "1000", "5", "0"])?);
        fulls.push(load(bench, &["active", "1000", "5", "0"])?);
        paced.push(load(bench, &["active", "1000", "15", RATE])?);
    }
    let idle = load(bench, &["idle", SESSIONS, "60"])?;
    let rate = "merges_per_second";
    let (floor, full) = (all(&floors, rate)?, all(&fulls, rate)?);
    let ratios = Spread::of_ratios(&full, &floor);
    let merges = Spread::of(&all(&paced, rate)?);
    let p99 = Spread::of(&all(&paced, "p99_ms")?);
    let waits = p99.decimal();
    let memory = number(&idle, "coordinator_mb_most")?;
    let idle = [idle];
    Ok(Report {
        head: vec![
            "what",
            "measured",
            "goal",
            "coordinator, cores",
            "MB",
            "load generator, cores",
            "MB",
        ],
        rows: vec![
            row(
                "1,000 workers, 2,200 merges/s asked for: merges/s",
                &paced,
                merges.rate(),
                verdict(merges.median, RATE_GOAL),
            )?,
            row(
                "the same: p99 from offer to acknowledgement, ms",
                &paced,
                waits,
                at_most(p99.median, P99_GOAL),
            )?,
            row(
                "1,000 workers as fast as they are answered: merges/s",
                &fulls,
                Spread::of(&full).rate(),
                String::new(),
            )?,
            row("floor: merges/s", &floors, Spread::of(&floor).rate(), String::new())?,
            row("ratio of the two", &fulls, ratios.ratio(), String::new())?,
            row(
                "10,000 idle sessions for 60 s: MB of the coordinator",
                &idle,
                format!("{memory:.0}"),
                at_most(memory, MEMORY_GOAL),
            )?,
        ],
        notes: vec![format!(
            "10,345 parameters, deltas of 20 kB; batch size 1, so that each row is a lease; default \
             checkpoints. The fleet runs on the coordinator's cores, in one process with one thread. \
             The floor is the same traffic with a server in that process which answers and neither \
             decides, merges nor stores. Medians of {ROUNDS} alternated rounds, lowest and highest in \
             brackets; idle sessions once."
        )],
    })
}

fn all(runs: &[Value], field: &str) -> Result<Vec<f64>> {
    runs.iter().map(|run| number(run, field)).collect()
}

/// A line of the table, with what coordinator and load generator cost meanwhile. A floor has no
/// process of its own.
fn row(what: &str, runs: &[Value], measured: String, goal: String) -> Result<Vec<String>> {
    let median = |field: &str, decimals: usize| -> Result<String> {
        if runs[0].get(field).is_none() {
            return Ok(String::from("-"));
        }
        Ok(format!("{:.decimals$}", Spread::of(&all(runs, field)?).median))
    };
    let costs = [
        median("coordinator_cores", 2)?,
        median("coordinator_mb", 0)?,
        median("load_cores", 2)?,
        median("load_mb", 0)?,
    ];
    Ok([what.to_owned(), measured, goal].into_iter().chain(costs).collect())
}

fn load(bench: &mut Bench<'_>, arguments: &[&str]) -> Result<Value> {
    let program = bench.workspace.binary("fleet-load");
    bench.note(Command::new(&program).args(arguments));
    let mut command = Command::new("sh");
    bench.run(command.arg("-c").arg(RAISED).arg(program).args(arguments))
}

/// Each session is a descriptor on both sides.
fn check_descriptors() -> Result<()> {
    let text = workspace::output(Command::new("sh").args(["-c", "ulimit -H -n"]))?;
    let allowed = match text.trim() {
        "unlimited" => u64::MAX,
        count => count.parse().with_context(|| format!("`ulimit -H -n` says {count:?}"))?,
    };
    ensure!(
        allowed >= DESCRIPTORS,
        "a process may have {allowed} descriptors here, and {SESSIONS} sessions need {DESCRIPTORS}: \
         raise the hard limit, as root with `ulimit -n {DESCRIPTORS}`"
    );
    Ok(())
}
