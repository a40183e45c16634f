//! `cargo xtask browser`: the tests of `tests/browser` in a real Chromium.

use std::process::Command;

use anyhow::Result;

use crate::workspace::{self, Workspace};
use crate::{page, setup};

/// Builds what the tests drive, and runs all of them or those of the files named.
pub(crate) fn run(workspace: &Workspace, files: &[String]) -> Result<()> {
    let chromium = setup::chromium()?;
    page::build(workspace)?;
    workspace.build()?;
    let mut node = Command::new("node");
    node.current_dir(workspace.root.join("tests/browser"));
    // One file at a time: they share two cores, and some of them count time.
    node.args(["--test", "--test-concurrency=1"]).args(files);
    node.env("HERD_BIN", workspace.target.join("release")).env("HERD_CHROMIUM", chromium);
    workspace::run(&mut node)
}
