//! The ledger: what became of each lease, in words that other tools can read.

use protocol::{Identity, LeaseId, Segment};

/// One lease and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The lease.
    pub lease: LeaseId,
    /// Whose it was: the number of a [`WorkerRow`].
    pub worker: u32,
    /// The unit that it was an attempt at.
    pub unit: u64,
    /// The unit's epoch, from 0.
    pub epoch: u32,
    /// Samples of the unit.
    pub samples: u64,
    /// Its rows.
    pub segments: Vec<Segment>,
    /// Its epoch was not complete yet when it ended: it is counted there, and not only in the run.
    pub in_epoch: bool,
    /// How it ended.
    pub end: RowEnd,
}

/// How a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowEnd {
    /// As the engine said.
    Ended(engine::End),
    /// It was under way when the checkpoint was taken, and is lost unless a later row says how it
    /// ended.
    Lost,
}

/// A worker that the run has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerRow {
    /// Its number in this run, from 1.
    pub number: u32,
    /// Who it is, across its sessions.
    pub identity: Identity,
    /// Which of the workers of that identity.
    pub slot: u16,
    /// As it calls itself.
    pub name: String,
    /// What it computes on.
    pub device: String,
    /// Whatever the coordinator's shell knows of it.
    pub facts: serde_json::Value,
}

/// One start of the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incarnation {
    /// From 1.
    pub number: u32,
    /// When, in RFC 3339.
    pub started: String,
    /// Where it listened.
    pub address: String,
}
