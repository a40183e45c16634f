//! Deleting a run: what Herd has written into its folder, and nothing else.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::StorageError;
use super::audit::AUDIT;
use super::database::LEDGER;
use super::files::CHECKPOINTS;
use super::folder::{
    BEST, CONFIG, CURVES, EVENTS, FINAL, METRICS, REPORT, SPEC, TENSORBOARD, TLS_CERTIFICATE,
    TLS_KEY,
};
use super::lock::{LOCK, RunLock};

/// Files of a run besides [`CONFIG`], which goes last: until then the folder is a run, and deleting
/// it can be tried again.
const FILES: [&str; 9] =
    [REPORT, BEST, FINAL, TLS_KEY, TLS_CERTIFICATE, LEDGER, AUDIT, SPEC, METRICS];

/// What may stand behind their names: parts of SQLite's, and files that a crash left half-written.
const ENDS: [&str; 4] = ["", "-wal", "-shm", ".tmp"];

/// What came of deleting a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files deleted.
    pub files: u64,
    /// Space that they took, in bytes; several links to one file count once.
    pub bytes: u64,
    /// Names of what Herd has not written, which is left, and the folder with it.
    pub left: Vec<String>,
}

/// Whether a folder is that of a run beyond doubt; others have a `config.toml` too.
///
/// # Errors
/// When it is not.
pub fn check_run(folder: &Path) -> Result<(), StorageError> {
    let has = |name: &str| folder.join(name).is_file();
    if has(CONFIG) && has(METRICS) && (has(SPEC) || has(LEDGER)) {
        return Ok(());
    }
    let problem = "lacks files that a run has, so nothing in it is deleted; delete the folder \
                   yourself if it is one";
    Err(StorageError::run(folder, problem))
}

/// Deletes the run in `folder`; nobody trains it, as `lock` says.
///
/// # Errors
/// When something cannot be deleted; what is left is still a run.
pub fn remove(folder: &Path, lock: RunLock) -> Result<Removed, StorageError> {
    let mut removing = Removing::default();
    for (inner, start) in folders(folder) {
        for name in names(&inner)?.iter().filter(|name| name.starts_with(start)) {
            removing.file(&inner.join(name))?;
        }
        if names(&inner)?.is_empty() {
            gone(&inner, fs::remove_dir(&inner))?;
        }
    }
    for name in FILES.iter().chain([&CONFIG]) {
        for end in ENDS {
            removing.file(&folder.join(format!("{name}{end}")))?;
        }
    }
    // Where a file in use cannot be deleted, the lock has to be given back first.
    drop(lock);
    removing.file(&folder.join(LOCK))?;
    let mut removed = removing.removed;
    removed.left = names(folder)?;
    if removed.left.is_empty() {
        gone(folder, fs::remove_dir(folder))?;
    }
    Ok(removed)
}

/// Folders of a run, inner ones first, and how the names of the files begin that Herd writes into
/// them.
fn folders(run: &Path) -> impl Iterator<Item = (PathBuf, &'static str)> {
    let tensorboard = run.join(TENSORBOARD);
    let curves = CURVES.map(|curves| (tensorboard.join(curves), EVENTS));
    let others = [(tensorboard, EVENTS), (run.join(CHECKPOINTS), "0")];
    curves.into_iter().chain(others)
}

#[derive(Default)]
struct Removing {
    removed: Removed,
    seen: HashSet<(u64, u64)>,
}

impl Removing {
    fn file(&mut self, path: &Path) -> Result<(), StorageError> {
        let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
        gone(path, fs::remove_file(path))?;
        self.removed.files += 1;
        if identity(&metadata).is_none_or(|identity| self.seen.insert(identity)) {
            self.removed.bytes += metadata.len();
        }
        Ok(())
    }
}

/// Tells one file with several names from several files.
fn identity(metadata: &Metadata) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        None
    }
}

/// Names in a folder, sorted; none when it is not there.
fn names(folder: &Path) -> Result<Vec<String>, StorageError> {
    let failed = |error| StorageError::Read { path: folder.to_owned(), error };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>().map_err(failed)?;
    names.sort();
    Ok(names)
}

/// What was to be deleted and is not there is as good.
fn gone(path: &Path, done: io::Result<()>) -> Result<(), StorageError> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let problem = format!("cannot be deleted: {error}");
            Err(StorageError::run(path, problem))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (inner, _) in folders(folder.path()) {
            fs::create_dir_all(inner).unwrap();
        }
        for name in [
            "config.toml",
            "spec.json",
            "metrics.jsonl",
            "audit.jsonl",
            "run.db",
            "run.db-wal",
            "best.safetensors",
            "final.safetensors.tmp",
            "checkpoints/000001.safetensors",
            "tensorboard/train/events.out.tfevents.1.herd.1",
        ] {
            fs::write(folder.path().join(name), [0; 10]).unwrap();
        }
        fs::hard_link(
            folder.path().join("best.safetensors"),
            folder.path().join("checkpoints/000001.best.safetensors"),
        )
        .unwrap();
        folder
    }

    #[test]
    fn a_run_goes_whole_and_a_file_with_two_names_counts_once() {
        let folder = run();
        check_run(folder.path()).unwrap();
        let removed = remove(folder.path(), RunLock::take(folder.path()).unwrap()).unwrap();
        assert!(!folder.path().exists());
        // Eleven names and the lock, of which two are one file.
        let pid = format!("{}\n", std::process::id()).len() as u64;
        assert_eq!((removed.files, removed.bytes), (12, 100 + pid));
        assert!(removed.left.is_empty());
    }

    #[test]
    fn a_folder_with_a_configuration_of_something_else_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.toml"), "mine").unwrap();
        let message = check_run(folder.path()).unwrap_err().to_string();
        assert!(message.contains("nothing in it is deleted"), "{message}");
    }

    #[test]
    fn what_is_not_of_the_run_stays() {
        let folder = run();
        let notes = folder.path().join("notes.txt");
        fs::write(&notes, "mine").unwrap();
        fs::create_dir(folder.path().join("other")).unwrap();
        fs::write(folder.path().join("other/run.db"), "mine").unwrap();
        fs::write(folder.path().join("checkpoints/mine.safetensors"), "mine").unwrap();
        let removed = remove(folder.path(), RunLock::take(folder.path()).unwrap()).unwrap();
        assert_eq!(removed.left, ["checkpoints", "notes.txt", "other"]);
        assert_eq!(names(&folder.path().join("checkpoints")).unwrap(), ["mine.safetensors"]);
        assert_eq!(names(folder.path()).unwrap(), removed.left);
        assert_eq!(fs::read_to_string(notes).unwrap(), "mine");
        assert!(folder.path().join("other/run.db").exists());
    }
}
