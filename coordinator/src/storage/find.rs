//! What a user means by RUN or MODEL: a run folder, `latest`, or a model file.

use std::path::{Path, PathBuf};

use super::StorageError;
use super::folder::{BEST, CONFIG, FINAL, RUNS};

/// The model in a folder that `herd runs export` has made.
pub const EXPORTED_MODEL: &str = "model.safetensors";
/// The job beside it.
pub const EXPORTED_JOB: &str = "job.toml";

/// A model, and the run that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The model file.
    pub model: PathBuf,
    /// The resolved job beside it, if there is one.
    pub config: Option<PathBuf>,
}

/// Finds the model that `name` means: a file, or a folder's best model, else its final one, else the
/// one that was exported to it. What is not in the current folder is looked for in `runs`, so that
/// `latest` is the newest run.
///
/// # Errors
/// When there is none.
pub fn find(name: &Path) -> Result<Found, StorageError> {
    let path = here_or_in_runs(name);
    let missing =
        |problem: &str| StorageError::Missing { path: path.clone(), problem: problem.to_owned() };
    if !path.exists() {
        return Err(missing(
            "there is no such run or model file; give a run folder, a .safetensors file, or `latest`",
        ));
    }
    let (model, folder) = if path.is_dir() {
        let models = [BEST, FINAL, EXPORTED_MODEL].map(|name| path.join(name));
        let model = models.into_iter().find(|model| model.is_file()).ok_or_else(|| {
            missing("there is no model in this folder; did the run finish its first epoch?")
        })?;
        (model, path.clone())
    } else {
        (path.clone(), path.parent().unwrap_or(Path::new("")).to_owned())
    };
    let jobs = [CONFIG, EXPORTED_JOB].map(|name| folder.join(name));
    let config = jobs.into_iter().find(|config| config.is_file());
    Ok(Found { model, config })
}

/// Finds the folder of the run that `name` means, as [`find`] does.
///
/// # Errors
/// When there is none, or it holds no run.
pub fn find_run(name: &Path) -> Result<PathBuf, StorageError> {
    let path = here_or_in_runs(name);
    let missing =
        |problem: &str| StorageError::Missing { path: path.clone(), problem: problem.into() };
    if !path.is_dir() {
        return Err(missing("there is no such run; give a run folder or `latest`"));
    }
    if !path.join(CONFIG).is_file() {
        return Err(missing("there is no run in this folder; give a run folder or `latest`"));
    }
    Ok(path)
}

fn here_or_in_runs(name: &Path) -> PathBuf {
    let in_runs = Path::new(RUNS).join(name);
    if name.exists() || !in_runs.exists() { name.to_owned() } else { in_runs }
}
