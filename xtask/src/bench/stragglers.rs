//! Eight workers of which half are ten times slower: how much of the fleet's speed is lost to waiting.
//!
//! The workers train for real, each held back to a speed that all together leave the machine idle for
//! the most part. The ideal is what nobody can beat: the samples that one undisturbed worker needs,
//! over the sum of all speeds.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Bench, Report, Spread, at_most, number};

/// Seeds, one a round.
const ROUNDS: u32 = 7;

/// Samples per second of the workers; half of them is ten times slower.
const SPEEDS: [u32; 8] = [1000, 1000, 1000, 1000, 100, 100, 100, 100];

/// The variable by which `herd-worker` is held back.
const SPEED: &str = "HERD_TEST_SAMPLES_PER_SECOND";

/// Validation accuracy to be reached.
const ACCURACY: f64 = 0.92;

/// Time to it over the ideal.
const GOALS: [(&str, f64); 2] = [("asynchronous", 1.3), ("synchronous", 2.0)];

const EPOCHS: &str = "30";

/// A run takes a quarter of this when all is well.
const TIMEOUT: Duration = Duration::from_secs(120);

const LOOK_INTERVAL: Duration = Duration::from_millis(50);

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    let mut ideals = Vec::new();
    let mut ratios: [Vec<f64>; 2] = Default::default();
    let mut samples: [Vec<f64>; 2] = Default::default();
    let speed: f64 = SPEEDS.iter().copied().map(f64::from).sum();
    for seed in 1..=ROUNDS {
        eprintln!("round {seed} of {ROUNDS}");
        let arguments = ["--workers", "1", "--epochs", EPOCHS, "--device", "cpu"];
        let result = bench.herd(&arguments, seed)?;
        let epoch = number(&result, "samples")? / EPOCHS.parse::<f64>()?;
        let alone = reached(&bench.folder()?.join("runs/metrics.jsonl"))?;
        let alone = alone.with_context(|| format!("one worker does not reach {ACCURACY}"))?;
        let ideal = alone.epochs * epoch / speed;
        ideals.push(ideal);
        for (place, (mode, _)) in GOALS.iter().enumerate() {
            let fleet = straggle(bench, mode, seed)?;
            eprintln!("{mode}: {:.1} s of ideal {ideal:.1} s", fleet.seconds);
            ratios[place].push(fleet.seconds / ideal);
            samples[place].push(fleet.epochs / alone.epochs);
        }
    }
    let rows = GOALS.iter().enumerate().map(|(place, (mode, goal))| {
        let ratio = Spread::of(&ratios[place]);
        vec![
            (*mode).to_owned(),
            ratio.ratio(),
            at_most(ratio.median, *goal),
            Spread::of(&samples[place]).ratio(),
        ]
    });
    let ideal = Spread::of(&ideals);
    Ok(Report {
        head: vec!["mode", "time to 0.92 over the ideal", "goal", "samples over one worker's"],
        rows: rows.collect(),
        notes: vec![format!(
            "The default job with 8 workers, four at 1,000 samples a second and four at 100, frequency \
             auto. Time from the first lease to validation accuracy {ACCURACY}, between two epochs by \
             interpolation. The ideal is the samples that one worker alone needs over the sum of the \
             speeds: {:.1} s ({:.1} to {:.1}). Medians of {ROUNDS} seeds, lowest and highest in \
             brackets.",
            ideal.median, ideal.lowest, ideal.highest
        )],
    })
}

/// When an accuracy is reached.
struct Reached {
    epochs: f64,
    seconds: f64,
}

/// Reads where a run's metrics cross [`ACCURACY`]; none while they do not.
fn reached(metrics: &Path) -> Result<Option<Reached>> {
    let text = fs::read_to_string(metrics).unwrap_or_default();
    let mut before = (0.0, 0.0, 0.0);
    // The last line may be on its way.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let record: Value = serde_json::from_str(line)
            .with_context(|| format!("{}: {line:?}", metrics.display()))?;
        let after = (
            number(&record, "epoch")?,
            number(&record, "seconds")?,
            number(&record, "validation_accuracy")?,
        );
        if after.2 >= ACCURACY {
            let part = (ACCURACY - before.2) / (after.2 - before.2);
            let between = |before: f64, after: f64| before + part * (after - before);
            let (epochs, seconds) = (between(before.0, after.0), between(before.1, after.1));
            return Ok(Some(Reached { epochs, seconds }));
        }
        before = after;
    }
    Ok(None)
}

/// Processes that end with this value.
struct Processes(Vec<Child>);

impl Drop for Processes {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Trains with the unequal fleet until the accuracy is reached.
fn straggle(bench: &mut Bench<'_>, mode: &str, seed: u32) -> Result<Reached> {
    let (folder, runs) = (bench.folder()?, bench.empty_runs()?);
    let mut herd = Command::new(bench.workspace.binary("herd"));
    let workers = SPEEDS.len().to_string();
    herd.args(["train", "--workers", "0", "--min-workers", &workers, "--mode", mode]);
    herd.args(["--epochs", EPOCHS]);
    bench.note(&herd);
    herd.args(["--seed", &seed.to_string(), "--run-dir", "runs"]).current_dir(&folder);
    herd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut processes = Processes(vec![herd.spawn().context("cannot start herd")?]);
    let said = processes.0[0].stderr.take().context("its output is piped")?;
    let (address, token) = invitation(said)?;
    for speed in SPEEDS {
        let mut worker = Command::new(bench.workspace.binary("herd-worker"));
        worker.env(SPEED, speed.to_string());
        worker.args([&address, "--token", &token, "--once", "--device", "cpu", "--threads", "1"]);
        worker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        processes.0.push(worker.spawn().context("cannot start herd-worker")?);
    }
    let end = Instant::now() + TIMEOUT;
    loop {
        if let Some(reached) = reached(&runs.join("metrics.jsonl"))? {
            let (seconds, epochs) = (reached.seconds, reached.epochs);
            bench
                .runs
                .push(json!({ "mode": mode, "seed": seed, "seconds": seconds, "epochs": epochs }));
            return Ok(reached);
        }
        if let Some(status) = processes.0[0].try_wait()? {
            bail!("herd ended before the accuracy was reached: {status}");
        }
        ensure!(Instant::now() < end, "{mode}: {ACCURACY} is not reached in {TIMEOUT:?}");
        thread::sleep(LOOK_INTERVAL);
    }
}

/// Address and token of a coordinator that starts; what it says later is read and forgotten.
fn invitation(said: impl std::io::Read + Send + 'static) -> Result<(String, String)> {
    let mut said = BufReader::new(said);
    let mut all = String::new();
    loop {
        let begin = all.len();
        ensure!(said.read_line(&mut all)? > 0, "herd says no address: {all}");
        let words: Vec<&str> = all[begin..].split_whitespace().collect();
        if let ["join", "herd-worker", address, "--token", token] = words[..] {
            let invitation = (address.to_owned(), token.to_owned());
            thread::spawn(move || said.lines().all(|line| line.is_ok()));
            return Ok(invitation);
        }
    }
}
