//! The run folder: resolved configuration, spec, metrics, final and best model.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use model::{Plan, Spec};
use serde::Serialize;

use super::StorageError;
use super::database::LEDGER;
use super::file::{write_model, write_model_beside};
use crate::config::Job;
use crate::data::Names;

/// The resolved job; its presence marks a folder that holds a run.
pub const CONFIG: &str = "config.toml";
/// The model's spec.
pub(super) const SPEC: &str = "spec.json";
/// One JSON object a line.
pub const METRICS: &str = "metrics.jsonl";
/// The model after the last epoch.
pub const FINAL: &str = "final.safetensors";
/// The model of the epoch that validated best.
pub const BEST: &str = "best.safetensors";
/// The run on one page.
pub const REPORT: &str = "report.html";
/// The certificate that a run has made for itself.
pub const TLS_CERTIFICATE: &str = "tls-cert.pem";
/// Its private key, which only its owner may read.
pub const TLS_KEY: &str = "tls-key.pem";
/// The folder for TensorBoard.
pub const TENSORBOARD: &str = "tensorboard";
/// The folders in it, one for each group of curves.
pub const CURVES: [&str; 3] = ["train", "validation", "fleet"];
/// How the names of TensorBoard's files begin.
pub const EVENTS: &str = "events.out.tfevents.";
/// Where runs without a folder of their own go.
pub const RUNS: &str = "runs";
/// Beside them, a link to the newest.
pub const LATEST: &str = "latest";

/// Most runs of one name that may begin within one second.
const SAME_SECOND_MAX: u32 = 100;

/// The folder of one run, open for writing.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    metrics: File,
}

impl RunFolder {
    /// Makes the job's folder, with configuration and spec in it.
    ///
    /// # Errors
    /// When it holds a run already, or cannot be written.
    pub fn create(job: &Job) -> Result<Self, StorageError> {
        match &job.run_dir {
            Some(path) => Self::create_at(path.clone(), job),
            None => Self::create_in(Path::new(RUNS), job),
        }
    }

    /// Makes a folder named by time and job in `parent`, and points `latest` at it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create_in(parent: &Path, job: &Job) -> Result<Self, StorageError> {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S").to_string();
        fs::create_dir_all(parent).map_err(|error| StorageError::write(parent, error))?;
        for number in 1..=SAME_SECOND_MAX {
            let suffix = if number == 1 { String::new() } else { format!("-{number}") };
            let name = format!("{time}_{}{suffix}", job.name);
            let path = parent.join(&name);
            // Only the process that makes the folder owns it.
            match make(&path) {
                Ok(()) => {
                    let folder = Self::create_at(path, job)?;
                    point_latest(parent, &name);
                    return Ok(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(StorageError::write(&path, error)),
            }
        }
        Err(StorageError::Taken { path: parent.join(format!("{time}_{}", job.name)) })
    }

    fn create_at(path: PathBuf, job: &Job) -> Result<Self, StorageError> {
        let made = match make(&path) {
            Err(_) if path.is_dir() => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = path.parent().unwrap_or(Path::new(""));
                fs::create_dir_all(parent).and_then(|()| make(&path))
            }
            made => made,
        };
        made.map_err(|error| StorageError::write(&path, error))?;
        if [CONFIG, METRICS, FINAL, BEST, LEDGER].iter().any(|name| path.join(name).exists()) {
            return Err(StorageError::Taken { path });
        }
        // The folder is where the run happened to be stored, no part of how to repeat it.
        let repeatable = Job { run_dir: None, ..job.clone() };
        write_whole(&path.join(SPEC), [job.model.to_json().as_bytes()])?;
        let metrics_path = path.join(METRICS);
        let metrics = File::create_new(&metrics_path)
            .map_err(|error| StorageError::write(&metrics_path, error))?;
        write_whole(&path.join(CONFIG), [repeatable.to_toml().as_bytes()])?;
        Ok(Self { path, metrics })
    }

