//! Whether the ledger, the checkpoint and the metrics tell the same, and each sample of each
//! complete epoch is counted exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use engine::EpochSummary;
use serde::Deserialize;

use super::counts::Tables;
use crate::storage::{METRICS, Record, StorageError};

/// The lines of metrics that are compared; the others are of the shell.
#[derive(Debug, Deserialize)]
struct Line {
    /// From 1.
    epoch: u32,
    #[serde(flatten)]
    counts: EpochSummary,
}

/// What came of the comparison.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// Epochs that are complete, from 0.
    pub(super) complete: BTreeSet<u32>,
    /// Samples of an epoch.
    pub(super) samples: u64,
    /// What differs.
    pub(super) differences: Vec<String>,
}

impl Findings {
    /// Compares.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub(super) fn of(
        folder: &Path,
        record: &Record,
        tables: &mut Tables,
    ) -> Result<Self, StorageError> {
        let (totals, open) = record.engine.counts();
        let mut differences = tables.uneven.clone();
        differences.extend(tables.totals.differences("the run", "the checkpoint", &totals));
        let is_open = |epoch: &u32| open.iter().any(|(open, _)| open == epoch);
        let complete: BTreeSet<u32> =
            tables.epochs.keys().copied().filter(|epoch| !is_open(epoch)).collect();
        for (epoch, told) in &open {
            let counts = tables.epochs.get(epoch).cloned().unwrap_or_default();
            let of = format!("epoch {}", epoch + 1);
            differences.extend(counts.differences(&of, "the checkpoint", told));
        }

        let samples = record.shards.iter().map(|rows| u64::from(*rows)).sum();
        let mut metrics = metrics(folder, record.metrics_bytes, &mut differences)?;
        let mut coverage = tables.take_coverage();
        for epoch in &complete {
            let of = format!("epoch {}", epoch + 1);
            let problems = coverage.remove(epoch).unwrap_or_default().problems(&record.shards);
            differences.extend(problems.into_iter().map(|problem| format!("{of}: {problem}")));
            let counts = &tables.epochs[epoch];
            if counts.settled() != samples {
                let settled = counts.settled();
                differences
                    .push(format!("{of}: {settled} samples are merged or dropped, of {samples}"));
            }
            match metrics.remove(epoch) {
                Some(told) => {
                    differences.extend(counts.differences(&of, "metrics.jsonl", &told));
                }
                None => differences.push(format!("{of}: no line in metrics.jsonl")),
            }
        }
        differences.extend(metrics.keys().map(|epoch| {
            format!("epoch {}: a line in metrics.jsonl, and not complete in the ledger", epoch + 1)
        }));
        Ok(Self { complete, samples, differences })
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        match (self.differences.len(), self.complete.len()) {
            (0, 0) => "ledger exact: no epoch is complete yet".to_owned(),
            (0, epochs) => {
                let samples = self.samples;
                format!("ledger exact: {epochs} epochs, each of {samples} samples counted once")
            }
            (count, _) => format!("ledger NOT exact: {count} differences"),
        }
    }
}

/// The counts of each epoch, from 0, in the metrics up to so many bytes.
fn metrics(
    folder: &Path,
    bytes: u64,
    differences: &mut Vec<String>,
) -> Result<BTreeMap<u32, EpochSummary>, StorageError> {
    let path = folder.join(METRICS);
    let failed = |error| StorageError::Read { path: path.clone(), error };
    let file = File::open(&path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length < bytes {
        differences.push(format!("metrics.jsonl: {length} bytes, {bytes} in the checkpoint"));
    }
    let mut lines = BTreeMap::new();
    for (index, text) in BufReader::new(file.take(bytes)).lines().enumerate() {
        let told: Result<Line, String> = text
            .map_err(|error| error.to_string())
            .and_then(|text| serde_json::from_str(&text).map_err(|error| error.to_string()));
        match told {
            Ok(Line { epoch, counts }) => {
                if lines.insert(epoch.saturating_sub(1), counts).is_some() {
                    differences.push(format!("epoch {epoch}: two lines in metrics.jsonl"));
                }
            }
            Err(error) => differences.push(format!("metrics.jsonl, line {}: {error}", index + 1)),
        }
    }
    Ok(lines)
}
