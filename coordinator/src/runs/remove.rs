//! `herd runs rm`: deletes runs, all that are named or none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::entry::{Entry, name};
use crate::cli::{Failure, RemoveArgs, answer};
use crate::storage::{self, LATEST, RunLock, StorageError, find_run, point_latest};
use crate::train::bytes;

/// Runs `herd runs rm`.
///
/// # Errors
/// When one of the runs is not there or is going on: then none is deleted. When a file cannot be
/// deleted.
pub fn remove(args: &RemoveArgs) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for run in &args.runs {
        match prepare(run, &mut seen) {
            Ok(run) => found.extend(run),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if !problems.is_empty() {
        let nothing = if args.runs.len() > 1 { "; nothing is deleted" } else { "" };
        return Err(Failure::Data(format!("{}{nothing}", problems.join("; "))).into());
    }
    for (folder, lock) in found {
        let run = name(&folder);
        let removed = storage::remove(&folder, lock)?;
        let (files, space) = (removed.files, bytes(removed.bytes));
        let mut text = format!("{run}: deleted, {files} files, {space}\n");
        if !removed.left.is_empty() {
            let left = removed.left.join(", ");
            text.push_str(&format!("{}: left, as it holds {left}\n", folder.display()));
        }
        answer(&text)?;
        if let Some(parent) = folder.parent() {
            mend_latest(parent);
        }
    }
    Ok(())
}

/// The run's own folder, not a link to it, and the right to delete it; nothing for one that was
/// named before.
fn prepare(
    run: &Path,
    seen: &mut BTreeSet<PathBuf>,
) -> Result<Option<(PathBuf, RunLock)>, StorageError> {
    let found = find_run(run)?;
    storage::check_run(&found)?;
    let folder =
        found.canonicalize().map_err(|error| StorageError::Read { path: found.clone(), error })?;
    if !seen.insert(folder.clone()) {
        return Ok(None);
    }
    let lock = RunLock::take(&folder).map_err(|error| match error {
        StorageError::Locked { process, .. } => StorageError::Locked { path: found, process },
        other => other,
    })?;
    Ok(Some((folder, lock)))
}

/// `latest` must not lead nowhere: it becomes the newest run that is left, or goes.
fn mend_latest(parent: &Path) {
    let latest = parent.join(LATEST);
    if !latest.is_symlink() || latest.exists() {
        return;
    }
    let newest = Entry::all(parent).ok().and_then(|runs| runs.into_iter().next());
    match newest {
        Some(newest) => point_latest(parent, &newest.run),
        None => {
            if let Err(error) = std::fs::remove_file(&latest) {
                tracing::warn!("{}: leads nowhere, and stays: {error}", latest.display());
            }
        }
    }
}
