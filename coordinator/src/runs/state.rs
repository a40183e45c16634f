//! What can be done with a run.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::storage::{FINAL, Record};

/// Whether a run goes on, or can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// A coordinator trains it now.
    Running,
    /// It is over, and its last model is there.
    Done,
    /// `herd train --resume` goes on with it.
    Resumable,
    /// It does not go on: its ledger is missing, damaged, or of another version of Herd.
    Stopped,
}

impl State {
    /// The state of a run whose ledger can be read.
    pub(super) fn of(folder: &Path, process: Option<u32>, checkpoint: Option<&Record>) -> Self {
        if process.is_some() {
            return Self::Running;
        }
        let complete = checkpoint.is_some_and(|record| record.complete);
        if complete && folder.join(FINAL).is_file() { Self::Done } else { Self::Resumable }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Resumable => "resumable",
            Self::Stopped => "stopped",
        })
    }
}
