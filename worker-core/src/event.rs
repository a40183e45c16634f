//! What happens to a worker, and what its shell has to do about it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::message::DeviceKind;
use protocol::{Assignment, Digest, Identity, LeaseId, Outcome};

use crate::trainer::{Job, Trained};

/// What a worker says of itself.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Admits to a run.
    pub token: String,
    /// Kept across sessions.
    pub identity: Identity,
    /// Which of the identity's parallel workers.
    pub slot: u16,
    /// Shown to people; may be empty.
    pub name: String,
    /// Which kind of processor trains.
    pub device: DeviceKind,
    /// The processor's own name.
    pub device_name: String,
    /// Processor threads that train.
    pub threads: u16,
    /// Program and version.
    pub software: String,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A connection is open.
    Connected,
    /// The connection is gone.
    Disconnected,
    /// A binary message came.
    Frame(Bytes),
    /// A shard was fetched, or could not be.
    Shard {
        /// Which.
        digest: Digest,
        /// Its bytes or what went wrong.
        bytes: Result<Bytes, String>,
    },
    /// The model of the last [`Output::Prepare`] is built, or cannot be.
    Prepared(Result<(), String>),
    /// Training made progress.
    Step {
        /// The lease in training.
        lease: LeaseId,
        /// Steps since its start.
        steps: u64,
    },
    /// Training of the last [`Output::Train`] ended: trained, cancelled or failed.
    Trained(Result<Option<Trained>, String>),
    /// The time of [`crate::Worker::wake_at`] has come.
    Timer,
}

/// What the shell has to do.
#[derive(Debug)]
pub enum Output {
    /// Send a binary message, before any part of an upload that is still to be sent.
    Send(Bytes),
    /// Send a part of an upload, after the parts before it.
    Upload(Bytes),
    /// Fetch a shard from the coordinator.
    Fetch(Digest),
    /// Build the model for a run.
    Prepare(Arc<Assignment>),
    /// Train; never given while another job trains.
    Train(Box<Job>),
    /// Nothing: a delta of so many samples was merged or refused, for who wants to show it.
    Settled {
        /// Samples of its lease.
        samples: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// Close the connection.
    Stop(Stop),
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The coordinator does not let this worker in; `retry` says whether later it may.
    Refused {
        /// The coordinator's sentence.
        reason: String,
        /// Whether trying again can help.
        retry: bool,
    },
    /// The run is over.
    Ended(String),
    /// This worker cannot train the run's model.
    Unable(String),
    /// The connection or what came through it is broken; trying again can help.
    Broken(String),
    /// The coordinator is started again and asks to be connected to after this time.
    Restarting(Duration),
}
