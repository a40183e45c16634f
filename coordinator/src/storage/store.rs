//! The store of a run: its ledger and its checkpoints, written in an order that survives a crash
//! between any two steps ([`engine::checkpoint::Step`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use engine::checkpoint::Step;
use protocol::{Digest, TensorTable};

use super::StorageError;
use super::checkpoint::{Checkpoint, Loaded};
use super::database::{Database, LEDGER};
use super::file::{Content, MOMENTUM};
use super::files::Files;
use super::folder::{METRICS, sync_folder};
use super::lock::RunLock;
use super::tokens::TokenRow;

/// Only for tests of Herd: so many milliseconds are waited after each step of storing, so that a
/// test can end the process inside of a checkpoint.
const TEST_PAUSE: &str = "HERD_TEST_CHECKPOINT_PAUSE_MS";

/// The store of one run, for the one coordinator that trains it.
#[derive(Debug)]
pub struct Store {
    files: Files,
    database: Database,
    // Released last: until then nobody else may write.
    _lock: RunLock,
}

/// A checkpoint on its way to the disk.
struct Saving<'a> {
    number: u64,
    /// The checkpoint before; what is older is not needed any more.
    previous: u64,
    checkpoint: &'a Checkpoint,
    content: Content<'a>,
    file: Option<File>,
    best: Option<Digest>,
}

impl Store {
    /// Makes the store of a new run in its folder.
    ///
    /// # Errors
    /// When there is one already, another process has the lock, or the folder cannot be written.
    pub fn create(folder: &Path) -> Result<Self, StorageError> {
        let lock = RunLock::take(folder)?;
        if folder.join(LEDGER).exists() {
            return Err(StorageError::Taken { path: folder.to_owned() });
        }
        let files = Files::create(folder)?;
        let database = Database::create(folder)?;
        sync_folder(folder).map_err(|error| files.failed(folder, error))?;
        Ok(Self { files, database, _lock: lock })
    }

    /// Opens the store of a run that is to go on.
    ///
    /// # Errors
    /// When there is none, it is damaged or of a newer Herd, or another process has the lock.
    pub fn open(folder: &Path) -> Result<Self, StorageError> {
        // Before the lock, whose file would be left behind in a folder of something else.
        drop(Database::open_to_look(folder)?);
        let lock = RunLock::take(folder)?;
        Ok(Self { database: Database::open(folder)?, files: Files::create(folder)?, _lock: lock })
    }

