//! Local worker processes: this program itself, as `herd worker`. They hold the reading end of a
//! pipe: when the coordinator dies, however it dies, the pipe ends and they end with it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::display::Log;
use crate::cli::Failure;
use crate::config::Job;
use crate::run::ControlEvent;
use crate::tokens::Secret;

/// Time for local workers to end by themselves once the run is over.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// The processes of a run.
pub(super) struct Processes {
    watchers: JoinSet<()>,
    /// Held open as long as the workers shall live.
    pipes: Vec<ChildStdin>,
}

/// Starts the job's local workers, which reach the run at `address`, without TLS.
///
/// # Errors
/// When a worker does not start.
pub(super) fn start(
    program: Option<PathBuf>,
    job: &Job,
    address: &str,
    token: &Secret,
    events: &mpsc::Sender<ControlEvent>,
    log: &Log,
) -> anyhow::Result<Processes> {
    let mut processes = Processes { watchers: JoinSet::new(), pipes: Vec::new() };
    let Some(program) = program else { return Ok(processes) };
    let left = Arc::new(AtomicUsize::new(job.fleet.workers as usize));
    for number in 1..=job.fleet.workers {
        let name = format!("local-{number}");
        let mut command = Command::new(&program);
        command
            .args(["worker", &format!("ws://{address}")])
            .args(["--once", "--end-with-stdin", "--name", &name])
            .args(["--device", &job.fleet.device.to_string()])
            // Not an argument: those can be read by every user of the machine.
            .env("HERD_TOKEN", token.reveal())
            // Mesa's layer for choosing a display's GPU complains where there is no display.
            .env("NODEVICE_SELECT", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C on the terminal is for the coordinator, which lets its workers end in order.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| {
            Failure::Data(format!("cannot start {}: {error}", program.display()))
        })?;
        processes.pipes.extend(child.stdin.take());
        processes.watchers.spawn(watch(child, name, events.clone(), left.clone(), log.clone()));
    }
    Ok(processes)
}

/// The program that local workers run; `None` for a job without them.
///
/// # Errors
/// When the system does not say where this program is.
pub(super) fn program(job: &Job) -> Result<Option<PathBuf>, Failure> {
    if job.fleet.workers == 0 {
        return Ok(None);
    }
    std::env::current_exe().map(Some).map_err(|error| {
        Failure::Data(format!(
            "local workers cannot be started, as the system does not say where herd is: {error}; \
             use --workers 0 and start them with `herd worker`"
        ))
    })
}

/// Passes on what a worker says, and tells the run when it ends.
async fn watch(
    mut child: Child,
    name: String,
    events: mpsc::Sender<ControlEvent>,
    left: Arc<AtomicUsize>,
    log: Log,
) {
    let mut last = None;
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // It is the worker that says it, and its name stands there.
            let line = line.strip_prefix("herd: ").unwrap_or(&line);
            log.say(&format!("{name}: {line}"));
            last = Some(line.to_owned());
        }
    }
    let status = child.wait().await;
    let left = left.fetch_sub(1, Ordering::SeqCst) - 1;
    let failure = match status {
        Ok(status) if status.success() => None,
        Ok(status) => Some(last.unwrap_or_else(|| status.to_string())),
        Err(error) => Some(error.to_string()),
    };
    // The run may be over, with nobody to tell.
    let _ = events.send(ControlEvent::ProcessEnded { name, failure, left }).await;
}

impl Processes {
    /// Lets go of the workers, which end with their pipes.
    pub(super) fn end(&mut self) {
        self.pipes.clear();
    }

    /// Waits for the workers to end; those that do not are killed.
    pub(super) async fn wait(mut self) {
        let all = async { while self.watchers.join_next().await.is_some() {} };
        if tokio::time::timeout(END_TIMEOUT, all).await.is_err() {
            // Their pipes end, and dropping the watchers kills what is left.
            self.pipes.clear();
            self.watchers.shutdown().await;
        }
    }
}
