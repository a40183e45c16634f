//! `--tensorboard`: event files that TensorBoard shows, while the run goes on and after.
//!
//! The folder has three runs in TensorBoard's sense, so that curves of one name share a chart:
//! - `train`: loss, learning rate and speed of each epoch
//! - `validation`: loss, and accuracy or mean absolute error, of each epoch
//! - `fleet`: workers and speed by second of training
//!
//! A thread of its own writes, as the control task must not wait for a disk. Each event is in the file
//! when it is written. A run that goes on begins new files, which say from where on they count.

mod event;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use engine::Status;

use crate::cli::Failure;
use crate::run::{Display, EpochRecord, Tally, finite};
use crate::storage::{CURVES, EVENTS, TENSORBOARD};
use event::What;

/// Seconds of training between two events of the fleet.
const FLEET_SECONDS: u64 = 2;

/// Events that may wait for a slow disk; what comes then is left out.
const WAITING_MAX: usize = 1024;

const TRAIN: &str = CURVES[0];
const VALIDATION: &str = CURVES[1];
const FLEET: &str = CURVES[2];

/// Looks at the flag before anything starts.
///
/// # Errors
/// When its folder can be none.
pub(crate) fn check(flag: Option<&Option<PathBuf>>) -> Result<(), Failure> {
    let Some(Some(given)) = flag else { return Ok(()) };
    if given.is_file() || given.extension().is_some_and(|end| end == "toml") {
        return Err(Failure::Usage(format!(
            "--tensorboard {}: this is no folder; a job file goes before the flags: herd train \
             JOB.toml --tensorboard",
            given.display()
        )));
    }
    Ok(())
}

/// Where to write, as the user says it: the flag, with or without a folder.
///
/// # Errors
/// When the folder cannot be made.
pub(crate) fn folder(
    flag: Option<&Option<PathBuf>>,
    run: &Path,
) -> Result<Option<PathBuf>, Failure> {
    let own = run.join(TENSORBOARD);
    let folder = match flag {
        Some(Some(given)) => given.clone(),
        Some(None) => own,
        // A run that goes on goes on with this too.
        None if own.is_dir() => own,
        None => return Ok(None),
    };
    fs::create_dir_all(&folder).map_err(|error| {
        let shown = folder.display();
        Failure::Data(format!(
            "{shown}: cannot be made: {error}; choose another folder with --tensorboard DIR"
        ))
    })?;
    Ok(Some(folder))
}

/// One event on its way to a file.
#[derive(Debug)]
struct Entry {
    run: &'static str,
    step: u64,
    wall_time: f64,
    values: Vec<(&'static str, f64)>,
}

/// Passes everything on to another display, and tells the files.
pub(crate) struct TensorBoard {
    shown: Box<dyn Display>,
    /// Dropped first: then the thread ends.
    entries: Option<SyncSender<Entry>>,
    thread: Option<JoinHandle<()>>,
    learning_rate: Option<f64>,
    /// Seconds of training at the end of the epoch before.
    epoch_ended: f64,
    /// Seconds of training and merged samples at the last event of the fleet.
    fleet: Option<(u64, u64)>,
}

impl TensorBoard {
    /// Writes into `folder` in the coordinator's start of this number, after these epochs.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        folder: PathBuf,
        incarnation: u32,
        before: Option<&EpochRecord>,
        shown: Box<dyn Display>,
    ) -> io::Result<Self> {
        let (entries, queue) = sync_channel(WAITING_MAX);
        let files = Files { folder, incarnation, open: HashMap::new() };
        let name = "herd-tensorboard".to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || files.write_all(queue))?;
        Ok(Self {
            shown,
            entries: Some(entries),
            thread: Some(thread),
            learning_rate: None,
            epoch_ended: before.map_or(0.0, |before| before.seconds),
            fleet: None,
        })
    }

    fn tell(&self, run: &'static str, step: u64, values: &[(&'static str, Option<f64>)]) {
        let known = |(tag, value): &(&'static str, Option<f64>)| Some((*tag, (*value)?));
        let values: Vec<_> = values.iter().filter_map(known).collect();
        if let Some(entries) = self.entries.as_ref().filter(|_| !values.is_empty()) {
            let wall_time = jiff::Timestamp::now().as_microsecond() as f64 / 1e6;
            // A full queue is a disk that is too slow, a closed one an error that was told.
            let _ = entries.try_send(Entry { run, step, wall_time, values });
        }
    }
}

