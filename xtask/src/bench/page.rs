//! A browser tab: how soon it contributes, and how fast.

use std::process::Command;

use anyhow::Result;

use super::{Bench, Report, Spread, number, verdict};
use crate::setup;

const ROUNDS: usize = 5;

/// Share of the speed of the same steps in that browser, with nothing around them.
const LOOP_GOAL: f64 = 0.9;

/// Epochs of the plain loop that last several seconds.
const NATIVE_EPOCHS: &str = "40";

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    let chromium = setup::chromium()?;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    let (mut tab, mut short) = (Vec::new(), Vec::new());
    let (mut alone, mut native) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        let mut node = Command::new("node");
        node.arg(bench.workspace.root.join("tests/browser/measure.mjs"));
        node.env("HERD_BIN", bench.workspace.target.join("release"));
        node.env("HERD_CHROMIUM", &chromium);
        let result = bench.run(&mut node)?;
        cold.push(number(&result, "cold_ms")?);
        warm.push(number(&result, "warm_ms")?);
        tab.push(number(&result, "tab")?);
        short.push(number(&result, "tab_short")?);
        alone.push(number(&result, "loop")?);
        let plain = bench.program("plain-loop", &["mnist-mlp", NATIVE_EPOCHS])?;
        native.push(number(&plain, "samples_per_second")?);
    }
    let ratio = |base: &[f64]| Spread::of_ratios(&tab, base);
    let row = |what: &str, values: &[f64], compared: String, goal: String| {
        vec![what.to_owned(), Spread::of(values).rate(), compared, goal]
    };
    let none = String::new;
    let goal = verdict(ratio(&alone).median, LOOP_GOAL);
    Ok(Report {
        head: vec!["what", "measured", "tab at frequency epoch against it", "goal"],
        rows: vec![
            row("click to first merged update, nothing cached, ms", &cold, none(), none()),
            row("the same with all cached, ms", &warm, none(), none()),
            row("a tab at frequency epoch, samples/s", &tab, none(), none()),
            row("a tab at frequency steps=10, samples/s", &short, ratio(&short).ratio(), none()),
            row("the same steps in that browser alone", &alone, ratio(&alone).ratio(), goal),
            row("plain Burn loop, native, one thread", &native, ratio(&native).ratio(), none()),
        ],
        notes: vec![format!(
            "mnist-mlp on the processor, batch 64, headless Chromium on the same machine as the \
             coordinator. Medians of {ROUNDS} rounds, lowest and highest in brackets."
        )],
    })
}