    /// Writes the model as it is trained, where that is more than the job says.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_spec(&self, spec: &Spec) -> Result<(), StorageError> {
        write_whole(&self.path.join(SPEC), [spec.to_json().as_bytes()])
    }

    /// Opens the folder of a run that goes on from a checkpoint, and cuts its metrics to the
    /// length that they had then.
    ///
    /// # Errors
    /// When the metrics are missing or shorter than that, or cannot be written.
    pub fn reopen(path: &Path, metrics_bytes: u64) -> Result<Self, StorageError> {
        let metrics_path = path.join(METRICS);
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => StorageError::run(
                &metrics_path,
                "is missing, and the run cannot go on without it; put it back",
            ),
            _ => StorageError::write(&metrics_path, error),
        };
        let mut metrics = OpenOptions::new().write(true).open(&metrics_path).map_err(failed)?;
        let length = metrics.metadata().map_err(failed)?.len();
        if length < metrics_bytes {
            let problem = format!(
                "has {length} bytes, and had {metrics_bytes} when the checkpoint was stored; put \
                 the file back as it was"
            );
            return Err(StorageError::run(&metrics_path, problem));
        }
        metrics.set_len(metrics_bytes).map_err(failed)?;
        metrics.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), metrics })
    }

    /// Length of the metrics so far, in bytes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn metrics_bytes(&self) -> Result<u64, StorageError> {
        let path = || self.path.join(METRICS);
        let metadata = self.metrics.metadata();
        Ok(metadata.map_err(|error| StorageError::Read { path: path(), error })?.len())
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line to the metrics; it is in the file when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_metrics(&mut self, line: &impl Serialize) -> Result<(), StorageError> {
        let path = self.path.join(METRICS);
        let failed = |error: io::Error| StorageError::write(&path, error);
        let mut text = serde_json::to_string(line).map_err(|error| failed(error.into()))?;
        text.push('\n');
        // One write a line: a reader never sees half of one.
        self.metrics.write_all(text.as_bytes()).map_err(failed)
    }

    /// Writes the model after the last epoch and says where.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_final(
        &self,
        plan: &Plan,
        names: &Names,
        parameters: &[f32],
    ) -> Result<PathBuf, StorageError> {
        let path = self.path.join(FINAL);
        write_model(&path, plan, names, parameters)?;
        Ok(path)
    }

    /// Writes a model that may turn out to be the best so far. It is none before
    /// [`Self::keep_candidate`], and gives way to the next candidate.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_candidate(
        &self,
        plan: &Plan,
        names: &Names,
        parameters: &[f32],
    ) -> Result<(), StorageError> {
        write_model_beside(&self.path.join(BEST), plan, names, parameters).map(drop)
    }

    /// The candidate is the best model so far, in place of an earlier one. Says where it is.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn keep_candidate(&self) -> Result<PathBuf, StorageError> {
        let path = self.path.join(BEST);
        let file = File::open(beside(&path)).map_err(|error| StorageError::write(&path, error))?;
        put_in_place(&path, &file)?;
        Ok(path)
    }

    /// There is no use for a candidate any more.
    pub fn forget_candidate(&self) {
        // Mostly the last one was kept, and there is none.
        let _ = fs::remove_file(beside(&self.path.join(BEST)));
    }
}

/// Makes a folder that only its owner looks into: identities of workers and hashes of tokens are in a
/// run's. A folder that is there keeps the permissions that it has.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The model that a run trains.
///
/// # Errors
/// When its spec cannot be read.
pub fn plan_of(folder: &Path) -> Result<Plan, StorageError> {
    let path = folder.join(SPEC);
    let text = fs::read_to_string(&path)
        .map_err(|error| StorageError::Read { path: path.clone(), error })?;
    let spec =
        Spec::from_json(&text).map_err(|error| StorageError::model(&path, error.to_string()))?;
    Plan::new(&spec).map_err(|error| StorageError::model(&path, error.to_string()))
}

/// Points `latest` at the newest run. A convenience: where links are not to be had, there is none.
pub fn point_latest(parent: &Path, name: &str) {
    #[cfg(unix)]
    {
        let temporary = parent.join(format!(".{LATEST}.{}", std::process::id()));
        let linked = std::os::unix::fs::symlink(name, &temporary)
            .and_then(|()| fs::rename(&temporary, parent.join(LATEST)));
        if let Err(error) = linked {
            tracing::warn!("{}: no link to the newest run: {error}", parent.join(LATEST).display());
        }
    }
    #[cfg(not(unix))]
    let _ = (parent, name);
}

/// Writes a file so that after a crash there is the old content or the new, never a part.
pub(crate) fn write_whole<'a>(
    path: &Path,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(), StorageError> {
    let file = write_beside(path, pieces)?;
    put_in_place(path, &file)
}

/// Writes the first half of [`write_whole`]: what is to be in a file, beside it.
pub(super) fn write_beside<'a>(
    path: &Path,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<File, StorageError> {
    let failed = |error: io::Error| StorageError::write(path, error);
    let mut file = File::create(beside(path)).map_err(failed)?;
    for piece in pieces {
        file.write_all(piece).map_err(failed)?;
    }
    Ok(file)
}

fn put_in_place(path: &Path, written: &File) -> Result<(), StorageError> {
    let failed = |error: io::Error| StorageError::write(path, error);
    written.sync_all().map_err(failed)?;
    fs::rename(beside(path), path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new("."))).map_err(failed)
}

/// Where a file is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("tmp")
}

/// Waits until the names in a folder are on the disk: only then a rename lasts.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
