//! What is wrong with a file, and what to do about it.

use std::collections::BTreeMap;

use super::classes;
use super::column::{Column, Kind, Places};
use super::roles::{Role, Task};
use super::scan::{Format, Scan};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be trained on.
    Error,
    /// It can, but the result may not be what one expects.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// For people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The column that has it, if it is one's.
    pub column: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(
        severity: Severity,
        column: Option<&str>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let column = column.map(str::to_owned);
        Self { severity, column, what: what.into(), remedy: remedy.into() }
    }
}

/// Fewer rows make every number that validation gives chance.
const ROWS_FEW: u64 = 50;

/// All problems, the worst first.
pub(super) fn of(scan: &Scan, roles: &[Role], task: Option<Task>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if scan.format == Format::Csv {
        header(scan, &mut problems);
    }
    rows(scan, &mut problems);
    for (column, role) in scan.columns.iter().zip(roles) {
        match role {
            Role::Label => {
                if let Some(task) = task {
                    classes::label(scan, column, task, &mut problems);
                }
            }
            // Without a name nothing can be said of it but that.
            _ if scan.format == Format::Csv && !column.name.is_empty() => {
                input(column, *role, &mut problems)
            }
            _ => {}
        }
    }
    let is_input = |role: &&Role| matches!(role, Role::Number | Role::Words);
    if task.is_some() && !roles.iter().any(|role| is_input(&role)) {
        problems.push(Problem::new(
            Severity::Error,
            None,
            "no column is left to predict from",
            "add columns that are numbers, or words that come again",
        ));
    }
    problems.sort_by_key(|problem| problem.severity);
    problems
}

fn header(scan: &Scan, problems: &mut Vec<Problem>) {
    let mut error = |what: String, remedy: &str| {
        problems.push(Problem::new(Severity::Error, None, what, remedy));
    };
    let mut places = BTreeMap::<&str, usize>::new();
    for (index, column) in scan.columns.iter().enumerate() {
        if column.name.is_empty() {
            error(format!("column {} of the header has no name", index + 1), "give it one");
            continue;
        }
        if let Some(first) = places.insert(&column.name, index) {
            let (name, first, second) = (&column.name, first + 1, index + 1);
            error(
                format!("columns {first} and {second} of the header are both called `{name}`"),
                "rename or delete one of them",
            );
        }
    }
    if let [column] = scan.columns.as_slice()
        && let Some(separator) = [';', '\t', '|'].into_iter().find(|c| column.name.contains(*c))
    {
        error(
            format!("its cells seem to be separated by {separator:?}"),
            "save the file with commas between cells",
        );
    }
    let is_number = |column: &Column| column.name.parse::<f64>().is_ok();
    if scan.columns.len() > 1 && scan.columns.iter().all(is_number) {
        error(
            "the first line holds numbers, but must name the columns".to_owned(),
            "put a line with names before it",
        );
    }
}

fn rows(scan: &Scan, problems: &mut Vec<Problem>) {
    let mut add = |severity, what: String, remedy: &str| {
        problems.push(Problem::new(severity, None, what, remedy));
    };
    if scan.uneven.count > 0 {
        let Places { count, line, text } = &scan.uneven;
        let cells = scan.columns.len();
        add(
            Severity::Error,
            format!(
                "{} not as many cells as the header, which has {cells}; line {line} has {text}",
                counted(*count, "line has", "lines have")
            ),
            "complete or delete them; a cell with a comma needs quotes around it",
        );
    }
    match scan.rows {
        0 => add(Severity::Error, "there are no rows".to_owned(), "add rows below the header"),
        1 => add(
            Severity::Error,
            "there is one row".to_owned(),
            "add rows: some train, some validate",
        ),
        2..ROWS_FEW => add(
            Severity::Warning,
            format!("{} rows are few", scan.rows),
            "with more rows validation means more",
        ),
        _ => {}
    }
    if scan.repeated.count > 0 {
        let Places { count, line, .. } = scan.repeated;
        add(
            Severity::Warning,
            format!(
                "{} as an earlier one; the first is line {line}",
                counted(count, "row is", "rows are")
            ),
            "delete what is a copy: validation may see rows that were trained on",
        );
    }
}

fn input(column: &Column, role: Role, problems: &mut Vec<Problem>) {
    let name = column.name.as_str();
    let mut add = |severity, what: String, remedy: String| {
        problems.push(Problem::new(severity, Some(name), what, remedy));
    };
    let leave_out = format!("data.ignore = [{}]", quoted(name));
    if let Role::Ignored(reason) = role {
        add(Severity::Warning, reason.to_owned(), format!("herd new leaves it out: {leave_out}"));
        return;
    }
    if column.missing.count > 0 {
        let what = missing(&column.missing);
        let remedy = format!("fill them in, delete those lines, or leave it out: {leave_out}");
        add(Severity::Error, what, remedy);
    }
    if column.not_finite.count > 0 {
        add(
            Severity::Error,
            such_as(&column.not_finite, ["number is not", "numbers are not"], "finite in 32 bits"),
            "write numbers up to 3.4e38, or delete those lines".to_owned(),
        );
    }
    if column.kind() == Kind::MostlyNumber {
        let what = such_as(&column.words, ["cell is not", "cells are not"], "a number");
        add(
            Severity::Error,
            format!("{what}; all others are"),
            format!(
                "correct them, or say that it holds words: data.categorical = [{}]",
                quoted(name)
            ),
        );
    }
    if role == Role::Words {
        let count = column.distinct().unwrap_or_default();
        add(
            Severity::Note,
            format!("it holds {count} different words"),
            format!("herd new makes {count} inputs of it: data.categorical = [{}]", quoted(name)),
        );
    }
}

/// Says how many places are not what they should be, and shows one; `are` is said of one and of many.
pub(super) fn such_as(places: &Places, are: [&str; 2], what: &str) -> String {
    let Places { count, line, text } = places;
    format!("{} {what}, such as `{text}` in line {line}", counted(*count, are[0], are[1]))
}

/// Says how many cells are empty.
pub(super) fn missing(places: &Places) -> String {
    let Places { count, line, text } = places;
    let shown = if text.is_empty() { String::new() } else { format!(" with `{text}`") };
    match count {
        1 => format!("a cell is empty, in line {line}{shown}"),
        _ => format!("{count} cells are empty, the first in line {line}{shown}"),
    }
}

/// A number with what it counts.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A name as it stands in TOML.
pub(crate) fn quoted(name: &str) -> String {
    toml::Value::from(name).to_string()
}
