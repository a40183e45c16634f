//! Sessions one after the other, and why the process ends.

use std::io::Read;
use std::time::{Duration, Instant};

use protocol::Identity;
use tokio::sync::oneshot;
use worker_core::{Backoff, Profile, Stop, Worker};

use crate::arguments::Arguments;
use crate::connection::{Address, ConnectError, Shards};
use crate::device::{self, Processor};
use crate::session::{Session, SessionEnd};
use crate::training::{self, Training};

/// How long a worker of one run looks for a coordinator that it has lost.
const LOST_TIME_MAX: Duration = Duration::from_secs(300);

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the process ends without having done its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// The coordinator does not let this worker in.
    #[error("{0}")]
    Refused(String),
    /// The coordinator is gone for good.
    #[error("{0}")]
    Lost(String),
    /// The system fails this process.
    #[error("{0}")]
    System(String),
}

impl Failure {
    /// As documented in `--help`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Refused(_) => 2,
            Self::Lost(_) => 4,
            Self::System(_) => 70,
        }
    }
}

/// Runs the worker until its run ends, it is refused, or its parent is gone; says which.
///
/// # Errors
/// When the process ends without having done its work.
pub fn run(arguments: &Arguments) -> Result<String, Failure> {
    let address = Address::parse(&arguments.address, arguments.fingerprint.as_deref());
    let address = address.map_err(Failure::Usage)?;
    let processors =
        device::candidates(arguments.device).map_err(|error| Failure::Usage(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::System(error.to_string()))?;
    let training =
        training::start(processors.clone(), arguments.threads).map_err(Failure::System)?;
    let parent = parent_gone(arguments.end_with_stdin);
    runtime.block_on(async {
        tokio::select! {
            ended = sessions(arguments, &address, &processors, training) => ended,
            () = parent => Ok("standard input ended".to_owned()),
            _ = tokio::signal::ctrl_c() => Ok("stopped by Ctrl-C".to_owned()),
        }
    })
}

/// Resolves when standard input ends; never when nobody asked for that.
async fn parent_gone(watch: bool) {
    if !watch {
        return std::future::pending().await;
    }
    let (gone, wait) = oneshot::channel::<()>();
    // A thread of its own: a blocking read on the runtime's pool would hold its shutdown up.
    std::thread::spawn(move || {
        let mut sink = [0_u8; 64];
        let mut stdin = std::io::stdin();
        while stdin.read(&mut sink).is_ok_and(|count| count > 0) {}
        drop(gone);
    });
    let _ = wait.await;
}

async fn sessions(
    arguments: &Arguments,
    address: &Address,
    processors: &[Processor],
    mut training: Training,
) -> Result<String, Failure> {
    let identity = new_identity()?;
    let mut processor = &processors[0];
    let mut worker = Worker::new(profile(arguments, identity, processor));
    let seed = u64::from_le_bytes(identity.0[..8].try_into().expect("invariant: 8 of 16 bytes"));
    let mut backoff = Backoff::new(seed);
    let shards = Shards::new(address.clone(), arguments.token.clone());
    let started = Instant::now();
    let mut connected: Option<Instant> = None;
    loop {
        let end = match tokio::time::timeout(CONNECT_TIMEOUT, address.connect()).await {
            Err(_) => Stop::Broken("the coordinator does not answer".to_owned()),
            Ok(Err(ConnectError::Refused(reason))) => Stop::Refused { reason, retry: false },
            Ok(Err(ConnectError::Unreachable(reason))) => Stop::Broken(reason),
            Ok(Ok(socket)) => {
                tracing::info!("connected");
                let mut session = Session {
                    worker: &mut worker,
                    training: &mut training,
                    shards: &shards,
                    backoff: &mut backoff,
                    started,
                };
                let end = session.run(socket, processor, processors).await;
                connected = Some(Instant::now());
                match end {
                    SessionEnd::Stopped(stop) => stop,
                    SessionEnd::Rename(index) => {
                        processor = &processors[index];
                        worker.set_profile(profile(arguments, identity, processor));
                        continue;
                    }
                }
            }
        };
        match end {
            Stop::Refused { reason, retry: false } => return Err(Failure::Refused(reason)),
            Stop::Unable(reason) => return Err(Failure::Refused(reason)),
            Stop::Ended(reason) if arguments.once => return Ok(reason),
            Stop::Broken(reason)
                if arguments.once && connected.is_some_and(|at| at.elapsed() > LOST_TIME_MAX) =>
            {
                return Err(Failure::Lost(reason));
            }
            Stop::Restarting(delay) => {
                tracing::info!("the coordinator restarts; back in {:.1} s", delay.as_secs_f64());
                tokio::time::sleep(delay).await;
            }
            Stop::Ended(reason) | Stop::Broken(reason) | Stop::Refused { reason, .. } => {
                let delay = backoff.next_delay();
                tracing::warn!("{reason}; trying again in {:.1} s", delay.as_secs_f64());
                tokio::time::sleep(delay).await;
            }
        }
    }
}

fn new_identity() -> Result<Identity, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Failure::System(error.to_string()))?;
    Ok(Identity(bytes))
}

fn profile(arguments: &Arguments, identity: Identity, processor: &Processor) -> Profile {
    let machine = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Profile {
        token: arguments.token.clone(),
        identity,
        slot: 0,
        name: arguments.name.clone().unwrap_or_else(|| machine().trim().to_owned()),
        device: processor.kind,
        device_name: processor.name.clone(),
        threads: arguments.threads,
        software: concat!("herd-worker ", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}
