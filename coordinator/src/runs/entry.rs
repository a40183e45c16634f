//! A run in one line: what a list and a comparison say of it.

use std::cmp::Ordering;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use super::state::State;
use super::{job, metrics};
use crate::storage::{CONFIG, Glance, StorageError, plan_of};

/// Characters of the time in a run's name, as `2026-01-02T03-04-05`.
const TIME_LENGTH: usize = 19;

/// What is known of a stored run without reading all of its ledger.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Entry {
    /// Name of its folder.
    pub(super) run: String,
    /// The folder.
    pub(super) folder: PathBuf,
    /// First start of its coordinator; in JSON as RFC 3339.
    #[serde(serialize_with = "as_text")]
    pub(super) started: Option<Timestamp>,
    /// What can be done with it.
    pub(super) state: State,
    /// The process that trains it.
    pub(super) process: Option<u32>,
    /// Epochs with a line of metrics.
    pub(super) epochs_complete: usize,
    /// Epochs of the job.
    pub(super) epochs: Option<u32>,
    /// Samples merged up to the newest checkpoint, or the last epoch if that is newer.
    pub(super) samples: u64,
    /// Merges up to the newest checkpoint.
    pub(super) merges: u64,
    /// The epoch, from 1, that validated best.
    pub(super) best_epoch: Option<u32>,
    /// Its validation loss.
    pub(super) best_loss: Option<f64>,
    /// Its accuracy on validation samples, for classes.
    pub(super) best_accuracy: Option<f64>,
    /// Its mean absolute error on validation samples, for values.
    pub(super) best_mae: Option<f64>,
    /// Of the last epoch's training.
    pub(super) training_loss: Option<f64>,
    /// From the first lease to the last epoch's end.
    pub(super) seconds: Option<f64>,
    /// Trained values of its model.
    pub(super) parameters: Option<u64>,
    /// Why it is stopped, or what else cannot be read.
    pub(super) problem: Option<String>,
    /// To sort by: the start, else what the file system says.
    #[serde(skip)]
    age: Option<Timestamp>,
}

/// What is wanted of a line of metrics. What it lacks is missing here: the job decides what there is.
#[derive(Debug, Deserialize)]
struct Line {
    epoch: u32,
    seconds: Option<f64>,
    training_loss: Option<f64>,
    validation_loss: Option<f64>,
    validation_accuracy: Option<f64>,
    validation_mae: Option<f64>,
    samples: Option<u64>,
}

impl Entry {
    /// Looks at the run in `folder`. What cannot be read is missing, and named as the problem.
    pub(super) fn read(folder: &Path) -> Self {
        let mut problem = None;
        let glance = told(Glance::read(folder), &mut problem);
        let state = match &glance {
            Some(glance) => State::of(folder, glance.process, glance.checkpoint.as_ref()),
            None => State::Stopped,
        };
        let records = told(metrics::lines::<Line>(folder), &mut problem).unwrap_or_default();
        let job = told(job::read(folder), &mut problem);
        let plan = told(plan_of(folder), &mut problem);
        let started = glance.as_ref().and_then(|glance| glance.incarnations.first());
        let started = started.and_then(|start| start.started.parse().ok());
        let checkpoint = glance.as_ref().and_then(|glance| glance.checkpoint.as_ref());
        let evaluated = records.iter().filter_map(|record| record.samples).sum();
        // What the run itself has chosen; before its first checkpoint, what it would choose.
        let chosen = checkpoint.and_then(|record| record.best.as_ref());
        let chosen =
            chosen.and_then(|best| records.iter().find(|record| record.epoch == best.epoch));
        let loss = |record: &Line| record.validation_loss.unwrap_or(f64::INFINITY);
        let least = records.iter().filter(|record| loss(record).is_finite());
        let least = least.min_by(|one, other| loss(one).total_cmp(&loss(other)));
        let best = chosen.or(least);
        Self {
            run: name(folder),
            folder: folder.to_owned(),
            started,
            state,
            process: glance.as_ref().and_then(|glance| glance.process).filter(|id| *id > 0),
            epochs_complete: records.len(),
            epochs: job.as_ref().and_then(job::epochs),
            samples: checkpoint.map_or(0, |record| record.engine.merged_samples()).max(evaluated),
            merges: checkpoint.map_or(0, |record| record.engine.merges()),
            best_epoch: best.map(|record| record.epoch),
            best_loss: best.and_then(|record| record.validation_loss),
            best_accuracy: best.and_then(|record| record.validation_accuracy),
            best_mae: best.and_then(|record| record.validation_mae),
            training_loss: records.last().and_then(|record| record.training_loss),
            seconds: records.last().and_then(|record| record.seconds),
            parameters: plan.map(|plan| plan.parameters()),
            problem,
            age: started.or_else(|| modified(folder)),
        }
    }

    /// All runs in a folder of runs, newest first.
    pub(super) fn all(folder: &Path) -> Result<Vec<Self>, StorageError> {
        let failed = |error| StorageError::Read { path: folder.to_owned(), error };
        let entries: io::Result<Vec<_>> = fs::read_dir(folder).map_err(failed)?.collect();
        let mut runs: Vec<Self> = entries
            .map_err(failed)?
            .into_iter()
            // `latest` is a link to one that is here anyway.
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .filter(|path| path.join(CONFIG).is_file())
            .map(|path| Self::read(&path))
            .collect();
        runs.sort_by(|one, other| other.cmp_age(one));
        Ok(runs)
    }

    /// The older one is less.
    pub(super) fn cmp_age(&self, other: &Self) -> Ordering {
        (self.age, &self.run).cmp(&(other.age, &other.run))
    }

    /// The name of its job: that of its folder without the time, if there is one.
    pub(super) fn job_name(&self) -> String {
        let (time, name) = self.run.split_once('_').unwrap_or_default();
        let is_time = time.len() == TIME_LENGTH && time.starts_with(|c: char| c.is_ascii_digit());
        if is_time { name.to_owned() } else { self.run.clone() }
    }

    /// `3/20`.
    pub(super) fn epochs_text(&self) -> String {
        let of = self.epochs.map(|epochs| format!("/{epochs}")).unwrap_or_default();
        format!("{}{of}", self.epochs_complete)
    }

    /// The start to the minute, in UTC.
    pub(super) fn started_text(&self) -> String {
        let minute = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M").to_string();
        self.started.map_or_else(missing, minute)
    }
}

fn as_text<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

/// What stands where there is nothing.
pub(super) fn missing() -> String {
    "-".to_owned()
}

/// The name of a run: that of its folder. `latest` is a link; its target has the name.
pub(crate) fn name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
}

/// The first problem is kept: the others mostly follow from it.
fn told<T, E: Into<anyhow::Error>>(
    result: Result<T, E>,
    problem: &mut Option<String>,
) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            problem.get_or_insert_with(|| format!("{:#}", error.into()));
            None
        }
    }
}

fn modified(folder: &Path) -> Option<Timestamp> {
    fs::metadata(folder).and_then(|metadata| metadata.modified()).ok()?.try_into().ok()
}
