//! `cargo xtask bench NAME`: measurements on this machine, each with its goal.
//!
//! A benchmark prints a Markdown table for docs/BENCHMARKS.md and writes its raw figures to
//! `bench/NAME.json` in the target folder. A goal missed is an exit code of 1.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::workspace::{self, Workspace};

mod fleet;
mod merge;
mod modes;
mod overhead;
mod page;
mod peers;
mod stragglers;
mod viewers;
mod wire;

/// What can be measured.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Benchmark {
    /// Samples per second through the coordinator against a plain Burn loop
    Overhead,
    /// A browser tab: from the click to the first merged update, samples per second
    Page,
    /// Test accuracy of each mode and frequency on the digits
    Modes,
    /// Merges per second against copying the same bytes
    Merge,
    /// Push and pull per second over loopback against a raw WebSocket echo
    Wire,
    /// What one coordinator carries: 1,000 workers that push, 10,000 that wait
    Fleet,
    /// Time to an accuracy with workers of which half are ten times slower
    Stragglers,
    /// What fifty people who watch a run cost its coordinator
    Viewers,
    /// Herd, Keras and Elephas on this machine
    Peers,
}

/// Builds, measures, reports.
pub(crate) fn run(workspace: &Workspace, benchmark: Benchmark) -> Result<ExitCode> {
    if matches!(benchmark, Benchmark::Page) {
        crate::page::build(workspace)?;
    }
    workspace.build()?;
    let mut bench = Bench { workspace, commands: Vec::new(), runs: Vec::new() };
    let (name, report) = match benchmark {
        Benchmark::Overhead => ("overhead", overhead::measure(&mut bench)?),
        Benchmark::Page => ("page", page::measure(&mut bench)?),
        Benchmark::Modes => ("modes", modes::measure(&mut bench)?),
        Benchmark::Merge => ("merge", merge::measure(&mut bench)?),
        Benchmark::Wire => ("wire", wire::measure(&mut bench)?),
        Benchmark::Fleet => ("fleet", fleet::measure(&mut bench)?),
        Benchmark::Stragglers => ("stragglers", stragglers::measure(&mut bench)?),
        Benchmark::Viewers => ("viewers", viewers::measure(&mut bench)?),
        Benchmark::Peers => ("peers", peers::measure(&mut bench)?),
    };
    let text = report.text(name, &bench)?;
    println!("{text}");
    let path = bench.folder()?.join(format!("{name}.json"));
    let raw = json!({ "report": text, "commands": bench.commands, "runs": bench.runs });
    fs::write(&path, serde_json::to_string_pretty(&raw)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("raw figures: {}", path.display());
    Ok(if report.missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A benchmark under way.
struct Bench<'a> {
    workspace: &'a Workspace,
    /// Each different command line, in the order of its first run.
    commands: Vec<String>,
    /// What every run printed.
    runs: Vec<Value>,
}

impl Bench<'_> {
    /// Trains with `herd train` and returns the object that it prints at the end. The report shows
    /// the command without `seed`.
    fn herd(&mut self, arguments: &[&str], seed: u32) -> Result<Value> {
        self.empty_runs()?;
        let mut command = Command::new(self.workspace.binary("herd"));
        command.arg("train").args(arguments).arg("--json");
        self.note(&command);
        command.args(["--seed", &seed.to_string()]).args(["--run-dir", "runs"]);
        self.run(&mut command)
    }

    /// The run folder, which is not there: what the last run left is of no more use.
    fn empty_runs(&self) -> Result<PathBuf> {
        let runs = self.folder()?.join("runs");
        if runs.exists() {
            fs::remove_dir_all(&runs)
                .with_context(|| format!("cannot remove {}", runs.display()))?;
        }
        Ok(runs)
    }

    /// Runs one of the programs in tests/src/bin, whose last line is its result.
    fn program(&mut self, name: &str, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(self.workspace.binary(name));
        command.args(arguments);
        self.note(&command);
        self.run(&mut command)
    }

    /// The same for one whose lines are all results.
    fn lines(&mut self, name: &str, arguments: &[&str]) -> Result<Vec<Value>> {
        let mut command = Command::new(self.workspace.binary(name));
        command.args(arguments);
        self.note(&command);
        let text = self.output(&mut command)?;
        text.lines().map(|line| self.result(&command, line)).collect()
    }

    fn note(&mut self, command: &Command) {
        let line = workspace::line(command);
        if !self.commands.contains(&line) {
            self.commands.push(line);
        }
    }

    /// Runs a program whose last line is its result; what it prints before is for people.
    fn run(&mut self, command: &mut Command) -> Result<Value> {
        let text = self.output(command)?;
        self.result(command, text.lines().last().unwrap_or_default())
    }

    /// A line that a command has printed, as its result.
    fn result(&mut self, command: &Command, text: &str) -> Result<Value> {
        let line = workspace::line(command);
        let result: Value = serde_json::from_str(text)
            .with_context(|| format!("{line} did not print a JSON object, but {text:?}"))?;
        self.runs.push(json!({ "command": line, "result": result }));
        Ok(result)
    }

    /// All that a command prints on standard output.
    fn output(&self, command: &mut Command) -> Result<String> {
        let line = workspace::line(command);
        eprintln!("{line}");
        let output = command
            .current_dir(self.folder()?)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {line}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            bail!("{line} failed ({}):\n{}", output.status, error.trim_end());
        }
        Ok(text.into_owned())
    }

    /// Where everything that a benchmark writes goes, and all its programs run.
    fn folder(&self) -> Result<PathBuf> {
        let folder = self.workspace.target.join("bench");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }
}

