//! What is known of a file, for people and for programs.

use serde_json::json;

use super::Survey;
use super::column::{Column, Kind};
use super::problems::{Problem, Severity, counted};
use super::roles::{Role, Task};
use super::scan::{Format, Scan};
use crate::cli::aligned_as;
use crate::train::grouped;

/// Columns that are shown to people; a program gets all.
const COLUMNS_SHOWN: usize = 100;

/// Classes that are shown to people.
const CLASSES_SHOWN: usize = 20;

/// All of it for people.
pub(super) fn text(survey: &Survey) -> String {
    let mut text = format!("{}\n\n", head(&survey.scan));
    text.push_str(&columns(survey));
    if let (Some(task), Some(label)) = (survey.task, survey.label()) {
        text.push_str(&format!("\n{}", target(label, task, survey.scan.rows)));
    } else if survey.scan.format == Format::Csv {
        text.push_str("\nno label: name the column to predict with --label\n");
    }
    text.push('\n');
    text.push_str(&problems(&survey.problems));
    text
}

fn head(scan: &Scan) -> String {
    let rows = grouped(scan.rows);
    match scan.format {
        Format::Csv => {
            let columns = counted(scan.columns.len() as u64, "column", "columns");
            format!("{}: CSV, {rows} rows, {columns}", scan.origin)
        }
        Format::Idx => format!("{}: IDX, {rows} samples of shape {:?}", scan.origin, scan.shape),
        Format::Embedded => {
            format!("{}: inside herd, {rows} samples of shape {:?}", scan.origin, scan.shape)
        }
    }
}

fn columns(survey: &Survey) -> String {
    let heads = ["column", "role", "type", "range", "mean", "empty", "values"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let all = survey.scan.columns.iter().zip(&survey.roles);
    for (column, role) in all.take(COLUMNS_SHOWN) {
        let numbers = column.numbers > 0 && column.words.count == 0;
        let number = |text: String| if numbers { text } else { "-".to_owned() };
        let values = column.distinct().map_or_else(|| "over 1,000".to_owned(), |n| n.to_string());
        let role = if survey.task.is_none() && survey.scan.format == Format::Csv {
            "-"
        } else {
            role.name()
        };
        rows.push(vec![
            printable(&column.name),
            role.to_owned(),
            column.kind().name().to_owned(),
            number(format!("{} to {}", short(column.min), short(column.max))),
            number(short(column.mean)),
            column.missing.count.to_string(),
            values,
        ]);
    }
    let mut text = aligned_as(&rows, &[false, false, false, true, true, true, true]);
    if survey.scan.columns.len() > COLUMNS_SHOWN {
        let more = survey.scan.columns.len() - COLUMNS_SHOWN;
        text.push_str(&format!("... and {more} more columns; --json has all\n"));
    }
    text
}

fn target(label: &Column, task: Task, samples: u64) -> String {
    let name = printable(&label.name);
    match (task, label.values()) {
        (Task::Classification, Some(values)) => {
            let shown = values.iter().take(CLASSES_SHOWN);
            let rows: Vec<Vec<String>> = shown
                .map(|(class, rows)| {
                    let part = 100.0 * *rows as f64 / samples.max(1) as f64;
                    vec![format!("  {}", printable(class)), grouped(*rows), format!("{part:.1} %")]
                })
                .collect();
            let mut text = format!("{name}: {} classes\n", values.len());
            text.push_str(&aligned_as(&rows, &[false, true, true]));
            if values.len() > CLASSES_SHOWN {
                text.push_str(&format!("  ... and {} more\n", values.len() - CLASSES_SHOWN));
            }
            text
        }
        (Task::Classification, None) => format!("{name}: more than 1,000 classes\n"),
        (Task::Regression, _) => format!(
            "{name}: a number to predict, mean {}, standard deviation {}\n",
            short(label.mean),
            short(label.deviation())
        ),
    }
}

/// The problems for people, one a line.
pub(super) fn problems(problems: &[Problem]) -> String {
    if problems.iter().all(|problem| problem.severity == Severity::Note) {
        let notes: String = problems.iter().map(line).collect();
        return format!("{notes}no problems\n");
    }
    problems.iter().map(line).collect()
}

fn line(problem: &Problem) -> String {
    let Problem { severity, column, what, remedy } = problem;
    let of = column.as_ref().map(|name| format!("{}: ", printable(name))).unwrap_or_default();
    format!("{:<9}{of}{what}\n         {remedy}\n", severity.name())
}

/// All of it for programs.
pub(super) fn json(survey: &Survey) -> serde_json::Result<String> {
    let scan = &survey.scan;
    let columns: Vec<_> =
        scan.columns.iter().zip(&survey.roles).map(|(c, r)| column(c, *r)).collect();
    let classes = survey.label().filter(|_| survey.task == Some(Task::Classification));
    let classes = classes.and_then(Column::values).map(|values| {
        let class = |(name, rows): &(&str, u64)| json!({ "name": name, "rows": rows });
        values.iter().map(class).collect::<Vec<_>>()
    });
    let problems: Vec<_> = survey
        .problems
        .iter()
        .map(|Problem { severity, column, what, remedy }| {
            json!({ "severity": severity.name(), "column": column, "problem": what, "remedy": remedy })
        })
        .collect();
    let value = json!({
        "file": scan.origin,
        "format": match scan.format {
            Format::Csv => "csv",
            Format::Idx => "idx",
            Format::Embedded => "embedded",
        },
        "rows": scan.rows,
        "shape": scan.shape,
        "columns": columns,
        "label": survey.label().map(|label| &label.name),
        "task": survey.task.map(Task::name),
        "classes": classes,
        "problems": problems,
        "usable": survey.refusal().is_none(),
    });
    Ok(format!("{}\n", serde_json::to_string(&value)?))
}

fn column(column: &Column, role: Role) -> serde_json::Value {
    let numbers = column.numbers > 0 && column.kind() != Kind::Words;
    let number = |value: f64| numbers.then_some(value);
    json!({
        "name": column.name,
        "type": column.kind().name(),
        "role": role.name(),
        "min": number(column.min),
        "max": number(column.max),
        "mean": number(column.mean),
        "deviation": number(column.deviation()),
        "filled": column.filled,
        "empty": column.missing.count,
        "values": column.distinct(),
    })
}

/// Four significant digits, as people read numbers.
fn short(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 || (1e-3..1e7).contains(&size) {
        let digits = (3.0 - size.max(1e-3).log10().floor()).clamp(0.0, 6.0) as usize;
        let text = format!("{number:.digits$}");
        if text.contains('.') {
            return text.trim_end_matches('0').trim_end_matches('.').to_owned();
        }
        return text;
    }
    format!("{number:.3e}")
}

/// Text of a file without control characters: it is printed on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(60).collect()
}
