//! Runs seeds on all cores: `cargo xtask sim`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use simulation::{Report, Scenario, run};

/// Failures after which a run stops: more of them say no more.
const FAILURES_MAX: u64 = 10;

/// What was asked for.
struct Arguments {
    scenario: Option<Scenario>,
    first: u64,
    seeds: u64,
    until: Option<Instant>,
    events: Option<usize>,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (next, failures) = (AtomicU64::new(0), AtomicU64::new(0));
    let (stopped, start) = (AtomicBool::new(false), Instant::now());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let totals = thread::scope(|scope| {
        let work = || work(&arguments, &next, &failures, &stopped);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let totals = threads.into_iter().filter_map(|thread| thread.join().ok());
        totals.fold((0, Report::default()), |sum, more| {
            let (a, b) = (sum.1, more.1);
            let report = Report {
                microseconds: a.microseconds + b.microseconds,
                events: a.events + b.events,
                starts: a.starts + b.starts,
                merges: a.merges + b.merges,
            };
            (sum.0 + more.0, report)
        })
    });
    let (seeds, report) = totals;
    let seconds = start.elapsed().as_secs_f64();
    let failures = failures.into_inner();
    println!(
        "{seeds} seeds in {seconds:.1} s ({:.0} a second), {failures} failed; simulated: {:.1} days, \
         {} events, {} merges, {} starts of the coordinator",
        seeds as f64 / seconds,
        report.microseconds as f64 / 86.4e9,
        report.events,
        report.merges,
        report.starts,
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(
    arguments: &Arguments,
    next: &AtomicU64,
    failures: &AtomicU64,
    stopped: &AtomicBool,
) -> (u64, Report) {
    let (mut count, mut sum) = (0, Report::default());
    while !stopped.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let over = match arguments.until {
            Some(until) => Instant::now() >= until,
            None => number >= arguments.seeds,
        };
        if over {
            break;
        }
        let seed = arguments.first + number;
        let scenario = arguments.scenario.unwrap_or_else(|| Scenario::of(seed));
        count += 1;
        match run(scenario, seed, None) {
            Ok(report) => {
                sum.microseconds += report.microseconds;
                sum.events += report.events;
                sum.starts += report.starts;
                sum.merges += report.merges;
            }
            Err(mut failure) => {
                failure.shown = arguments.events.unwrap_or(failure.shown);
                println!("{failure}\n");
                let many = failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_MAX;
                stopped.fetch_or(many, Ordering::Relaxed);
            }
        }
    }
    (count, sum)
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments =
        Arguments { scenario: None, first: 0, seeds: 1000, until: None, events: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word} {value} is no number"));
        match word.as_str() {
            "--seed" => (arguments.first, arguments.seeds) = (number()?, 1),
            "--from" => arguments.first = number()?,
            "--seeds" => arguments.seeds = number()?,
            "--events" => arguments.events = Some(number()? as usize),
            "--minutes" => {
                let time = Duration::from_secs(60 * number()?);
                arguments.until = Some(Instant::now() + time);
            }
            "--scenario" => {
                let scenario = Scenario::from_name(&value);
                let names = Scenario::ALL.map(Scenario::name).join(", ");
                let known = scenario.ok_or_else(|| format!("no scenario {value}: use {names}"))?;
                arguments.scenario = Some(known);
            }
            _ => {
                return Err(format!(
                    "{word} is unknown: use --seed, --from, --seeds, --minutes, --scenario or --events"
                ));
            }
        }
    }
    Ok(arguments)
}