    /// Commits a new start of the coordinator with the tokens that it makes, and says its number: 1,
    /// 2, ..., and theirs. To be called before anything listens to workers.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(
        &mut self,
        address: SocketAddr,
        tokens: &[TokenRow],
    ) -> Result<(u32, Vec<u32>), StorageError> {
        self.database.begin(address, tokens)
    }

    /// Stores how this start is reached, for who makes links.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn reached_at(&mut self, place: &str) -> Result<(), StorageError> {
        self.database.reached_at(place)
    }

    /// The address of the last start.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn address(&self) -> Result<Option<SocketAddr>, StorageError> {
        let last = self.database.incarnations()?.pop();
        Ok(last.and_then(|start| start.address.parse().ok()))
    }

    /// Stores a checkpoint and says its number. `momentum` may be empty. With a best model in it,
    /// `best.safetensors` must be that model, and stay so until this returns. When this fails, the
    /// checkpoint before is still what [`Self::load`] finds.
    ///
    /// # Errors
    /// When it cannot be written, or the values are not those of the table.
    pub fn save(
        &mut self,
        checkpoint: &Checkpoint,
        table: &TensorTable,
        values: &[f32],
        momentum: &[f32],
    ) -> Result<u64, StorageError> {
        let pause = std::env::var(TEST_PAUSE).ok().and_then(|text| text.parse().ok());
        self.save_with(checkpoint, table, [values, momentum], |step| {
            if let Some(pause) = pause {
                tracing::debug!("checkpoint: {step:?} is done; waiting for {pause} ms");
                thread::sleep(Duration::from_millis(pause));
            }
        })
    }

    /// [`Self::save`], with something to do after each step.
    pub(super) fn save_with(
        &mut self,
        checkpoint: &Checkpoint,
        table: &TensorTable,
        [values, momentum]: [&[f32]; 2],
        mut after: impl FnMut(Step),
    ) -> Result<u64, StorageError> {
        let previous = self.database.checkpoints()?.first().copied().unwrap_or(0);
        let number = previous + 1;
        let path = self.files.parameters(number);
        let metadata = [
            ("herd.checkpoint", number.to_string()),
            ("herd.version", checkpoint.version.to_string()),
            ("herd.merges", checkpoint.engine.merges().to_string()),
        ];
        let mut parts = vec![("", values)];
        if !momentum.is_empty() {
            parts.push((MOMENTUM, momentum));
        }
        let content = Content::new(&path, table, parts, &metadata)?;
        let mut saving = Saving { number, previous, checkpoint, content, file: None, best: None };
        for step in Step::ALL {
            if let Err(error) = self.take(step, &mut saving) {
                // From the commit on nobody can tell whether the ledger names the files.
                if step != Step::Commit {
                    self.files.discard(number);
                }
                return Err(error);
            }
            after(step);
        }
        Ok(number)
    }

    fn take(&mut self, step: Step, saving: &mut Saving<'_>) -> Result<(), StorageError> {
        let Saving { number, previous, checkpoint, .. } = *saving;
        let (path, temporary) = (self.files.parameters(number), self.files.temporary(number));
        match step {
            Step::Write => {
                let written = File::create(&temporary).and_then(|mut file| {
                    for piece in saving.content.pieces() {
                        file.write_all(piece)?;
                    }
                    Ok(file)
                });
                saving.file = Some(written.map_err(|error| self.files.failed(&temporary, error))?);
            }
            Step::SyncFile => {
                if let Some(file) = saving.file.take() {
                    file.sync_all().map_err(|error| self.files.failed(&temporary, error))?;
                }
                // The checkpoint says how long they are.
                let metrics = self.files.folder().join(METRICS);
                sync_if_there(&metrics).map_err(|error| self.files.failed(&metrics, error))?;
            }
            Step::Rename => {
                fs::rename(&temporary, &path).map_err(|error| self.files.failed(&path, error))?;
                if checkpoint.best.is_some() {
                    saving.best = Some(self.files.keep_best(number)?);
                }
            }
            Step::SyncFolder => self.files.sync()?,
            Step::Commit => {
                let digest = saving.content.digest();
                self.database.commit(number, previous, checkpoint, digest, saving.best)?;
            }
            Step::DeleteOld => self.files.delete(|other| other < previous || other > number),
        }
        Ok(())
    }

    /// The newest checkpoint that is whole; `None` when the run has none yet. What is newer and
    /// damaged is named in the warnings and forgotten, and `best.safetensors` is as it was then.
    ///
    /// # Errors
    /// When no checkpoint is whole, or something cannot be read or written.
    pub fn load(&mut self, table: &TensorTable) -> Result<Option<Loaded>, StorageError> {
        let known = self.database.checkpoints()?;
        let newest = known.first().copied().unwrap_or(0);
        let mut warnings = self.strangers(newest)?;
        let mut found = None;
        for number in known.iter().copied() {
            match self.read(number, table) {
                Ok(loaded) => {
                    found = Some(loaded);
                    break;
                }
                Err(error) if error.is_damage() => warnings.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let Some(mut loaded) = found else {
            if !known.is_empty() {
                let problem = format!(
                    "no checkpoint of this run can be loaded: {}; put back a copy of the run folder, \
                     or start a new run",
                    warnings.join("; ")
                );
                return Err(StorageError::damaged(self.files.folder(), problem));
            }
            self.files.restore_best(0, None)?;
            self.files.delete(|_| true);
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            return Ok(None);
        };
        let number = loaded.record.number;
        if number < newest {
            self.database.forget_after(number)?;
            warnings.push(format!(
                "checkpoint {number} is used instead of checkpoint {newest}; what was merged between \
                 them is trained again"
            ));
        }
        self.files.restore_best(number, loaded.record.best_digest)?;
        self.files.delete(|other| other > number || !known.contains(&other));
        loaded.warnings = warnings;
        Ok(Some(loaded))
    }

    /// Files of checkpoints that the ledger does not know yet. A stop in the middle of storing
    /// leaves those of one.
    fn strangers(&self, newest: u64) -> Result<Vec<String>, StorageError> {
        let numbers = self.files.numbers()?;
        let Some(last) = numbers.last().copied().filter(|last| *last > newest) else {
            return Ok(Vec::new());
        };
        let path = self.files.parameters(last);
        if last > newest + 1 {
            let problem = format!(
                "is a checkpoint that {LEDGER} does not know, and its last one is {newest}: parts of \
                 the ledger are missing; put back {LEDGER} with {LEDGER}-wal, or start a new run from \
                 this file with --init"
            );
            return Err(StorageError::run(&path, problem));
        }
        Ok(vec![format!(
            "{}: the coordinator ended while it stored this checkpoint; it is not used",
            path.display()
        )])
    }

    fn read(&self, number: u64, table: &TensorTable) -> Result<Loaded, StorageError> {
        let record = self.database.record(number)?;
        let (values, momentum) = self.files.read(number, record.digest, table)?;
        if let Some(digest) = record.best_digest {
            self.files.check_best(number, digest)?;
        }
        Ok(Loaded {
            record,
            workers: self.database.workers(number)?,
            values,
            momentum,
            warnings: Vec::new(),
        })
    }

    /// The run folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.files.folder()
    }
}

fn sync_if_there(path: &Path) -> io::Result<()> {
    match OpenOptions::new().append(true).open(path) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
