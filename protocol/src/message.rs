//! What is said on the wire: one enum per direction.
//!
//! A session, seen from the worker:
//! - `Hello` -> `Welcome` (or `Refused`), then `Assign`: the run, its spec, its shards
//! - `LeaseRequest` -> `Lease`, asked for one ahead; shards are fetched over HTTP by digest
//! - `Pull` -> `Parameters` (+ `Chunk`s), as late as possible before training starts
//! - `Progress` while it trains
//! - `Offer` -> `Grant`, `Delta` (+ `Chunk`s) -> `Ack`
//! - `Ended` when the run is over; `Restarting` when it goes on later
//!
//! Messages that carry tensor bytes are followed by them in the same frame ([`crate::frame`]).

use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::limits::{
    LEASES_KEPT_MAX, PENDING_MAX, RECONNECT_MS_MAX, SEGMENTS_MAX, SHARD_BYTES_MAX, SHARDS_MAX,
    SPEC_BYTES_MAX, TEXT_BYTES_MAX, TOKEN_BYTES_MAX,
};
use crate::{
    Checksum, Digest, Identity, Lease, LeaseId, Outcome, Report, RunId, SessionId, TensorTable,
    Version,
};

/// From a worker to the coordinator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToCoordinator {
    /// First message of every session.
    Hello(Hello),
    /// The model of the run is built (or not needed yet): the worker wants its next lease.
    LeaseRequest {
        /// The run that it was assigned.
        run: RunId,
    },
    /// The worker wants parameters to train this lease with.
    Pull {
        /// The lease.
        lease: LeaseId,
        /// Its own leases, pushed or about to be, that no pulled version has contained so far.
        pending: Vec<LeaseId>,
    },
    /// Local steps made so far; extends the deadline.
    Progress {
        /// The lease.
        lease: LeaseId,
        /// Steps since its start.
        steps: u64,
    },
    /// A delta is ready; the upload waits for the grant.
    Offer {
        /// The lease.
        lease: LeaseId,
        /// Encoded size.
        bytes: u64,
    },
    /// A delta; its first bytes follow in the frame, the rest in `Chunk`s.
    Delta {
        /// The lease.
        lease: LeaseId,
        /// Names the transfer for its chunks.
        transfer: u32,
        /// Encoded size of the whole delta.
        total: u64,
        /// For display.
        report: Report,
    },
    /// Further bytes of a transfer follow in the frame.
    Chunk {
        /// The transfer.
        transfer: u32,
        /// Where the bytes stand in it.
        offset: u64,
    },
    /// The worker will not finish this lease.
    Release {
        /// The lease.
        lease: LeaseId,
        /// Why, for the coordinator's log.
        reason: String,
    },
    /// The worker leaves, or cannot train this run.
    Bye {
        /// Why, for the coordinator's log.
        reason: String,
    },
}

/// Who a worker is and what it can do. Nothing here is trusted but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Admits to a run.
    pub token: String,
    /// Kept by the worker across sessions.
    pub identity: Identity,
    /// Which of the identity's parallel workers; a repeated slot replaces the older session.
    pub slot: u16,
    /// Shown to people; may be empty.
    pub name: String,
    /// Which kind of processor trains.
    pub device: DeviceKind,
    /// The processor's own name, for display.
    pub device_name: String,
    /// Processor threads that train.
    pub threads: u16,
    /// Program and its version, for display.
    pub software: String,
    /// Leases of an earlier session of this worker that it has not let go of: those in training,
    /// and those whose delta has no answer. The others of that session are given up.
    pub leases: Vec<LeaseId>,
}

/// The kind of processor that trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// Processor cores, through Burn's Flex.
    Cpu,
    /// A GPU (or its software stand-in) through wgpu or WebGPU.
    Gpu,
}

/// From the coordinator to a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ToWorker {
    /// The session is open.
    Welcome {
        /// Its name.
        session: SessionId,
        /// The coordinator's program and version, for display.
        software: String,
    },
    /// The session is not opened, and why. The connection closes.
    Refused {
        /// One sentence with the remedy.
        reason: String,
        /// Whether trying again later can help.
        retry: bool,
    },
    /// What the worker works on from now on. Leases of an earlier run are void.
    Assign(Assignment),
    /// An answer to a `LeaseRequest`.
    Lease(Lease),
    /// An answer to a `Pull`; the first bytes follow in the frame, the rest in `Chunk`s.
    Parameters {
        /// The lease that was named in the pull.
        lease: LeaseId,
        /// Which state of the master.
        version: Version,
        /// Those of the pull's pending leases whose deltas are in this version.
        contains: Vec<LeaseId>,
        /// Names the transfer for its chunks.
        transfer: u32,
        /// Encoded size of all parameters.
        total: u64,
        /// Of those bytes.
        checksum: Checksum,
    },
    /// Further bytes of a transfer follow in the frame.
    Chunk {
        /// The transfer.
        transfer: u32,
        /// Where the bytes stand in it.
        offset: u64,
    },
    /// The offered delta may be uploaded.
    Grant {
        /// The lease.
        lease: LeaseId,
    },
    /// What became of a delta.
    Ack {
        /// The lease.
        lease: LeaseId,
        /// Merged or refused.
        outcome: Outcome,
    },
    /// The run is over.
    Ended {
        /// The run.
        run: RunId,
        /// One sentence for the person at the worker.
        reason: String,
    },
    /// Nothing but a sign of life, beside WebSocket's own pings: scripts in browsers see no pings.
    Alive,
    /// The coordinator ends and is started again soon: the run goes on, and so may the training of
    /// the lease at hand. The connection closes.
    Restarting {
        /// Milliseconds after which the worker is to connect again; spread over the fleet, so that
        /// it does not come back all at once.
        reconnect_in_ms: u32,
    },
}

