//! `cargo xtask demo`: from a fresh checkout to a trained network in one command.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::page;
use crate::workspace::Workspace;

/// Some minutes on two cores, in which a browser can join.
const JOB: [&str; 4] = ["--set", "preset=mnist-cnn", "--epochs", "400"];

/// Builds Herd with its page and hands over to `herd train`, whose exit code becomes this program's.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    workspace.announce();
    if let Err(error) = page::build(workspace) {
        eprintln!("warning: browsers cannot join this build: {error:#}");
    }
    workspace.build()?;
    let herd = workspace.binary("herd");
    let mut train = Command::new(&herd);
    train.arg("train");
    if arguments.is_empty() {
        train.args(JOB);
    }
    let status = train
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {}", herd.display()))?;
    // A process ended by a signal has no code; 130 is what a shell reports after Ctrl-C.
    let code = status.code().unwrap_or(130);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
