//! What is looked at.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use super::{Finding, gpus};
use crate::config::{self, Job};
use crate::server;
use crate::storage::RUNS;
use crate::train::{bytes, grouped};

/// Less is soon full: a checkpoint of a small model is a megabyte, and a ledger grows.
const SPACE_LOW: u64 = 1_000_000_000;

/// Less does not hold the checkpoints of a small run.
const SPACE_NONE: u64 = 50_000_000;

/// A worker has one, and four more while it fetches shards.
const CONNECTIONS_PER_WORKER: usize = 5;

/// Fewer workers than a classroom brings.
const WORKERS_LOW: usize = 50;

/// Looks at everything.
pub(super) fn all() -> Vec<Finding> {
    let job = config::resolve(None, &config::environment(), &[]);
    let mut findings = vec![version(), page(server::page_is_built()), cores()];
    findings.extend(gpus::look());
    findings.push(cuda());
    match job {
        Ok(job) => findings.extend([port(&job.fleet.listen), folder(&place(&job))]),
        Err(error) => findings.push(Finding::problem(
            "environment",
            error.to_string(),
            "unset the variable or correct it",
        )),
    }
    findings.extend(server::connections_max().map(connections));
    findings
}

fn version() -> Finding {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    let (herd, protocol) = (env!("CARGO_PKG_VERSION"), protocol::SUBPROTOCOL);
    let sqlite = rusqlite::version();
    Finding::ok(
        "version",
        format!("herd {herd}, protocol {protocol}, SQLite {sqlite}, {system} on {processor}"),
    )
}

pub(super) fn page(is_built: bool) -> Finding {
    if is_built {
        return Finding::ok("page", "is built in: browsers can join");
    }
    Finding::warning(
        "page",
        "is not in this build: browsers cannot join",
        "run `cargo xtask wasm`, then build herd again",
    )
}

fn cores() -> Finding {
    match std::thread::available_parallelism() {
        Ok(cores) => Finding::ok("cores", format!("{cores} for local workers (--workers)")),
        Err(error) => Finding::warning(
            "cores",
            format!("cannot be counted: {error}"),
            "give as many --workers as there are",
        ),
    }
}

fn cuda() -> Finding {
    let found = if cfg!(feature = "cuda") {
        "is in this build: --device cuda"
    } else {
        "is not in this build; wgpu uses NVIDIA cards too (--features cuda builds it)"
    };
    Finding::ok("cuda", found)
}

/// Whether a run could listen where it would.
pub(super) fn port(listen: &str) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) if listen.ends_with(":0") => {
            Finding::ok("port", format!("{listen}: each run takes a free one"))
        }
        Ok(_) => Finding::ok("port", format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Finding::problem(
            "port",
            format!("{listen} is in use"),
            "choose another with --listen or HERD_LISTEN, or port 0 for any free one",
        ),
        Err(error) => Finding::problem(
            "port",
            format!("{listen} cannot be listened on: {error}"),
            "choose another address with --listen or HERD_LISTEN",
        ),
    }
}

/// Where the next run would go.
fn place(job: &Job) -> PathBuf {
    job.run_dir.clone().unwrap_or_else(|| PathBuf::from(RUNS))
}

/// Whether runs can be written into a folder, or where it would be made, and how much.
pub(super) fn folder(wanted: &Path) -> Finding {
    let whole = std::path::absolute(wanted).unwrap_or_else(|_| wanted.to_owned());
    let there = whole.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let name = wanted.display();
    let remedy = "choose a folder that you may write to with --run-dir";
    if let Err(error) = try_write(there) {
        return Finding::problem("runs", format!("{name} cannot be written: {error}"), remedy);
    }
    match free(there) {
        None => Finding::ok("runs", format!("{name} can be written")),
        Some(space) if space < SPACE_NONE => Finding::problem(
            "runs",
            format!("{name} has {} of space left", bytes(space)),
            "free some, or choose another folder with --run-dir",
        ),
        Some(space) if space < SPACE_LOW => Finding::warning(
            "runs",
            format!("{name} has {} of space left", bytes(space)),
            "free some: `herd runs rm` deletes runs",
        ),
        Some(space) => Finding::ok("runs", format!("{name} can be written, {} free", bytes(space))),
    }
}

/// Writes a file and deletes it: what a folder's mode says is not all that decides.
fn try_write(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".herd-doctor.{}", std::process::id()));
    let written = fs::write(&path, b"herd");
    let deleted = fs::remove_file(&path);
    written.and(deleted)
}

#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(folder).ok()?;
    told.f_bavail.checked_mul(told.f_frsize)
}

#[cfg(not(unix))]
fn free(_folder: &Path) -> Option<u64> {
    None
}

/// How many connections the system lets the coordinator have.
pub(super) fn connections(count: usize) -> Finding {
    let workers = count / CONNECTIONS_PER_WORKER;
    let found = format!(
        "{} at a time, enough for {} workers",
        grouped(count as u64),
        grouped(workers as u64)
    );
    if workers < WORKERS_LOW {
        let remedy = "more open files allow more: `ulimit -n 32768`";
        return Finding::warning("connections", found, remedy);
    }
    Finding::ok("connections", found)
}