/// A Markdown table, and whether its goals were reached.
struct Report {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// Sentences under the table.
    notes: Vec<String>,
}

impl Report {
    fn missed(&self) -> bool {
        self.rows.iter().flatten().any(|cell| cell.contains(MISSED))
    }

    fn text(&self, name: &str, bench: &Bench<'_>) -> Result<String> {
        let mut lines = vec![format!("## {name}"), String::new()];
        lines.push(machine(bench.workspace)?);
        lines.push(String::new());
        lines.push(format!("| {} |", self.head.join(" | ")));
        lines.push(format!("|{}", " --- |".repeat(self.head.len())));
        lines.extend(self.rows.iter().map(|row| format!("| {} |", row.join(" | "))));
        lines.push(String::new());
        lines.extend(self.notes.iter().cloned());
        lines.push(String::from("\nCommands:\n"));
        lines.extend(bench.commands.iter().map(|command| format!("    {command}")));
        Ok(lines.join("\n"))
    }
}

const MISSED: &str = "MISSED";

/// A goal and whether it was reached, for a cell of the table.
fn verdict(value: f64, goal: f64) -> String {
    format!("{goal:.2}: {}", if value >= goal { "reached" } else { MISSED })
}

/// As [`verdict`], for a value that must not be above its goal.
fn at_most(value: f64, goal: f64) -> String {
    format!("at most {goal:.2}: {}", if value <= goal { "reached" } else { MISSED })
}

/// The field of a result as a number.
fn number(result: &Value, field: &str) -> Result<f64> {
    result[field].as_f64().with_context(|| format!("no number {field:?} in {result}"))
}

/// Median, lowest and highest of some measurements.
struct Spread {
    median: f64,
    lowest: f64,
    highest: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len() - 1;
        let median = f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]);
        Self { median, lowest: sorted[0], highest: sorted[last] }
    }

    /// Of each value over the other one of its round.
    fn of_ratios(over: &[f64], under: &[f64]) -> Self {
        Self::of(&over.iter().zip(under).map(|(over, under)| over / under).collect::<Vec<_>>())
    }

    fn ratio(&self) -> String {
        format!("{:.3} ({:.3} to {:.3})", self.median, self.lowest, self.highest)
    }

    fn decimal(&self) -> String {
        format!("{:.1} ({:.1} to {:.1})", self.median, self.lowest, self.highest)
    }

    fn rate(&self) -> String {
        format!("{:.0} ({:.0} to {:.0})", self.median, self.lowest, self.highest)
    }
}

/// One sentence: which machine, which commit.
fn machine(workspace: &Workspace) -> Result<String> {
    let cores = std::thread::available_parallelism().context("cannot count the cores")?;
    let processor = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(|| String::from("unknown processor"));
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        workspace::output(command.current_dir(&workspace.root).args(arguments))
    };
    let commit = git(&["log", "-1", "--format=%h of %cs"])
        .map_or_else(|_| String::from("no commit"), |text| text.trim().to_owned());
    let changed = git(&["status", "--porcelain"]).is_ok_and(|text| !text.is_empty());
    let changes = if changed { " with changes" } else { "" };
    Ok(format!("{processor}, {cores} cores available; commit {commit}{changes}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let odd = Spread::of(&[3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.lowest, odd.highest), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Spread::of(&[7.0]).median, 7.0);
    }

    #[test]
    fn a_goal_is_missed_below_it_and_only_there() {
        let report = |value| Report {
            head: vec!["goal"],
            rows: vec![vec![verdict(value, 0.95)]],
            notes: Vec::new(),
        };
        assert!(report(0.949).missed());
        assert!(!report(0.95).missed());
        assert!(at_most(1.31, 1.3).contains(MISSED) && !at_most(1.3, 1.3).contains(MISSED));
    }
}
