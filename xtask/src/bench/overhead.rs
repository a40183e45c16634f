//! What the coordinator costs: Herd against the same training as a plain Burn loop.
//!
//! All programs of a round run one after the other, and each ratio is taken within its round, so
//! that a machine which slows down for a while slows both sides.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{Bench, Report, Spread, number, verdict};

const ROUNDS: usize = 7;

/// Share of the plain loop's speed that one worker must reach.
const EPOCH_GOAL: f64 = 0.95;
const STEPS_GOAL: f64 = 0.80;
/// Speed of two workers over one.
const TWO_GOAL: f64 = 1.5;

/// Elephas 7.3, asynchronous, two workers, mnist-mlp on two cores: samples per second.
const ELEPHAS: f64 = 9362.0;

/// A network, and how many epochs of 8,000 digits last several seconds on one core.
struct Model {
    preset: &'static str,
    /// Herd draws its dropout masks faster than Burn does. Without dropout nothing hides what the
    /// coordinator costs.
    dropout: bool,
    epochs: u32,
}

const MODELS: [Model; 3] = [
    Model { preset: "mnist-mlp", dropout: true, epochs: 70 },
    Model { preset: "mnist-mlp", dropout: false, epochs: 100 },
    Model { preset: "mnist-cnn", dropout: true, epochs: 8 },
];

/// Samples per second of each program, one value per round.
#[derive(Default)]
struct Rates {
    plain: Vec<f64>,
    epoch: Vec<f64>,
    steps: Vec<f64>,
    two: Vec<f64>,
}

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    let mut report = Report {
        head: vec!["model", "program", "samples/s", "against", "ratio", "goal"],
        rows: Vec::new(),
        notes: vec![format!(
            "Medians of {ROUNDS} alternated rounds, lowest and highest in brackets; one thread \
             per worker, batch 64."
        )],
    };
    for model in &MODELS {
        let rates = rounds(bench, model)?;
        report.rows.extend(rows(&model.title(), &rates));
        if model.preset == "mnist-mlp" && model.dropout {
            let two = Spread::of(&rates.two).median;
            report.notes.push(format!(
                "Elephas 7.3 trains mnist-mlp asynchronously with two workers on two cores at \
                 {ELEPHAS:.0} samples/s; ten times that is {:.0}, and this is {:.1} times it.",
                10.0 * ELEPHAS,
                two / ELEPHAS
            ));
        }
    }
    Ok(report)
}

fn rounds(bench: &mut Bench<'_>, model: &Model) -> Result<Rates> {
    let mut rates = Rates::default();
    for round in 0..ROUNDS {
        eprintln!("{}, round {} of {ROUNDS}", model.title(), round + 1);
        rates.plain.push(plain(bench, model)?);
        rates.epoch.push(herd(bench, model, "1", "epoch")?);
        rates.steps.push(herd(bench, model, "1", "steps=10")?);
        rates.two.push(herd(bench, model, "2", "epoch")?);
    }
    Ok(rates)
}

const RATE: &str = "samples_per_second";

impl Model {
    fn title(&self) -> String {
        let without = if self.dropout { "" } else { " without dropout" };
        format!("{}{without}", self.preset)
    }

    /// The job: the preset itself, or a file with the preset less its dropout layers.
    fn job(&self, bench: &Bench<'_>) -> Result<Vec<String>> {
        if self.dropout {
            return Ok(vec![String::from("--set"), format!("preset={}", self.preset)]);
        }
        let preset = bench.workspace.root.join(format!("coordinator/presets/{}.toml", self.preset));
        let text = fs::read_to_string(&preset)
            .with_context(|| format!("cannot read {}", preset.display()))?;
        let kept: Vec<&str> =
            text.lines().filter(|line| !line.contains("type = \"dropout\"")).collect();
        ensure!(kept.len() < text.lines().count(), "{} has no dropout", preset.display());
        let name = format!("{}-without-dropout.toml", self.preset);
        fs::write(bench.folder()?.join(&name), kept.join("\n"))
            .with_context(|| format!("cannot write {name}"))?;
        Ok(vec![name])
    }
}

fn plain(bench: &mut Bench<'_>, model: &Model) -> Result<f64> {
    let epochs = model.epochs.to_string();
    let mut arguments = vec![model.preset, &epochs];
    arguments.extend((!model.dropout).then_some("--no-dropout"));
    number(&bench.program("plain-loop", &arguments)?, RATE)
}

fn herd(bench: &mut Bench<'_>, model: &Model, workers: &str, frequency: &str) -> Result<f64> {
    let epochs = model.epochs.to_string();
    let job = model.job(bench)?;
    let mut arguments: Vec<&str> = job.iter().map(String::as_str).collect();
    arguments.extend(["--workers", workers, "--mode", "asynchronous", "--frequency", frequency]);
    arguments.extend(["--epochs", &epochs, "--validation-split", "0", "--device", "cpu"]);
    number(&bench.herd(&arguments, 1)?, RATE)
}

fn rows(model: &str, rates: &Rates) -> Vec<Vec<String>> {
    let row = |program: &str, rate: &[f64], against: &str, ratio: &str, goal: &str| {
        let cells = [model, program, &Spread::of(rate).rate(), against, ratio, goal];
        cells.iter().map(ToString::to_string).collect()
    };
    let compared = |program: &str, rate: &[f64], against: &str, base: &[f64], goal: f64| {
        let ratio = Spread::of_ratios(rate, base);
        row(program, rate, against, &ratio.ratio(), &verdict(ratio.median, goal))
    };
    vec![
        row("plain Burn loop", &rates.plain, "", "", ""),
        compared("1 worker, epoch", &rates.epoch, "plain loop", &rates.plain, EPOCH_GOAL),
        compared("1 worker, steps=10", &rates.steps, "plain loop", &rates.plain, STEPS_GOAL),
        compared("2 workers, epoch", &rates.two, "1 worker, epoch", &rates.epoch, TWO_GOAL),
    ]
}
