//! The GPUs of this machine. Drivers are asked in a process of their own: a broken one ends the
//! process, or never answers, and some write to the terminal.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use worker_native::device::adapters;

use super::Finding;

/// Drivers answer within a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// A GPU adapter, on its way from one process to the other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Gpu {
    pub(super) name: String,
    pub(super) backend: String,
    pub(super) is_software: bool,
}

/// What the other process prints.
pub(super) fn list() -> String {
    let gpus: Vec<Gpu> = adapters()
        .into_iter()
        .map(|adapter| Gpu {
            name: adapter.name,
            backend: adapter.backend,
            is_software: adapter.is_software,
        })
        .collect();
    format!("{}\n", serde_json::json!(gpus))
}

/// Asks the drivers.
pub(super) fn look() -> Vec<Finding> {
    match start().and_then(answer) {
        Ok(gpus) => findings(&gpus),
        Err(problem) => vec![Finding::warning(
            "gpu",
            problem.to_string(),
            "update or reinstall the graphics driver, or train with --device cpu",
        )],
    }
}

fn start() -> io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["doctor", "--adapters"])
        // Mesa's layer for choosing a display's GPU complains where there is no display.
        .env("NODEVICE_SELECT", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
}

pub(super) fn answer(mut child: Child) -> io::Result<Vec<Gpu>> {
    let Some(mut pipe) = child.stdout.take() else { return Ok(Vec::new()) };
    let (sender, told) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        // Nobody waits for it any more when it comes too late.
        let _ = sender.send(pipe.read_to_string(&mut text).map(|_| text));
    });
    let Ok(text) = told.recv_timeout(ANSWER_TIMEOUT) else {
        child.kill()?;
        child.wait()?;
        let seconds = ANSWER_TIMEOUT.as_secs();
        return Err(io::Error::other(format!("the driver does not answer within {seconds} s")));
    };
    let status = child.wait()?;
    if !status.success() {
        let message = format!("the driver ends the process that asks for adapters ({status})");
        return Err(io::Error::other(message));
    }
    Ok(serde_json::from_str(&text?)?)
}

/// One line for each adapter, or one for none.
pub(super) fn findings(gpus: &[Gpu]) -> Vec<Finding> {
    if gpus.is_empty() {
        return vec![Finding::warning(
            "gpu",
            "no adapter was found: workers train on the cores",
            "with a graphics card install its Vulkan driver; on Debian without one \
             mesa-vulkan-drivers gives a slow stand-in",
        )];
    }
    let line = |gpu: &Gpu| {
        let Gpu { name, backend, is_software } = gpu;
        let note = if *is_software {
            ": a stand-in on the cores, which --device auto leaves out"
        } else {
            ""
        };
        Finding::ok("gpu", format!("{name} through {backend}{note}"))
    };
    gpus.iter().map(line).collect()
}
