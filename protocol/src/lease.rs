//! A lease as it travels to a worker, and what the worker reports with its delta.

use serde::{Deserialize, Serialize};

use crate::{LeaseId, RunId};

/// A run of rows of one shard, in the epoch's order of that shard's rows ([`crate::order::row_order`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Index into the run's list of shards.
    pub shard: u32,
    /// First position in the epoch's row order of the shard.
    pub start: u32,
    /// Number of rows, at least 1.
    pub count: u32,
}

/// One attempt at a unit: train these rows, in this order, and push the delta.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    /// Its name.
    pub id: LeaseId,
    /// The run that it belongs to.
    pub run: RunId,
    /// Which epoch's order the segments refer to, from 0.
    pub epoch: u32,
    /// The rows, in order. Batches run across the borders of segments.
    pub segments: Vec<Segment>,
    /// Rows per batch; the last batch takes what is left.
    pub batch_size: u32,
    /// Seed of dropout and other noise.
    pub seed: u64,
    /// Learning rate of the inner optimizer for the whole lease.
    pub learning_rate: f64,
    /// Milliseconds after which the coordinator may lease the unit to another worker.
    pub deadline_ms: u64,
}

impl Lease {
    /// Rows of all segments.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.count)).sum()
    }

    /// Local steps: batches of [`Self::batch_size`], the last one perhaps smaller.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.samples().div_ceil(u64::from(self.batch_size.max(1)))
    }
}

/// What a worker says of its lease. For display only: nothing is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Local steps made.
    pub steps: u64,
    /// Samples trained.
    pub samples: u64,
    /// Loss summed over samples.
    pub loss_sum: f64,
    /// Time spent training, in microseconds.
    pub busy_us: u64,
}

/// What became of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is in the master from this version on.
    Merged(crate::Version),
    /// It was refused.
    Rejected(Reason),
}

/// Why a delta was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// Its unit was already merged through another lease.
    Duplicate,
    /// The coordinator does not know the lease, or it is another worker's.
    UnknownLease,
    /// The payload's length does not match the shape table.
    Length,
    /// A value is NaN or infinite, or a variance negative.
    NotFinite,
    /// Its norm is more than ten times the usual.
    Norm,
    /// The run is over.
    Ended,
    /// The lease is of an earlier start of the coordinator, whose work since its last checkpoint
    /// is lost.
    Fenced,
}

impl Reason {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 7] = [
        Self::Duplicate,
        Self::UnknownLease,
        Self::Length,
        Self::NotFinite,
        Self::Norm,
        Self::Ended,
        Self::Fenced,
    ];

    /// The reason with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// One word for counters and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::UnknownLease => "unknown-lease",
            Self::Length => "length",
            Self::NotFinite => "not-finite",
            Self::Norm => "norm",
            Self::Ended => "ended",
            Self::Fenced => "fenced",
        }
    }
}
