//! One coordinator at a time trains a run.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::StorageError;

/// The lock's file in the run folder. It stays there: only the lock on it counts.
pub(super) const LOCK: &str = "run.lock";

/// Who only looks holds the lock for a moment: so often it is tried ...
const TRIES: u32 = 10;
/// ... with pauses of this length.
const PAUSE: Duration = Duration::from_millis(20);

/// The right to train a run, exclusive while it lives. The operating system takes it back when the
/// process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    /// Locked until it is closed.
    _file: File,
}

impl RunLock {
    /// Takes the lock of a run folder.
    ///
    /// # Errors
    /// When another process has it, or the folder cannot be written.
    pub fn take(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join(LOCK);
        let failed = |error| StorageError::write(&path, error);
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => {
                    file.set_len(0).map_err(failed)?;
                    file.rewind().map_err(failed)?;
                    // For the sentence that refuses another one.
                    writeln!(file, "{}", std::process::id()).map_err(failed)?;
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        Err(StorageError::Locked { path: folder.to_owned(), process: process_in(&mut file) })
    }

    /// Whether a coordinator trains the run now, and the number of its process, `0` if that cannot
    /// be told.
    #[must_use]
    pub fn holder(folder: &Path) -> Option<u32> {
        let mut file = File::open(folder.join(LOCK)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(process_in(&mut file)),
            _ => None,
        }
    }
}

/// The process that wrote its number into the file.
fn process_in(file: &mut File) -> u32 {
    let mut text = String::new();
    // Where locks keep readers out, the number stays unknown.
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut text));
    read.ok().and_then(|_| text.trim().parse().ok()).unwrap_or(0)
}
