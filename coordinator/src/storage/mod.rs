//! What a run leaves behind: its folder, its metrics, its models.
//!
//! - `folder`: the run folder and its files
//! - `file`: models as safetensors, written whole or not at all, read strictly
//! - `find`: what a user means by RUN or MODEL

mod file;
mod find;
mod folder;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use file::{ModelFile, decode_parameters, encode_model, read_parameters, write_model};
pub use find::{Found, find};
pub use folder::{BEST, CONFIG, FINAL, RunFolder};

/// Why something could not be stored or read back. The messages hold their causes, which therefore
/// are no `source` that would be printed again.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The folder holds a run already.
    #[error("{}: there is a run in this folder already; choose another one with --run-dir", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
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
        Self::Write { path: path.to_owned(), error }
    }

    fn model(path: &Path, problem: impl Into<String>) -> Self {
        Self::Model { path: path.to_owned(), problem: problem.into() }
    }
}
