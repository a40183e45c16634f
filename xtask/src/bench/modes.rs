//! Whether every mode learns: test accuracy on the digits after 20 epochs.

use anyhow::Result;

use super::{Bench, Report, Spread, number, verdict};

/// Mean test accuracy over the seeds, with two workers and with eight.
const GOALS: [(&str, f64); 2] = [("2", 0.93), ("8", 0.90)];
const SEEDS: [u32; 3] = [1, 2, 3];

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    let mut report = Report {
        head: vec![
            "mode",
            "frequency",
            "workers",
            "accuracy per seed",
            "mean",
            "goal",
            "samples/s",
        ],
        rows: Vec::new(),
        notes: vec![String::from(
            "mnist-mlp on 8,000 digits, 20 epochs, batch 64, SGD 0.1, worker processes, seeds \
             1 to 3. Keras in one process reaches 0.9495, Elephas 7.3 asynchronously 0.9445.",
        )],
    };
    for mode in ["synchronous", "asynchronous", "hogwild"] {
        for frequency in ["epoch", "steps=10"] {
            for (workers, goal) in GOALS {
                report.rows.push(row(bench, mode, frequency, workers, goal)?);
            }
        }
    }
    Ok(report)
}

fn row(
    bench: &mut Bench<'_>,
    mode: &str,
    frequency: &str,
    workers: &str,
    goal: f64,
) -> Result<Vec<String>> {
    let mut accuracies = Vec::new();
    let mut rates = Vec::new();
    for seed in SEEDS {
        let mut arguments = vec!["--mode", mode, "--frequency", frequency, "--workers", workers];
        arguments.extend(["--epochs", "20", "--batch-size", "64", "--optimizer", "sgd"]);
        arguments.extend(["--learning-rate", "0.1", "--validation-split", "0", "--device", "cpu"]);
        let result = bench.herd(&arguments, seed)?;
        accuracies.push(number(&result, "test_accuracy")?);
        rates.push(number(&result, "samples_per_second")?);
    }
    let mean = accuracies.iter().sum::<f64>() / SEEDS.len() as f64;
    let each: Vec<String> = accuracies.iter().map(|value| format!("{value:.4}")).collect();
    Ok(vec![
        mode.to_owned(),
        frequency.to_owned(),
        workers.to_owned(),
        each.join(", "),
        format!("{mean:.4}"),
        verdict(mean, goal),
        Spread::of(&rates).rate(),
    ])
}
