//! The files of checkpoints in a run folder: `checkpoints/000007.safetensors` with the parameters,
//! and beside it the best model as it was then.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use protocol::{Digest, TensorTable};

use super::StorageError;
use super::file::{decode_checkpoint, load};
use super::folder::{BEST, sync_folder, write_whole};

/// The folder in the run folder.
pub(super) const CHECKPOINTS: &str = "checkpoints";

/// The end of the name of parameters.
const PARAMETERS: &str = ".safetensors";
/// The end of the name of a best model.
const BEST_THEN: &str = ".best.safetensors";
/// The end of the name of what is not whole.
const TEMPORARY: &str = ".safetensors.tmp";

/// The files of one run.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
}

impl Files {
    /// Makes the folder of checkpoints, if there is none yet.
    pub(super) fn create(folder: &Path) -> Result<Self, StorageError> {
        let files = Self { folder: folder.to_owned() };
        let checkpoints = files.checkpoints();
        fs::create_dir_all(&checkpoints).map_err(|error| files.failed(&checkpoints, error))?;
        Ok(files)
    }

    /// The run folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join(CHECKPOINTS)
    }

    fn named(&self, number: u64, end: &str) -> PathBuf {
        self.checkpoints().join(format!("{number:06}{end}"))
    }

    /// Where the parameters are.
    pub(super) fn parameters(&self, number: u64) -> PathBuf {
        self.named(number, PARAMETERS)
    }

    /// Where they are while they are written.
    pub(super) fn temporary(&self, number: u64) -> PathBuf {
        self.named(number, TEMPORARY)
    }

    /// An error of writing; when the folder itself is gone, that.
    pub(super) fn failed(&self, path: &Path, error: io::Error) -> StorageError {
        if error.kind() == io::ErrorKind::NotFound && !self.checkpoints().is_dir() {
            return StorageError::Gone { path: self.folder.clone() };
        }
        StorageError::write(path, error)
    }

    /// Waits until the names are on the disk.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        let checkpoints = self.checkpoints();
        sync_folder(&checkpoints).map_err(|error| self.failed(&checkpoints, error))
    }

    /// Keeps the best model for a checkpoint, and says its digest. A link costs nothing: a better
    /// model gets a new file of the old name.
    pub(super) fn keep_best(&self, number: u64) -> Result<Digest, StorageError> {
        let (best, kept) = (self.folder.join(BEST), self.named(number, BEST_THEN));
        let mut hasher = blake3::Hasher::new();
        let read = |error| StorageError::Read { path: best.clone(), error };
        File::open(&best).and_then(|file| hasher.update_reader(file).map(drop)).map_err(read)?;
        // Left by an attempt that failed.
        remove(&kept).map_err(|error| self.failed(&kept, error))?;
        if fs::hard_link(&best, &kept).is_err() {
            write_whole(&kept, [load(&best)?.as_slice()])?;
        }
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    /// Reads the parameters and the momentum of a checkpoint.
    pub(super) fn read(
        &self,
        number: u64,
        digest: Digest,
        table: &TensorTable,
    ) -> Result<(Vec<f32>, Vec<f32>), StorageError> {
        let path = self.parameters(number);
        decode_checkpoint(&path, &whole(&path, digest)?, table)
    }

    /// Whether the best model of a checkpoint is there, in either place.
    pub(super) fn check_best(&self, number: u64, digest: Digest) -> Result<(), StorageError> {
        let kept = whole(&self.named(number, BEST_THEN), digest);
        match kept {
            Ok(_) => Ok(()),
            Err(error) if error.is_damage() => {
                whole(&self.folder.join(BEST), digest).map(drop).map_err(|_| error)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the best model what it was at a checkpoint; without a digest there was none.
    pub(super) fn restore_best(
        &self,
        number: u64,
        digest: Option<Digest>,
    ) -> Result<(), StorageError> {
        let best = self.folder.join(BEST);
        let Some(digest) = digest else {
            return remove(&best).map_err(|error| self.failed(&best, error));
        };
        if whole(&best, digest).is_ok() {
            return Ok(());
        }
        write_whole(&best, [whole(&self.named(number, BEST_THEN), digest)?.as_slice()])
    }

    /// The numbers of all checkpoints of which there is a file of parameters, in order.
    pub(super) fn numbers(&self) -> Result<BTreeSet<u64>, StorageError> {
        let numbers = self.list(|name| name.strip_suffix(PARAMETERS)?.parse().ok());
        let checkpoints = self.checkpoints();
        Ok(numbers
            .map_err(|error| StorageError::Read { path: checkpoints, error })?
            .into_iter()
            .map(|(number, _)| number)
            .collect())
    }

    /// Deletes all files of the checkpoints with those numbers, and all temporary ones. What cannot
    /// be deleted is left: it only takes room.
    pub(super) fn delete(&self, which: impl Fn(u64) -> bool) {
        let ours = |name: &str| {
            let temporary = name.ends_with(".tmp");
            let number: u64 = name.split_once('.')?.0.parse().ok()?;
            (temporary || which(number)).then_some(number)
        };
        let deleted = self.list(ours).and_then(|files| {
            files.into_iter().try_for_each(|(_, path)| {
                remove(&path)
                    .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
            })
        });
        if let Err(error) = deleted {
            tracing::warn!("old checkpoints are not all deleted: {error}");
        }
    }

    /// Deletes what a failed attempt at a checkpoint has left.
    pub(super) fn discard(&self, number: u64) {
        for end in [TEMPORARY, PARAMETERS, BEST_THEN] {
            let path = self.named(number, end);
            if let Err(error) = remove(&path) {
                tracing::debug!("{}: {error}", path.display());
            }
        }
    }

    fn list(&self, which: impl Fn(&str) -> Option<u64>) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.checkpoints())? {
            let entry = entry?;
            files.extend(entry.file_name().to_str().and_then(&which).map(|it| (it, entry.path())));
        }
        Ok(files)
    }
}

/// The content of a file, if its digest is that.
fn whole(path: &Path, digest: Digest) -> Result<Vec<u8>, StorageError> {
    let content = load(path).map_err(|error| match error {
        StorageError::Missing { path, .. } => StorageError::damaged(&path, "is missing"),
        other => other,
    })?;
    if Digest::of(&content) != digest {
        return Err(StorageError::damaged(path, "is damaged: it is not what was stored"));
    }
    Ok(content)
}

/// Deletes a file, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
