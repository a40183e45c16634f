//! `herd runs`: what there is to know and to do about runs that are stored.
//!
//! - here: `show`, a run's numbers, computed anew from the rows of its ledger, and whether they are
//!   those that the run itself has told; [`counts`], [`check`] and [`mod@print`] are its parts
//! - [`mod@list`], [`mod@compare`], [`mod@remove`], [`mod@export`]: the other verbs; [`report`]: a run on one page
//! - [`listed`]: the runs beside one that goes on
//! - [`entry`]: a run in one line; [`state`]: what can be done with it; [`job`]: its job as
//!   it was; [`metrics`]: its epochs

mod check;
mod compare;
mod counts;
mod entry;
mod export;
mod job;
mod list;
mod listed;
pub(crate) mod metrics;
mod print;
mod remove;
pub(crate) mod report;
mod state;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::cli::{Failure, ShowArgs, answer};
use crate::storage::{Act, Audit, Record, Report, StorageError, find_run, plan_of};
use check::Findings;
use counts::Tables;
use state::State;

pub use compare::compare;
pub(crate) use entry::name;
pub use export::export;
pub(crate) use export::{metrics_csv, metrics_json};
pub use list::list;
pub(crate) use listed::{beside, file_name};
pub use remove::remove;

/// What is known of a run.
#[derive(Debug)]
struct Shown {
    name: String,
    state: State,
    report: Report,
    tables: Tables,
    parameters: Option<usize>,
    /// What admins did, oldest first.
    acts: Vec<Act>,
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
        let parameters = plan_of(folder).ok().map(|plan| plan.tensors().elements());
        let state = State::of(folder, report.process, report.checkpoint.as_ref());
        let (name, acts) = (entry::name(folder), Audit::of(folder).read());
        Ok(Self { name, state, report, tables, parameters, acts, checked })
    }

    fn is_complete(&self) -> bool {
        self.checked.as_ref().is_some_and(|(record, _)| record.complete)
    }

    fn state_words(&self) -> String {
        match self.report.process {
            Some(process) if process > 0 => format!("{} (process {process})", self.state),
            _ => self.state.to_string(),
        }
    }

    /// Since the newest checkpoint; none when its time cannot be read.
    fn age_seconds(&self) -> Option<i64> {
        let saved: jiff::Timestamp = self.checked.as_ref()?.0.saved.parse().ok()?;
        Some((jiff::Timestamp::now().as_second() - saved.as_second()).max(0))
    }
}
