//! A disk that forgets at a crash what nobody has waited for.
//!
//! A file's content and a folder's entries are volatile until synced: a crash keeps any part of
//! them. The ledger is a transactional data base: a commit is there as a whole, or not at all.

use std::collections::BTreeMap;

use engine::{End, EpochSummary, State};
use protocol::LeaseId;

use crate::dice::Dice;

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Row {
    /// A lease has ended.
    Lease { lease: LeaseId, epoch: u32, samples: u64, in_epoch: bool, end: End },
    /// An epoch is complete.
    Epoch { epoch: u32, summary: EpochSummary },
}

/// What the ledger knows of a checkpoint.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    pub(crate) name: String,
    pub(crate) digest: u64,
    pub(crate) state: State,
    /// Rows of the ledger that it contains.
    pub(crate) rows: usize,
    /// The model's own copy of that moment.
    pub(crate) model: u64,
}

/// The data base.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) incarnation: u32,
    pub(crate) rows: Vec<Row>,
    /// Oldest first.
    pub(crate) checkpoints: Vec<Checkpoint>,
}

#[derive(Debug, Default, Clone)]
struct File {
    content: Vec<u8>,
    durable: Vec<u8>,
}

/// The folder of checkpoints, and the ledger beside it.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) ledger: Ledger,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    names_durable: BTreeMap<String, usize>,
    /// Files that have rotted: not the store's fault.
    pub(crate) rotten: Vec<String>,
}

impl Disk {
    pub(crate) fn write(&mut self, name: &str, content: Vec<u8>) {
        self.files.push(File { content, durable: Vec::new() });
        self.names.insert(name.to_owned(), self.files.len() - 1);
    }

    pub(crate) fn sync_file(&mut self, name: &str) {
        if let Some(file) = self.names.get(name).and_then(|place| self.files.get_mut(*place)) {
            file.durable.clone_from(&file.content);
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(place) = self.names.remove(from) {
            self.names.insert(to.to_owned(), place);
        }
    }

    pub(crate) fn sync_folder(&mut self) {
        self.names_durable.clone_from(&self.names);
    }

    pub(crate) fn delete(&mut self, name: &str) {
        self.names.remove(name);
    }

    pub(crate) fn list(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(crate) fn read(&self, name: &str) -> Option<&[u8]> {
        self.names.get(name).and_then(|place| self.files.get(*place)).map(|file| &file.content[..])
    }

    /// Changes a bit of a file.
    pub(crate) fn rot(&mut self, name: &str, dice: &mut Dice) {
        let Some(file) = self.names.get(name).and_then(|place| self.files.get_mut(*place)) else {
            return;
        };
        let byte = dice.below(file.content.len() as u64) as usize;
        if let Some(byte) = file.content.get_mut(byte) {
            *byte ^= 1 << dice.below(8);
            file.durable.clone_from(&file.content);
            self.rotten.push(name.to_owned());
        }
    }

    /// The power fails: of what nobody has waited for, any part is there afterwards.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        let mut names: Vec<String> = self.names.keys().cloned().collect();
        names.extend(self.names_durable.keys().cloned());
        names.sort();
        names.dedup();
        let mut kept = BTreeMap::new();
        for name in names {
            let from = if dice.chance(0.5) { &self.names } else { &self.names_durable };
            if let Some(place) = from.get(&name) {
                kept.insert(name, *place);
            }
        }
        for file in self.files.iter_mut().filter(|file| file.content != file.durable) {
            match dice.below(3) {
                0 => file.content.clone_from(&file.durable),
                1 => file.content.truncate(dice.below(file.content.len() as u64) as usize),
                _ => {}
            }
            file.durable.clone_from(&file.content);
        }
        self.names_durable.clone_from(&kept);
        self.names = kept;
    }
}
