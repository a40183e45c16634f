//! `cargo xtask tensorboard`: the event files of `--tensorboard` are read by the real TensorBoard.
//!
//! It is a Python package of some size, so this is no part of `cargo xtask test`. It goes into a virtual
//! environment inside of the target folder; where Python or the network is missing, that is said and the
//! check is skipped.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::workspace::{self, Workspace};

/// The test that needs it.
const TEST: &str = "reports::the_real_tensorboard";

/// Installs TensorBoard, if it is not there, and runs the test.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let Some(python) = python(workspace) else {
        println!("SKIPPED: Python 3 with venv and a network are needed to install TensorBoard");
        return Ok(ExitCode::SUCCESS);
    };
    workspace.build()?;
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--release", "--locked", "--workspace", "--test", "it"]);
    cargo.args(["--", "--nocapture", TEST]).env("TENSORBOARD_PYTHON", python);
    workspace::run(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}

/// A Python that has TensorBoard.
fn python(workspace: &Workspace) -> Option<PathBuf> {
    let folder = workspace.target.join("tensorboard");
    let python = folder.join("bin/python");
    let import = ["-c", "import tensorboard.backend.event_processing.event_accumulator"];
    let succeeds = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    if succeeds(Command::new(&python).args(import)) {
        return Some(python);
    }
    let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    let install = ["-m", "pip", "install", "--quiet", "tensorboard"];
    let installed = made && succeeds(Command::new(&python).args(install));
    (installed && succeeds(Command::new(&python).args(import))).then_some(python)
}
