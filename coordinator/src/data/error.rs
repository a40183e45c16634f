//! What can be wrong with a data file. Every message names the file, and the place in it, and
//! holds its cause, which therefore is no `source` that would be printed again.

use std::io;
use std::path::{Path, PathBuf};

/// Why data could not be read, split or cut.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no such file.
    #[error("{}: there is no such file; check the path (in a job file it is relative to that file)", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot be read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not what it should be.
    #[error("{origin}: {problem}")]
    Content {
        /// The file or the embedded data set.
        origin: String,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A row of a CSV file is not what it should be.
    #[error("{origin}, line {line}: {problem}")]
    Line {
        /// The file.
        origin: String,
        /// Counted from 1, the header included.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A cell of a CSV file is not what it should be.
    #[error("{origin}, line {line}, column `{column}`: {problem}")]
    Cell {
        /// The file.
        origin: String,
        /// Counted from 1, the header included.
        line: u64,
        /// The column's name.
        column: String,
        /// What is wrong, with the cell's text.
        problem: String,
    },
    /// The source names no embedded data set.
    #[error("there is no embedded data set `{name}`; there is: {known}")]
    Embedded {
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// Classes, where the loss needs numbers.
    #[error(
        "{origin}: holds classes, but the model's loss needs numbers; use a CSV file, or a cross-entropy loss"
    )]
    NeedsValues {
        /// The file or the embedded data set.
        origin: String,
    },
    /// One sample does not fit into a shard.
    #[error(
        "{origin}: one sample takes {bytes} bytes, more than a shard may hold ({limit}); make the samples smaller"
    )]
    SampleTooLarge {
        /// The file or the embedded data set.
        origin: String,
        /// Bytes of one sample with its target.
        bytes: usize,
        /// Most bytes of a shard.
        limit: usize,
    },
}

impl DataError {
    /// Opening or reading `path` failed.
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing { path: path.to_owned() }
        } else {
            Self::Read { path: path.to_owned(), error }
        }
    }

    /// `origin` is not what it should be.
    pub(crate) fn content(origin: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Content { origin: origin.into(), problem: problem.into() }
    }
}
