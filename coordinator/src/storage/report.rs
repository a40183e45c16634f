//! The ledger for those who only look, even while the run is going on.

use std::path::Path;

use super::StorageError;
use super::checkpoint::Record;
use super::database::Database;
use super::ledger::{Incarnation, LedgerRow, WorkerRow};
use super::lock::RunLock;

/// What is stored of a run, as of its newest checkpoint.
#[derive(Debug, Clone)]
pub struct Report {
    /// The process that trains the run now, 0 if its number cannot be told; none if nobody does.
    pub process: Option<u32>,
    /// All starts of the coordinator, oldest first.
    pub incarnations: Vec<Incarnation>,
    /// The newest checkpoint; none before the first.
    pub checkpoint: Option<Record>,
    /// Why that checkpoint is not what was stored.
    pub damage: Option<String>,
    /// All workers, by number.
    pub workers: Vec<WorkerRow>,
}

/// What a list of runs needs of one: it costs the same however long the run is.
#[derive(Debug, Clone)]
pub struct Glance {
    /// As in [`Report`].
    pub process: Option<u32>,
    /// As in [`Report`].
    pub incarnations: Vec<Incarnation>,
    /// As in [`Report`]; whether it is what was stored is not looked at.
    pub checkpoint: Option<Record>,
}

impl Glance {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no ledger, or it cannot be read.
    pub fn read(folder: &Path) -> Result<Self, StorageError> {
        let process = RunLock::holder(folder);
        let database = Database::open_to_look(folder)?;
        database.hold_still()?;
        let (incarnations, checkpoint) = (database.incarnations()?, database.newest()?);
        Ok(Self { process, incarnations, checkpoint })
    }
}

impl Report {
    /// Reads all but the leases, and tells the newest row of each lease to `lease`, epoch by epoch:
    /// a long run has many.
    ///
    /// # Errors
    /// When there is no ledger, or it cannot be read.
    pub fn read(folder: &Path, lease: impl FnMut(LedgerRow)) -> Result<Self, StorageError> {
        let process = RunLock::holder(folder);
        let database = Database::open_to_look(folder)?;
        database.hold_still()?;
        let checkpoint = database.newest()?;
        let damage = match &checkpoint {
            Some(record) => match database.record(record.number) {
                Ok(_) => None,
                Err(error @ StorageError::Damaged { .. }) => Some(error.to_string()),
                Err(error) => return Err(error),
            },
            None => None,
        };
        database.each_lease(lease)?;
        let number = checkpoint.as_ref().map_or(0, |record| record.number);
        Ok(Self {
            process,
            incarnations: database.incarnations()?,
            checkpoint,
            damage,
            workers: database.workers(number)?,
        })
    }
}