impl Display for TensorBoard {
    fn say(&mut self, line: &str) {
        self.shown.say(line);
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: u32) {
        let seconds = record.seconds - self.epoch_ended;
        self.epoch_ended = record.seconds;
        let speed = record.counts.samples as f64 / seconds;
        let step = record.epoch.into();
        let of_training = [
            ("epoch_loss", record.training_loss),
            ("epoch_accuracy", record.training_accuracy),
            ("epoch_mae", record.training_mae),
            ("epoch_learning_rate", self.learning_rate),
            ("epoch_samples_per_second", finite(speed)),
        ];
        self.tell(TRAIN, step, &of_training);
        let of_validation = [
            ("epoch_loss", record.validation_loss),
            ("epoch_accuracy", record.validation_accuracy),
            ("epoch_mae", record.validation_mae),
        ];
        self.tell(VALIDATION, step, &of_validation);
        self.shown.epoch(record, epochs);
    }

    fn status(&mut self, status: &Status, tally: &Tally) {
        self.learning_rate = Some(status.learning_rate);
        let seconds = tally.history().seconds();
        let due = self.fleet.is_none_or(|(last, _)| seconds >= last + FLEET_SECONDS);
        if due && tally.has_leased() {
            let speed = self.fleet.map(|(last, samples)| {
                let merged = status.merged_samples.saturating_sub(samples);
                merged as f64 / (seconds - last) as f64
            });
            self.fleet = Some((seconds, status.merged_samples));
            let workers = tally.history().workers() as f64;
            let values = [("workers", Some(workers)), ("samples_per_second", speed)];
            self.tell(FLEET, seconds, &values);
        }
        self.shown.status(status, tally);
    }
}

impl Drop for TensorBoard {
    fn drop(&mut self) {
        self.entries = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has said itself.
            let _ = thread.join();
        }
    }
}

/// The files of one start of the coordinator.
struct Files {
    folder: PathBuf,
    incarnation: u32,
    open: HashMap<&'static str, File>,
}

impl Files {
    fn write_all(mut self, queue: Receiver<Entry>) {
        for entry in queue {
            if let Err(error) = self.write(&entry) {
                let folder = self.folder.display();
                tracing::warn!(
                    "{folder}: cannot be written: {error}; training goes on without TensorBoard"
                );
                return;
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let Entry { run, step, wall_time, values } = entry;
        let mut bytes = Vec::new();
        let file = match self.open.get_mut(run) {
            Some(file) => file,
            None => {
                bytes.extend(event::record(*wall_time, 0, What::FileVersion));
                bytes.extend(event::record(*wall_time, *step, What::Start));
                let file = self.create(run, *wall_time)?;
                self.open.entry(run).or_insert(file)
            }
        };
        bytes.extend(event::record(*wall_time, *step, What::Scalars(values)));
        // One write an event: a reader never sees half of one for long.
        file.write_all(&bytes)
    }

    /// TensorBoard reads a folder's files in the order of their names.
    fn create(&self, run: &str, wall_time: f64) -> io::Result<File> {
        let folder = self.folder.join(run);
        fs::create_dir_all(&folder)?;
        let (seconds, incarnation) = (wall_time as u64, self.incarnation);
        File::create(folder.join(format!("{EVENTS}{seconds:010}.herd.{incarnation:06}")))
    }
}
