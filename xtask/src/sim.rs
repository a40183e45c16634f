//! `cargo xtask sim`: seeds of the simulation, for as long as one likes.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::workspace::{Workspace, line};

/// What is to be run.
#[derive(Args)]
pub(crate) struct Options {
    /// So many seeds, from --seed on or from 0
    #[arg(long)]
    seeds: Option<u64>,
    /// As many seeds as fit into this time
    #[arg(long)]
    minutes: Option<u64>,
    /// This seed; the only one unless --seeds or --minutes is given
    #[arg(long)]
    seed: Option<u64>,
    /// The scenario of all seeds; without it each seed has its own
    #[arg(long)]
    scenario: Option<String>,
    /// So many of the last events are printed for a seed that fails
    #[arg(long)]
    events: Option<u64>,
}

/// Builds the simulation and hands the terminal to it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--release", "--locked", "--package", "simulation", "--"]);
    let many = options.seeds.is_some() || options.minutes.is_some();
    let numbers = [
        (if many { "--from" } else { "--seed" }, options.seed),
        ("--seeds", options.seeds),
        ("--minutes", options.minutes),
        ("--events", options.events),
    ];
    for (flag, number) in numbers {
        if let Some(number) = number {
            cargo.args([flag, &number.to_string()]);
        }
    }
    if let Some(scenario) = &options.scenario {
        cargo.args(["--scenario", scenario]);
    }
    let status = cargo.status().with_context(|| format!("cannot start {}", line(&cargo)))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
