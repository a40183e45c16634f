//! `cargo xtask NAME`: every command of a developer and of CI.
//!
//! - `demo`: builds Herd and trains the digits with two local workers
//! - `test`: every check, cheapest first
//! - `sim`: the engine in a simulated world, for as many seeds as you like
//! - `wasm`: the page for browsers; `browser`: the tests in a real one
//! - `fuzz`: arbitrary bytes for every decoder, guided by coverage
//! - `tensorboard`: the real one reads what Herd writes for it
//! - `bench`: measurements with goals; `setup`: what a fresh machine needs
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod browser;
mod checks;
mod demo;
mod fuzz;
mod page;
mod setup;
mod sim;
mod tensorboard;
mod workspace;

use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Herd's developer commands")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build Herd and run `herd train` with these arguments
    Demo {
        /// Passed on to `herd train`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every check, cheapest first, and say how long each took
    Test {
        /// A check that need not pass on this machine; may be repeated
        #[arg(long, value_enum)]
        skip: Vec<checks::Check>,
    },
    /// Run the engine in a simulated world of faults, on all cores, and say which seeds fail
    Sim(sim::Options),
    /// Build the page that volunteers open; the next build of `herd` embeds it
    Wasm,
    /// Run the browser tests, or those of the files named
    Browser {
        /// Files of tests/browser, such as join.test.mjs
        files: Vec<String>,
    },
    /// Look for inputs that break a decoder, guided by coverage
    Fuzz {
        /// How long each target is fuzzed
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Give the one target named this file instead, such as an earlier finding
        #[arg(long)]
        input: Option<PathBuf>,
        /// Folders of tests/fuzz/corpus; all if none is named
        targets: Vec<String>,
    },
    /// Install TensorBoard and have it read the event files of a run
    Tensorboard,
    /// Install what the other commands need (as root on Debian), or say what is missing
    Setup,
    /// Measure, and fail when a goal is missed
    Bench {
        /// What to measure
        #[arg(value_enum)]
        name: bench::Benchmark,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    if fuzz::is_wrapper() {
        return fuzz::wrap();
    }
    let workspace = Workspace::find()?;
    match Arguments::parse().command {
        Task::Demo { arguments } => demo::run(&workspace, &arguments),
        Task::Test { skip } => checks::run(&workspace, &skip),
        Task::Sim(options) => sim::run(&workspace, &options),
        Task::Wasm => page::build(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Browser { files } => browser::run(&workspace, &files).map(|()| ExitCode::SUCCESS),
        Task::Fuzz { seconds, input, targets } => {
            fuzz::run(&workspace, &targets, seconds, input.as_deref()).map(|()| ExitCode::SUCCESS)
        }
        Task::Tensorboard => tensorboard::run(&workspace),
        Task::Setup => setup::all(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Bench { name } => bench::run(&workspace, name),
    }
}
