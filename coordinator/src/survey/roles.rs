//! Which columns are inputs, and what is predicted.

use clap::ValueEnum;

use super::column::{Column, Kind};
use super::scan::{Format, Scan};

/// What is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Task {
    /// One of several classes.
    Classification,
    /// A number.
    Regression,
}

impl Task {
    /// For people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Regression => "regression",
        }
    }
}

/// What a column is to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An input: one value.
    Number,
    /// An input: one value for each word.
    Words,
    /// It is predicted.
    Label,
    /// Nothing, for this reason.
    Ignored(&'static str),
}

impl Role {
    /// For people and programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Words => "words",
            Self::Label => "label",
            Self::Ignored(_) => "ignored",
        }
    }
}

/// Whole numbers of at most so many values are classes rather than amounts.
const CLASSES_MAX: usize = 20;

/// Most words of a column that are worth a value each.
const INPUT_WORDS_MAX: usize = 50;

/// The role of each column, and the task if there is a label.
pub(super) fn of(
    scan: &Scan,
    label: Option<usize>,
    task: Option<Task>,
) -> (Vec<Role>, Option<Task>) {
    let role = |(place, column): (usize, &Column)| {
        if Some(place) == label { Role::Label } else { role(column, scan.format) }
    };
    let roles = scan.columns.iter().enumerate().map(role).collect();
    let task = label.map(|label| task.unwrap_or_else(|| guess(&scan.columns[label])));
    (roles, task)
}

fn role(column: &Column, format: Format) -> Role {
    let cells = column.filled + column.missing.count;
    if format == Format::Csv {
        if 2 * column.missing.count > cells {
            return Role::Ignored("more than half of its cells are empty");
        }
        if column.is_constant() {
            return Role::Ignored("all its cells are the same");
        }
        if column.is_row_number() {
            return Role::Ignored("it only counts the rows");
        }
    }
    match column.kind() {
        Kind::Empty => Role::Ignored("it is empty"),
        Kind::Whole | Kind::Number | Kind::MostlyNumber => Role::Number,
        Kind::Words if column.distinct().is_some_and(|count| count <= INPUT_WORDS_MAX) => {
            Role::Words
        }
        Kind::Words | Kind::Text => Role::Ignored("it has too many different texts"),
    }
}

/// What a label looks like.
fn guess(label: &Column) -> Task {
    let few = label
        .distinct()
        .is_some_and(|distinct| distinct <= CLASSES_MAX && label.filled >= 2 * distinct as u64);
    match label.kind() {
        Kind::Whole if few => Task::Classification,
        Kind::Whole | Kind::Number | Kind::MostlyNumber => Task::Regression,
        Kind::Words | Kind::Text | Kind::Empty => Task::Classification,
    }
}
