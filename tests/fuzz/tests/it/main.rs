//! Every target stands its corpus, and what comes of it by cheap changes.
//!
//! - `smoke`: the corpus, every truncation, some thousand seeded mutations
//! - `seeds`: the files `seed-*` of the corpus, made by Herd's own encoders
//! - `examples`: hand-written texts and event sequences for them
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod examples;
mod seeds;
mod smoke;

use std::fs;
use std::path::PathBuf;

use fuzz::Target;

/// An input with the file that it was read from.
struct Entry {
    path: PathBuf,
    content: Vec<u8>,
}

/// The committed inputs of a target, in the order of their names.
fn corpus(target: Target) -> Vec<Entry> {
    let folder = target.corpus();
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| Entry { content: fs::read(&path).unwrap(), path };
    paths.into_iter().map(read).collect()
}
