//! `cargo xtask demo`: from a fresh checkout to a trained network in one command.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// Builds Herd and hands over to `herd train`, whose exit code becomes this program's.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    workspace.build()?;
    let herd = workspace.binary("herd");
    let status = Command::new(&herd)
        .arg("train")
        .args(arguments)
        .status()
        .with_context(|| format!("cannot start {}", herd.display()))?;
    // A process ended by a signal has no code; 130 is what a shell reports after Ctrl-C.
    let code = status.code().unwrap_or(130);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
