//! What is wrong with the column that is predicted.

use super::column::{Column, Kind};
use super::problems::{Problem, Severity, missing, such_as};
use super::roles::Task;
use super::scan::Scan;
use crate::data::columns::WORDS_MAX;

/// A class with so many times the rows of another one outweighs it.
const UNBALANCED: u64 = 10;

/// Fewer rows of a class leave some part without any.
const CLASS_ROWS_FEW: u64 = 5;

/// Classes that are named in a sentence.
const SHOWN: usize = 5;

/// The problems of a label.
pub(super) fn label(scan: &Scan, column: &Column, task: Task, problems: &mut Vec<Problem>) {
    let name = column.name.as_str();
    let mut error = |what: String, remedy: &str| {
        problems.push(Problem::new(Severity::Error, Some(name), what, remedy));
    };
    if column.missing.count > 0 {
        error(missing(&column.missing), "fill them in or delete those lines");
    }
    if column.not_finite.count > 0 {
        let are = ["number is not", "numbers are not"];
        error(such_as(&column.not_finite, are, "finite"), "correct them or delete those lines");
    }
    if column.filled == 0 {
        return;
    }
    if column.distinct() == Some(1) {
        error(
            "all its cells are the same: there is nothing to learn".to_owned(),
            "take another label, or add rows of other classes",
        );
        return;
    }
    match task {
        Task::Regression if column.words.count > 0 => {
            let are = ["cell is not", "cells are not"];
            error(such_as(&column.words, are, "a number"), "correct them or delete those lines");
        }
        Task::Regression => {}
        Task::Classification => match column.values() {
            Some(values) if values.len() as u64 * 2 <= scan.rows => {
                balance(name, &values, problems)
            }
            Some(values) => {
                let (classes, rows) = (values.len(), scan.rows);
                let what = format!("{classes} classes in {rows} rows: most have a single row");
                error(what, remedy_for_many(column));
            }
            None => {
                let what = format!("it has more than {WORDS_MAX} classes");
                error(what, remedy_for_many(column));
            }
        },
    }
}

fn remedy_for_many(column: &Column) -> &'static str {
    if matches!(column.kind(), Kind::Whole | Kind::Number) {
        "take it as a number: --task regression"
    } else {
        "take another label, or put its values together into fewer"
    }
}

/// Classes that are rare.
fn balance(name: &str, values: &[(&str, u64)], problems: &mut Vec<Problem>) {
    let mut add = |what: String, remedy: &str| {
        problems.push(Problem::new(Severity::Warning, Some(name), what, remedy));
    };
    let rare: Vec<_> = values.iter().filter(|(_, rows)| *rows < CLASS_ROWS_FEW).collect();
    if !rare.is_empty() {
        let shown: Vec<_> =
            rare.iter().take(SHOWN).map(|(class, rows)| format!("`{class}` {rows}")).collect();
        let more = if rare.len() > SHOWN { ", ..." } else { "" };
        add(
            format!("classes with fewer than {CLASS_ROWS_FEW} rows: {}{more}", shown.join(", ")),
            "add rows of them, or put them together with others",
        );
    }
    let most = values.iter().max_by_key(|(_, rows)| *rows);
    let fewest = values.iter().min_by_key(|(_, rows)| *rows);
    if let (Some((most, many)), Some((fewest, few))) = (most, fewest)
        && *many >= UNBALANCED * *few
    {
        add(
            format!("unbalanced: `{most}` has {many} rows, `{fewest}` {few}"),
            "training.class_weights = \"balanced\" lets rare classes count more",
        );
    }
}
