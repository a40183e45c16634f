//! What a run leaves behind: its folder, its metrics, its models.
//!
//! - `folder`: the run folder and its files
//! - `file`: models as safetensors, written whole or not at all, read strictly
//! - `find`: what a user means by RUN or MODEL
//! - `store`: ledger and checkpoints of a run that is going on, or is to go on
//! - `checkpoint`, `ledger`: what they hold; `lock`: one coordinator at a time
//! - `files`: the files of checkpoints; `database`, `rows`, `text`: how the ledger lies in SQLite
//! - `report`: the ledger for those who only look; `tokens`: who is admitted; `audit`: who did what
//! - `remove`: how a run is deleted

mod audit;
mod checkpoint;
mod database;
mod file;
mod files;
mod find;
mod folder;
mod ledger;
mod lock;
mod remove;
mod report;
mod rows;
mod store;
mod text;
mod tokens;

#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use audit::{AUDIT, Act, Audit};
pub use checkpoint::{BestRecord, Checkpoint, Loaded, Record};
pub use file::{
    ModelFile, decode_checkpoint, decode_parameters, encode_model, read_parameters, write_model,
};
pub use find::{EXPORTED_JOB, EXPORTED_MODEL, Found, find, find_run};
pub(crate) use folder::write_whole;
pub use folder::{
    BEST, CONFIG, CURVES, EVENTS, FINAL, LATEST, METRICS, REPORT, RUNS, RunFolder, TENSORBOARD,
    TLS_CERTIFICATE, TLS_KEY, plan_of, point_latest,
};
pub use ledger::{Incarnation, LedgerRow, RowEnd, WorkerRow};
pub use lock::RunLock;
pub use remove::{Removed, check_run, remove};
pub use report::{Glance, Report};
pub use store::Store;
pub use tokens::{Revoked, TokenBook, TokenRow};

/// Why something could not be stored or read back. The messages hold their causes, which therefore
/// are no `source` that would be printed again.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The folder holds a run already.
    #[error(
        "{}: there is a run in this folder already; choose another one with --run-dir, or go on with \
         it with --resume",
        path.display()
    )]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains the run.
    #[error(
        "{}: another coordinator is training this run{}; wait for its end or stop it",
        path.display(),
        if *process == 0 { String::new() } else { format!(" (process {process})") }
    )]
    Locked {
        /// The run folder.
        path: PathBuf,
        /// The other process; 0 if that cannot be told.
        process: u32,
    },
    /// There is no room for more.
    #[error(
        "{}: cannot be written: the disk is full; free some space, then the run can go on from its \
         last checkpoint",
        path.display()
    )]
    Full {
        /// The folder or file.
        path: PathBuf,
    },
    /// Somebody took the run's folder away.
    #[error("{}: the run folder is gone; was it moved or deleted while the run was going on?", path.display())]
    Gone {
        /// The folder.
        path: PathBuf,
    },
    /// What is stored of a run is not what was stored.
    #[error("{}: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        problem: String,
    },
    /// What is stored of a run cannot be used, or not now.
    #[error("{}: {problem}", path.display())]
    Run {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong, and what to do about it.
        problem: String,
    },
    /// The operating system refused to write.
    #[error("{}: cannot be written: {error}; choose a folder that you may write to with --run-dir", path.display())]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The operating system refused to read.
    #[error("{}: cannot be read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no such run or model.
    #[error("{}: {problem}", path.display())]
    Missing {
        /// What was asked for.
        path: PathBuf,
        /// What is missing, and where to look.
        problem: String,
    },
    /// A file is no model that Herd can use.
    #[error("{}: {problem}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A tensor of a model file is not what the model needs.
    #[error("{}, tensor `{tensor}`: {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
}

impl StorageError {
    fn write(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { path: path.to_owned() }
            }
            _ => Self::Write { path: path.to_owned(), error },
        }
    }

    /// What was stored is not there as it was stored; waiting does not help.
    fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::Missing { .. } | Self::Model { .. } | Self::Tensor { .. }
        )
    }

    fn damaged(path: &Path, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), problem: problem.into() }
    }

    fn run(path: &Path, problem: impl Into<String>) -> Self {
        Self::Run { path: path.to_owned(), problem: problem.into() }
    }

    fn model(path: &Path, problem: impl Into<String>) -> Self {
        Self::Model { path: path.to_owned(), problem: problem.into() }
    }
}
