//! What was done to a run by those who control it: one line an act.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tokens::Bearer;

/// The file in the run folder.
pub const AUDIT: &str = "audit.jsonl";

/// Acts that are read back, the newest: the file has all.
const ACTS_READ: usize = 100;

/// Who did what, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// In RFC 3339, to the second.
    pub time: String,
    /// The role of who did it, or `command` for `herd token` on the coordinator's machine.
    pub by: String,
    /// The number of the token that allowed it.
    pub token: Option<u32>,
    /// What was done, for people.
    pub act: String,
}

/// Writes acts down.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

impl Audit {
    /// That of the run in this folder.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self { path: folder.join(AUDIT) }
    }

    /// Writes an act down, of a bearer or, without one, of a command on this machine. An act that
    /// cannot be written down is done all the same, with a warning.
    pub fn note(&self, by: Option<Bearer>, act: &str) {
        let act = Act {
            time: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            by: by.map_or("command", |bearer| bearer.role.name()).to_owned(),
            token: by.map(|bearer| bearer.id),
            act: act.to_owned(),
        };
        if let Err(error) = self.append(&act) {
            tracing::warn!("{}: an act is not written down: {error}", self.path.display());
        }
    }

    fn append(&self, act: &Act) -> io::Result<()> {
        let mut line = serde_json::to_string(act)?;
        line.push('\n');
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path)?;
        // One write a line, at the end whoever else writes: lines do not mix.
        file.write_all(line.as_bytes())
    }

    /// The newest acts, oldest first; lines that are none are passed over.
    #[must_use]
    pub fn read(&self) -> Vec<Act> {
        // Without the file nobody has done anything.
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let mut acts: Vec<Act> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        acts.drain(..acts.len().saturating_sub(ACTS_READ));
        acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Role;

    #[test]
    fn acts_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::of(folder.path());
        assert_eq!(audit.read(), []);
        audit.note(Some(Bearer { id: 3, role: Role::Admin }), "paused the run");
        fs::write(folder.path().join(AUDIT), {
            let mut text = fs::read_to_string(folder.path().join(AUDIT)).unwrap();
            text.push_str("{\"half of a line\n");
            text
        })
        .unwrap();
        audit.note(None, "made token 4");
        let acts = audit.read();
        let words: Vec<_> =
            acts.iter().map(|act| (act.by.as_str(), act.token, act.act.as_str())).collect();
        assert_eq!(
            words,
            [("admin", Some(3), "paused the run"), ("command", None, "made token 4")]
        );
        assert!(acts.iter().all(|act| act.time.parse::<Timestamp>().is_ok()));
        for number in 0..ACTS_READ {
            audit.note(None, &number.to_string());
        }
        let acts = audit.read();
        assert_eq!((acts.len(), acts[0].act.as_str()), (ACTS_READ, "0"));
        // A folder that is gone costs the line, not the act.
        Audit::of(&folder.path().join("gone")).note(None, "nothing");
    }
}
