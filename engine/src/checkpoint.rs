//! The steps of storing a checkpoint, in the one order that survives a crash between any two of
//! them: what the ledger names is always on the disk, and what it names no more is deleted last.
//!
//! The engine does no IO: whoever stores goes through [`Step::ALL`], and so does the simulation.

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write the parameters to a temporary file in the folder of checkpoints.
    Write,
    /// Wait until that file's content is on the disk.
    SyncFile,
    /// Give it its name.
    Rename,
    /// Wait until the name is on the disk.
    SyncFolder,
    /// In one transaction of the ledger: the rows since the last checkpoint, the state of the run,
    /// and the name and digest of the parameter file.
    Commit,
    /// Delete the files of checkpoints before the previous one.
    DeleteOld,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Write,
        Self::SyncFile,
        Self::Rename,
        Self::SyncFolder,
        Self::Commit,
        Self::DeleteOld,
    ];
}
