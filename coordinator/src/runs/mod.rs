//! `herd runs show`: a run's numbers, computed anew from the rows of its ledger, and whether they
//! are those that the run itself has told.

mod check;
mod counts;
mod print;
pub(crate) mod report;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::cli::{Failure, ShowArgs, answer};
use crate::storage::{Record, Report, StorageError, find_run, plan_of};
use check::Findings;
use counts::Tables;

/// What is known of a run.
#[derive(Debug)]
struct Shown {
    name: String,
    report: Report,
    tables: Tables,
    parameters: Option<usize>,
    /// The newest checkpoint, and what came of comparing it with the ledger.
    checked: Option<(Record, Findings)>,
}

/// Runs `herd runs show`.
///
/// # Errors
/// When there is no such run, it cannot be read, or its ledger is not exact.
pub fn show(args: &ShowArgs) -> anyhow::Result<()> {
    let shown = Shown::read(&find_run(&args.run)?)?;
    let text = if args.json {
        format!("{}\n", serde_json::to_string(&print::json(&shown))?)
    } else {
        print::text(&shown, args.all)
    };
    answer(&text)?;
    match &shown.checked {
        Some((_, findings)) if !findings.differences.is_empty() => {
            Err(Failure::Target(format!("{}: {}", shown.name, findings.line())).into())
        }
        _ => Ok(()),
    }
}

impl Shown {
    fn read(folder: &Path) -> Result<Self, StorageError> {
        let mut tables = Tables::default();
        let report = Report::read(folder, |row| tables.add(&row))?;
        let checked = match &report.checkpoint {
            Some(record) => {
                let mut findings = Findings::of(folder, record, &mut tables)?;
                findings.differences.extend(report.damage.clone());
                Some((record.clone(), findings))
            }
            None => None,
        };
        // `latest` is a link; its target has the name.
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let name = whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned();
        let parameters = plan_of(folder).ok().map(|plan| plan.tensors().elements());
        Ok(Self { name, report, tables, parameters, checked })
    }

    fn state_word(&self) -> &'static str {
        match (&self.report.process, &self.checked) {
            (Some(_), _) => "running",
            (None, Some((record, _))) if record.complete => "complete",
            _ => "interrupted",
        }
    }

    fn state(&self) -> String {
        match self.report.process {
            Some(process) if process > 0 => format!("running (process {process})"),
            _ => self.state_word().to_owned(),
        }
    }

    /// Since the newest checkpoint; none when its time cannot be read.
    fn age_seconds(&self) -> Option<i64> {
        let saved: jiff::Timestamp = self.checked.as_ref()?.0.saved.parse().ok()?;
        Some((jiff::Timestamp::now().as_second() - saved.as_second()).max(0))
    }
}
