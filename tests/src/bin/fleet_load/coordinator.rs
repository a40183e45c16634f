//! A real `herd train` without workers of its own, with a model of 10,345 parameters.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tests::process::Invitation;

/// Each row is a lease of its own, so that thousands of leases can be out; and no run is over before
/// it is measured.
const JOB: &str = r#"
[data]
source = "digits"

[model]
input = [28, 28]
loss = "sparse_categorical_crossentropy"
optimizer = { type = "sgd", learning_rate = 0.1 }
layers = [
    { type = "rescaling", scale = 0.00392156862745098 },
    { type = "flatten" },
    { type = "dense", units = 13, activation = "relu" },
    { type = "dense", units = 10, activation = "softmax" },
]

"#;

/// The running coordinator. It is killed when this is dropped: its run has no end.
pub(crate) struct Coordinator {
    child: Child,
    invitation: Invitation,
    _folder: TempDir,
}

impl Coordinator {
    /// Starts the `herd` beside this program.
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let job = folder.path().join("fleet.toml");
        std::fs::write(&job, JOB).with_context(|| format!("cannot write {}", job.display()))?;
        let herd = std::env::current_exe()?.with_file_name("herd");
        let mut command = Command::new(&herd);
        command.args(["train", "fleet.toml", "--workers", "0", "--frequency", "batch"]);
        command.args(["--batch-size", "1", "--epochs", "100000", "--validation-split", "0"]);
        command.args(["--run-dir", "run"]).current_dir(folder.path());
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
    pub(crate) fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
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
        let words: Vec<&str> = all[begin..].split_whitespace().collect();
        if let ["join", "herd-worker", address, "--token", token] = words[..] {
            let (address, token) = (address.to_owned(), token.to_owned());
            return Ok(Invitation { address, token });
        }
    }
}
