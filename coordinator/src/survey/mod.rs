//! What a data file holds, and whether it can be trained on: `herd data check`, and the ground on
//! which `herd new` writes a job.
//!
//! - [`scan`]: reads a file once, however wrong it is; [`mod@column`]: what is noted of a column
//! - [`roles`]: which columns are inputs, which one says what to predict
//! - [`problems`]: what is wrong, each with a remedy; [`classes`]: of the column to predict
//! - [`mod@print`]: all that for people, or as JSON

mod classes;
mod column;
mod print;
mod problems;
mod roles;
mod scan;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::cli::{CheckArgs, Failure, answer};
use crate::data::DataError;

pub use column::{Column, Kind};
pub(crate) use problems::quoted;
pub use problems::{Problem, Severity};
pub use roles::{Role, Task};
pub use scan::Scan;

/// What is known of a file.
#[derive(Debug)]
pub struct Survey {
    /// What was read.
    pub scan: Scan,
    /// What each column is to a model, in the order of the columns.
    pub roles: Vec<Role>,
    /// Whether classes or numbers are predicted; nothing without a label.
    pub task: Option<Task>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Survey {
    /// Reads a file; `label` is the column to predict, of images the file of their labels. `task`
    /// overrules what the label looks like.
    ///
    /// # Errors
    /// When the file cannot be read, or has no such column.
    pub fn of(file: &Path, label: Option<&str>, task: Option<Task>) -> Result<Self, DataError> {
        let scan = Scan::of(file, label)?;
        let label = scan.label(label)?;
        let (roles, task) = roles::of(&scan, label, task);
        let problems = problems::of(&scan, &roles, task);
        Ok(Self { scan, roles, task, problems })
    }

    /// The column to predict.
    #[must_use]
    pub fn label(&self) -> Option<&Column> {
        let place = self.roles.iter().position(|role| matches!(role, Role::Label))?;
        Some(&self.scan.columns[place])
    }

    /// The columns of a role, in order.
    pub fn columns(&self, which: fn(&Role) -> bool) -> impl Iterator<Item = &Column> {
        let columns = self.scan.columns.iter().zip(&self.roles);
        columns.filter(move |(_, role)| which(role)).map(|(column, _)| column)
    }

    /// Why the file cannot be used as it stands, if so.
    #[must_use]
    pub fn refusal(&self) -> Option<Failure> {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error);
        let count = errors.count();
        let errors = if count == 1 { "error" } else { "errors" };
        let origin = &self.scan.origin;
        let message = format!("{origin} cannot be used as it stands: {count} {errors}, see above");
        (count > 0).then_some(Failure::Data(message))
    }
}

/// Runs `herd data check`.
///
/// # Errors
/// When the file cannot be read, or cannot be used as it stands.
pub fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let survey = Survey::of(&args.file, args.label.as_deref(), None)?;
    let text = if args.json { print::json(&survey)? } else { print::text(&survey) };
    answer(&text)?;
    survey.refusal().map_or(Ok(()), |failure| Err(failure.into()))
}

/// The problems of a file, for people.
#[must_use]
pub fn problems_text(survey: &Survey) -> String {
    print::problems(&survey.problems)
}
