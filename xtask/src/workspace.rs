//! Where the project lies, and how its programs are started.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The project's folder and cargo's target folder.
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds; outside the checkout where `CARGO_TARGET_DIR` says so.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks the environment of `cargo run` and cargo itself.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .context("the project's folder is unknown: start this as `cargo xtask`")?;
        let root = Path::new(&manifest)
            .parent()
            .context("the folder of xtask has no parent: start this as `cargo xtask`")?
            .to_owned();
        let mut workspace = Self { root, target: PathBuf::new() };
        let text = output(workspace.cargo().args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version=1",
        ]))?;
        let metadata: serde_json::Value =
            serde_json::from_str(&text).context("cargo metadata printed no JSON")?;
        workspace.target = metadata["target_directory"]
            .as_str()
            .context("cargo metadata names no target_directory")?
            .into();
        Ok(workspace)
    }

    /// The cargo that started this program, in the project's folder.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// Builds everything there is in one selection. A build of fewer crates would choose other
    /// features for what they share, and build Burn a second time.
    pub(crate) fn build(&self) -> Result<()> {
        run(self.cargo().args(BUILD))
    }

    /// Says how long a first build takes, when this is one.
    pub(crate) fn announce(&self) {
        if !self.binary("herd").exists() {
            eprintln!(
                "Building Herd for the first time, for browsers and for this machine: about half an \
                 hour on two cores, less on more. Later starts take seconds."
            );
        }
    }

    /// The path of a built program.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }
}

/// Arguments of cargo for the one native build.
pub(crate) const BUILD: [&str; 5] =
    ["build", "--release", "--locked", "--workspace", "--all-targets"];

/// Runs a program with this terminal and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", line(command));
    }
    Ok(())
}

/// Runs a program silently and returns what it wrote to stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}):\n{}", line(command), output.status, error.trim_end());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} did not print UTF-8", line(command)))
}

/// The command as one would type it, the program by its name alone.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    std::iter::once(program.to_string_lossy()).chain(arguments).collect::<Vec<_>>().join(" ")
}
