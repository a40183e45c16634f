//! What a checkpoint holds.

use protocol::{Digest, Version};

use serde::{Deserialize, Serialize};

use super::ledger::{LedgerRow, WorkerRow};

/// All that a run needs to go on, but for the parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The engine's part.
    pub engine: engine::State,
    /// The master's version that goes with it.
    pub version: Version,
    /// Length of `metrics.jsonl`; what comes after belongs to work that is lost.
    pub metrics_bytes: u64,
    /// The model that validated best so far, which then is in `best.safetensors`.
    pub best: Option<BestRecord>,
    /// Whatever the coordinator's shell wants back.
    pub shell: serde_json::Value,
    /// The run is over; there is nothing to go on with.
    pub complete: bool,
    /// Rows of each shard, as the engine's configuration has them.
    pub shards: Vec<u32>,
    /// Leases that have ended since the checkpoint before, and those that are under way.
    pub rows: Vec<LedgerRow>,
    /// Workers that are new or changed; each replaces the earlier one of its number.
    pub workers: Vec<WorkerRow>,
}

/// Which epoch validated best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestRecord {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Its metrics, in the shell's words.
    pub metrics: serde_json::Value,
}

/// What the ledger says of a checkpoint, without leases and workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its number, from 1.
    pub number: u64,
    /// When it was stored, in RFC 3339.
    pub saved: String,
    /// The engine's part.
    pub engine: engine::State,
    /// The master's version that goes with it.
    pub version: Version,
    /// Length of `metrics.jsonl`.
    pub metrics_bytes: u64,
    /// The model that validated best.
    pub best: Option<BestRecord>,
    /// What the shell had stored.
    pub shell: serde_json::Value,
    /// The run is over.
    pub complete: bool,
    /// Rows of each shard.
    pub shards: Vec<u32>,
    /// Of the file of parameters.
    pub digest: Digest,
    /// Of the best model's file.
    pub best_digest: Option<Digest>,
}

/// A checkpoint as it is read back.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What the ledger says of it; `best.safetensors` is its best model again.
    pub record: Record,
    /// All workers ever stored, by number.
    pub workers: Vec<WorkerRow>,
    /// The master, in the order of the shape table.
    pub values: Vec<f32>,
    /// The momentum of the merge rule; empty for one without.
    pub momentum: Vec<f32>,
    /// Sentences for people: what was damaged, and what was done about it.
    pub warnings: Vec<String>,
}
