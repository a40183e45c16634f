//! `report.html`: a run on one page that needs nothing else, to look at, to send and to print.
//!
//! It is made from what the run folder holds (ledger, metrics, job), so that after `--resume` it tells
//! the whole history; only the result on the test rows comes from the command that has just measured it.
//!
//! - [`chart`]: curves as SVG; [`scale`]: their axes
//! - [`page`]: the sections; [`html`]: text that can never be markup

mod chart;
mod html;
mod page;
mod scale;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Shown, job};
use crate::run::{EpochRecord, Shell};
use crate::storage::{METRICS, REPORT, plan_of, write_whole};

/// All that the page tells.
#[derive(Debug)]
struct Facts {
    shown: Shown,
    records: Vec<EpochRecord>,
    shell: Shell,
    /// The job as it is stored, each value under its dotted key.
    job: BTreeMap<String, String>,
    /// The model, layer by layer.
    model: Option<String>,
    /// What the command says at its end; none for a run that ended without a result.
    result: Option<Value>,
    written: String,
}

/// Writes the report of the run in `folder`, in place of an earlier one, and says where. `result` is what
/// `--json` prints.
///
/// # Errors
/// When the ledger cannot be read, or the file cannot be written.
pub(crate) fn write(folder: &Path, result: Option<Value>) -> anyhow::Result<PathBuf> {
    let facts = Facts::read(folder, result)?;
    let path = folder.join(REPORT);
    write_whole(&path, [page::html(&facts).as_bytes()])?;
    Ok(path)
}

impl Facts {
    fn read(folder: &Path, result: Option<Value>) -> anyhow::Result<Self> {
        let shown = Shown::read(folder)?;
        let record = shown.checked.as_ref().map(|(record, _)| record);
        let shell = record.and_then(|record| serde_json::from_value(record.shell.clone()).ok());
        Ok(Self {
            records: records(folder, record.map(|record| record.metrics_bytes)),
            shell: shell.unwrap_or_default(),
            job: job::flat(&job::read(folder).unwrap_or_default()),
            model: plan_of(folder).ok().map(|plan| plan.summary()),
            result,
            written: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            shown,
        })
    }

    /// Whether the model says values, not classes.
    fn are_values(&self) -> bool {
        let errors = |record: &EpochRecord| record.validation_mae.or(record.training_mae);
        let shares = |record: &EpochRecord| record.validation_accuracy.or(record.training_accuracy);
        let any = |of: fn(&EpochRecord) -> Option<f64>| {
            self.records.iter().any(|record| of(record).is_some())
        };
        any(errors) && !any(shares)
    }

    /// A number of the result.
    fn number(&self, name: &str) -> Option<f64> {
        self.result.as_ref()?.get(name)?.as_f64()
    }

    /// A value of the job, by its dotted key.
    fn of_job(&self, key: &str) -> Option<&str> {
        self.job.get(key).map(String::as_str).filter(|text| !text.is_empty())
    }
}

/// The lines of the metrics up to so many bytes: what is behind them belongs to work that is lost. One
/// that cannot be read is left out; the ledger's differences name it.
fn records(folder: &Path, bytes: Option<u64>) -> Vec<EpochRecord> {
    let mut text = std::fs::read(folder.join(METRICS)).unwrap_or_default();
    text.truncate(bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX));
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
}
