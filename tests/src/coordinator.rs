//! A real `herd train` for programs that load it: it goes on until it is dropped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::{Invitation, without_settings};

/// A network with one hidden layer on the digits. Each row is a lease of its own, so that thousands
/// of leases can be out.
#[must_use]
pub fn job(units: u32) -> String {
    format!(
        r#"
[data]
source = "digits"

[model]
input = [28, 28]
loss = "sparse_categorical_crossentropy"
optimizer = {{ type = "sgd", learning_rate = 0.1 }}
layers = [
    {{ type = "rescaling", scale = 0.00392156862745098 }},
    {{ type = "flatten" }},
    {{ type = "dense", units = {units}, activation = "relu" }},
    {{ type = "dense", units = 10, activation = "softmax" }},
]
"#
    )
}

/// The running coordinator. It is killed when this is dropped: its run has no end.
#[derive(Debug)]
pub struct Coordinator {
    child: Child,
    invitation: Invitation,
    _folder: TempDir,
}

impl Coordinator {
    /// Starts the `herd` beside this program with a job, further flags and no workers of its own.
    ///
    /// # Errors
    /// When it does not start or says no address.
    pub fn start(job: &str, flags: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let path = folder.path().join("load.toml");
        std::fs::write(&path, job).with_context(|| format!("cannot write {}", path.display()))?;
        let herd = std::env::current_exe()?.with_file_name("herd");
        let mut command = Command::new(&herd);
        command.args(["train", "load.toml", "--workers", "0", "--frequency", "batch"]);
        command.args(["--batch-size", "1", "--epochs", "100000", "--validation-split", "0"]);
        command.args(["--run-dir", "run"]).args(flags).current_dir(folder.path());
        without_settings(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", herd.display()))?;
        let mut said = BufReader::new(child.stderr.take().context("its output is piped")?);
        let invitation = invitation(&mut said);
        // It says who joins and leaves: somebody has to read it.
        thread::spawn(move || said.lines().all(|line| line.is_ok()));
        if invitation.is_err() {
            let _ = child.kill();
        }
        Ok(Self { child, invitation: invitation?, _folder: folder })
    }

    /// How to join.
    #[must_use]
    pub fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn invitation(said: &mut impl BufRead) -> Result<Invitation> {
    let mut all = String::new();
    loop {
        let begin = all.len();
        if said.read_line(&mut all)? == 0 {
            bail!("herd says no address: {all}");
        }
        if let Some(invitation) = Invitation::in_line(&all[begin..]) {
            return Ok(invitation);
        }
    }
}
