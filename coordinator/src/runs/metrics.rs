//! The metrics of a stored run, an epoch a line.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::cli::Failure;
use crate::storage::METRICS;

/// Reads all lines, as far as the caller wants to know them.
pub(crate) fn lines<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>, Failure> {
    let path = folder.join(METRICS);
    let text = fs::read_to_string(&path)
        .map_err(|error| Failure::Data(format!("{}: cannot be read: {error}", path.display())))?;
    let line = |(index, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            Failure::Data(format!("{}, line {}: {error}", path.display(), index + 1))
        })
    };
    text.lines().enumerate().map(line).collect()
}