/// A run, as a worker needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The run.
    pub run: RunId,
    /// Its name, for display.
    pub name: String,
    /// The model's spec as JSON.
    pub spec: String,
    /// Names, shapes and roles of its tensors; must equal what the worker derives from the spec.
    pub table: TensorTable,
    /// Seed of the epochs' orders.
    pub seed: u64,
    /// The training samples.
    pub shards: Vec<ShardInfo>,
    /// How the coordinator encodes parameters.
    pub download: Codec,
    /// How the worker encodes deltas.
    pub upload: Codec,
    /// The inner optimizer's state starts anew with each lease, so that a delta is a function of
    /// parameters, rows and seed alone. Otherwise it is carried from lease to lease.
    pub fresh_optimizer: bool,
}

/// A block of samples that can be fetched by its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// Digest of its bytes.
    pub digest: Digest,
    /// Samples in it.
    pub rows: u32,
    /// Its size.
    pub bytes: u32,
}

/// Why a decoded message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A field is longer than its limit.
    #[error("{field} has {length} items or bytes, the limit is {limit}")]
    TooLong {
        /// The field.
        field: &'static str,
        /// What came.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A number is not finite, zero where it must not be, or over its limit.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// The shape table breaks a limit.
    #[error(transparent)]
    Table(#[from] crate::tensor::TableError),
}

fn bounded(field: &'static str, length: usize, limit: usize) -> Result<(), MessageError> {
    if length > limit { Err(MessageError::TooLong { field, length, limit }) } else { Ok(()) }
}

fn ensure(field: &'static str, holds: bool) -> Result<(), MessageError> {
    if holds { Ok(()) } else { Err(MessageError::Range(field)) }
}

impl ToCoordinator {
    /// Whether payload bytes follow the message in its frame.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        matches!(self, Self::Delta { .. } | Self::Chunk { .. })
    }

    /// Checks every field against its limit.
    ///
    /// # Errors
    /// When a field is out of range.
    pub fn check(&self) -> Result<(), MessageError> {
        match self {
            Self::Hello(hello) => {
                bounded("token", hello.token.len(), TOKEN_BYTES_MAX)?;
                bounded("name", hello.name.len(), TEXT_BYTES_MAX)?;
                bounded("device name", hello.device_name.len(), TEXT_BYTES_MAX)?;
                bounded("software", hello.software.len(), TEXT_BYTES_MAX)?;
                bounded("leases", hello.leases.len(), LEASES_KEPT_MAX)
            }
            Self::Pull { pending, .. } => bounded("pending", pending.len(), PENDING_MAX),
            Self::Delta { total, report, .. } => {
                ensure("total", *total > 0)?;
                ensure("loss", report.loss_sum.is_finite())
            }
            Self::Release { reason, .. } | Self::Bye { reason } => {
                bounded("reason", reason.len(), TEXT_BYTES_MAX)
            }
            Self::LeaseRequest { .. }
            | Self::Progress { .. }
            | Self::Offer { .. }
            | Self::Chunk { .. } => Ok(()),
        }
    }
}

impl ToWorker {
    /// Whether payload bytes follow the message in its frame.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        matches!(self, Self::Parameters { .. } | Self::Chunk { .. })
    }

    /// Checks every field against its limit.
    ///
    /// # Errors
    /// When a field is out of range.
    pub fn check(&self) -> Result<(), MessageError> {
        match self {
            Self::Welcome { software: text, .. }
            | Self::Refused { reason: text, .. }
            | Self::Ended { reason: text, .. } => bounded("text", text.len(), TEXT_BYTES_MAX),
            Self::Assign(assignment) => assignment.check(),
            Self::Lease(lease) => check_lease(lease),
            Self::Parameters { contains, total, .. } => {
                ensure("total", *total > 0)?;
                bounded("contains", contains.len(), PENDING_MAX)
            }
            Self::Restarting { reconnect_in_ms } => {
                ensure("time to reconnect", *reconnect_in_ms <= RECONNECT_MS_MAX)
            }
            Self::Chunk { .. } | Self::Grant { .. } | Self::Ack { .. } | Self::Alive => Ok(()),
        }
    }
}

impl Assignment {
    fn check(&self) -> Result<(), MessageError> {
        bounded("name", self.name.len(), TEXT_BYTES_MAX)?;
        bounded("spec", self.spec.len(), SPEC_BYTES_MAX)?;
        bounded("shards", self.shards.len(), SHARDS_MAX)?;
        for shard in &self.shards {
            ensure("rows of a shard", shard.rows > 0)?;
            bounded("shard", shard.bytes as usize, SHARD_BYTES_MAX)?;
        }
        Ok(self.table.check()?)
    }
}

fn check_lease(lease: &Lease) -> Result<(), MessageError> {
    bounded("segments", lease.segments.len(), SEGMENTS_MAX)?;
    ensure("segments", !lease.segments.is_empty())?;
    for segment in &lease.segments {
        let end = segment.start.checked_add(segment.count);
        ensure("rows of a segment", segment.count > 0 && end.is_some())?;
    }
    ensure("batch size", lease.batch_size > 0)?;
    ensure("learning rate", lease.learning_rate.is_finite() && lease.learning_rate >= 0.0)
}

/// Cuts text to what [`TEXT_BYTES_MAX`] allows, at a character's border.
#[must_use]
pub fn bounded_text(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
