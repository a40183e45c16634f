//! The runs beside the one that goes on, for whoever controls it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::entry::{Entry, name};
use super::state::State;
use crate::storage::{CONFIG, METRICS};

/// Runs that are listed: each costs a look into its ledger.
const RUNS_MAX: usize = 200;

/// One run.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    /// Name of its folder.
    pub(super) run: String,
    /// Its job's name: that of the folder without the time.
    pub(super) name: String,
    state: State,
    /// In RFC 3339.
    started: Option<String>,
    epochs: usize,
    samples: u64,
    best: Option<Best>,
    current: bool,
}

/// What it has reached on validation samples.
#[derive(Debug, Serialize)]
struct Best {
    metric: &'static str,
    value: f64,
}

/// The runs in the folder of this one, newest first, at most 200.
#[must_use]
pub(crate) fn beside(run: &Path) -> Vec<Listed> {
    let whole = run.canonicalize().unwrap_or_else(|_| run.to_owned());
    let mut folders = whole.parent().map(folders).unwrap_or_default();
    // Its parent may not be read, or hold a thousand others.
    folders.retain(|(_, folder)| *folder != whole);
    folders.sort_unstable_by(|one, other| other.cmp(one));
    folders.truncate(RUNS_MAX - 1);
    let others = folders.iter().map(|(_, folder)| Entry::read(folder));
    let mut entries: Vec<(bool, Entry)> = vec![(true, Entry::read(&whole))];
    entries.extend(others.map(|entry| (false, entry)));
    entries.sort_by(|(_, one), (_, other)| other.cmp_age(one));
    entries.into_iter().map(|(current, entry)| listed(entry, current)).collect()
}

/// The folders of runs in a folder, with the time at which each began.
fn folders(parent: &Path) -> Vec<(Option<SystemTime>, PathBuf)> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| {
        // `latest` is a link to one that is here anyway.
        entry.file_type().is_ok_and(|kind| kind.is_dir())
    });
    folders
        .map(|entry| entry.path())
        .filter(|path| path.join(METRICS).is_file())
        .filter_map(|path| {
            let config = fs::metadata(path.join(CONFIG)).ok()?;
            Some((config.modified().ok(), path))
        })
        .collect()
}

fn listed(entry: Entry, current: bool) -> Listed {
    let best =
        [("accuracy", entry.best_accuracy), ("mae", entry.best_mae), ("loss", entry.best_loss)];
    let mut best = best.into_iter().filter_map(|(metric, value)| Some((metric, value?)));
    Listed {
        name: entry.job_name(),
        state: entry.state,
        started: entry.started.map(|time| time.to_string()),
        epochs: entry.epochs_complete,
        samples: entry.samples,
        best: best.next().map(|(metric, value)| Best { metric, value }),
        current,
        run: entry.run,
    }
}

/// A run's name, for files that leave it.
#[must_use]
pub(crate) fn file_name(run: &Path) -> String {
    let plain = |character: char| {
        let keeps = character.is_ascii_alphanumeric() || "._-".contains(character);
        if keeps { character } else { '_' }
    };
    let name: String = name(run).chars().take(100).map(plain).collect();
    if name.is_empty() { "run".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(file_name(Path::new("/a/2026-01-02T03-04-05_x")), "2026-01-02T03-04-05_x");
        assert_eq!(file_name(Path::new("/a/w\"\r\nö b")), "w_____b");
    }
}
