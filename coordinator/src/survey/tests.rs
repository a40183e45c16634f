//! Tests of what is said of data files.

use std::fs;
use std::path::PathBuf;

use super::*;

/// A file in a folder of its own.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.csv");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn survey(text: &str, label: Option<&str>) -> Survey {
    let (_folder, path) = file(text);
    Survey::of(&path, label, None).unwrap()
}

/// Rows that follow from their number.
fn rows(header: &str, count: usize, row: impl Fn(usize) -> String) -> String {
    let rows: String = (0..count).map(|index| row(index) + "\n").collect();
    format!("{header}\n{rows}")
}

/// The problems of a kind, each with its column and what is wrong.
fn told(survey: &Survey, severity: Severity) -> Vec<String> {
    let problems = survey.problems.iter().filter(|problem| problem.severity == severity);
    problems
        .map(|Problem { column, what, .. }| match column {
            Some(column) => format!("{column}: {what}"),
            None => what.clone(),
        })
        .collect()
}

#[test]
fn columns_get_types_ranges_and_roles() {
    let text = rows("id,size,colour,name,one,kind", 60, |row| {
        let colour = ["red", "green", "blue"][row % 3];
        format!("{row},{}.5,{colour},n{row},7,{}", row * row % 17, ["x", "y"][row % 2])
    });
    let survey = survey(&text, Some("kind"));
    let roles: Vec<&str> = survey.roles.iter().map(|role| role.name()).collect();
    assert_eq!(roles, ["ignored", "number", "words", "ignored", "ignored", "label"]);
    assert_eq!(survey.task, Some(Task::Classification));
    let size = &survey.scan.columns[1];
    assert_eq!((size.kind(), size.min, size.max), (Kind::Number, 0.5, 16.5));
    assert_eq!(survey.label().unwrap().values().unwrap(), [("x", 30), ("y", 30)]);
    assert_eq!(told(&survey, Severity::Error), [""; 0]);
    assert_eq!(
        told(&survey, Severity::Warning),
        [
            "id: it only counts the rows",
            "name: it has too many different texts",
            "one: all its cells are the same"
        ]
    );
    assert_eq!(told(&survey, Severity::Note), ["colour: it holds 3 different words"]);
    assert!(survey.refusal().is_none());
}

#[test]
fn means_and_deviations_are_those_of_the_numbers() {
    let survey = survey(&rows("a,b", 60, |row| format!("{},{}", 1e6 + row as f64, row % 2)), None);
    let column = &survey.scan.columns[0];
    assert!((column.mean - 1_000_029.5).abs() < 1e-6, "{}", column.mean);
    let expected = ((60.0 * 60.0 - 1.0) / 12.0_f64).sqrt();
    assert!((column.deviation() - expected).abs() < 1e-6, "{}", column.deviation());
    assert_eq!(survey.task, None, "nothing is predicted without a label");
}

#[test]
fn a_file_that_cannot_be_used_says_all_that_is_wrong() {
    let text = rows("a,b,kind", 60, |row| match row {
        3 => "1,2".to_owned(),
        5 => ",2,x".to_owned(),
        7 => "NA,2,x".to_owned(),
        9 => "1,1e39,x".to_owned(),
        11 => "1,many,x".to_owned(),
        13 => "1,2,".to_owned(),
        _ => format!("{row},{},{}", row * 3 % 31, ["x", "y"][row % 2]),
    });
    let survey = survey(&text, Some("kind"));
    assert_eq!(
        told(&survey, Severity::Error),
        [
            "1 line has not as many cells as the header, which has 3; line 5 has 2",
            "a: 2 cells are empty, the first in line 7",
            "b: 1 number is not finite in 32 bits, such as `1e39` in line 11",
            "b: 1 cell is not a number, such as `many` in line 13; all others are",
            "kind: a cell is empty, in line 15",
        ]
    );
    let message = survey.refusal().unwrap().to_string();
    assert!(message.ends_with("cannot be used as it stands: 5 errors, see above"), "{message}");
    assert!(survey.problems.iter().all(|problem| !problem.remedy.is_empty()));
}

#[test]
fn headers_are_looked_at() {
    for (text, expected) in [
        ("a,b,a\n1,2,3\n2,3,4\n", "columns 1 and 3 of the header are both called `a`"),
        ("a,,b\n1,2,3\n2,3,4\n", "column 2 of the header has no name"),
        ("a;b\n1;2\n2;3\n", "its cells seem to be separated by ';'"),
        ("1,2\n3,4\n5,6\n", "the first line holds numbers, but must name the columns"),
        ("a,b\n", "there are no rows"),
        ("a,b\n1,2\n", "there is one row"),
    ] {
        assert_eq!(told(&survey(text, None), Severity::Error), [expected], "{text:?}");
    }
    let (_folder, path) = file("");
    let message = Survey::of(&path, None, None).unwrap_err().to_string();
    assert!(message.ends_with("is empty; its first line must name the columns"), "{message}");
    let (_folder, path) = file("a,kind\n1,x\n");
    let message = Survey::of(&path, Some("kin"), None).unwrap_err().to_string();
    assert!(message.contains("no column `kin`; did you mean `kind`?"), "{message}");
    // A byte order mark is no part of a name.
    assert_eq!(survey("\u{feff}a,b\n1,2\n3,4\n", Some("a")).label().unwrap().name, "a");
}

#[test]
fn labels_are_looked_at() {
    let label = |label: fn(usize) -> String, task: Option<Task>| {
        let text = rows("a,kind", 100, |row| format!("{},{}", row * 7 % 31, label(row)));
        let (_folder, path) = file(&text);
        Survey::of(&path, Some("kind"), task).unwrap()
    };
    let all = |survey: &Survey| {
        [Severity::Error, Severity::Warning].map(|severity| told(survey, severity)).concat()
    };
    let names = label(|row| format!("n{row}"), None);
    assert_eq!(all(&names)[0], "kind: 100 classes in 100 rows: most have a single row");
    let one = label(|_| "x".into(), None);
    assert_eq!(all(&one)[0], "kind: all its cells are the same: there is nothing to learn");
    let rare = label(|row| if row < 3 { "rare" } else { "common" }.into(), None);
    let said = all(&rare);
    assert!(said.contains(&"kind: classes with fewer than 5 rows: `rare` 3".into()), "{said:?}");
    let unbalanced = "kind: unbalanced: `common` has 97 rows, `rare` 3";
    assert!(said.contains(&unbalanced.into()), "{said:?}");
    let remedies: Vec<_> = rare.problems.iter().map(|problem| problem.remedy.as_str()).collect();
    assert!(remedies.iter().any(|remedy| remedy.contains("class_weights")), "{remedies:?}");

    assert_eq!(label(|row| (row % 3).to_string(), None).task, Some(Task::Classification));
    assert_eq!(label(|row| row.to_string(), None).task, Some(Task::Regression));
    assert_eq!(label(|row| format!("{}.5", row % 3), None).task, Some(Task::Regression));
    let forced = label(|row| (row % 3).to_string(), Some(Task::Regression));
    assert_eq!(forced.task, Some(Task::Regression));
    let words = label(|row| ["x", "y"][row % 2].into(), Some(Task::Regression));
    assert!(all(&words)[0].starts_with("kind: 100 cells are not a number"), "{:?}", all(&words));
}

#[test]
fn copies_of_rows_are_counted() {
    let survey = survey(&rows("a,b", 60, |row| format!("{},{}", row % 50, row % 25)), None);
    assert_eq!(
        told(&survey, Severity::Warning),
        ["10 rows are as an earlier one; the first is line 52"]
    );
}

#[test]
fn images_have_a_shape_and_classes() {
    let survey = Survey::of(Path::new("digits"), None, None).unwrap();
    assert_eq!((survey.scan.rows, survey.scan.shape.as_slice()), (8000, [28, 28].as_slice()));
    assert_eq!(survey.label().unwrap().values().unwrap().len(), 10);
    assert_eq!((survey.task, survey.problems.len()), (Some(Task::Classification), 0));
    let text = print::text(&survey);
    assert!(text.contains("8,000 samples of shape [28, 28]") && text.ends_with("no problems\n"));
}

#[test]
fn programs_get_all_of_it() {
    let text = rows("a,b,kind", 60, |row| format!("{row}.5,,{}", ["x", "y"][row % 2]));
    let json: serde_json::Value =
        serde_json::from_str(&print::json(&survey(&text, Some("kind"))).unwrap()).unwrap();
    assert_eq!((json["rows"].as_u64(), json["usable"].as_bool()), (Some(60), Some(true)));
    assert_eq!(json["columns"][0]["type"], "number");
    assert_eq!(json["columns"][0]["max"], 59.5);
    assert_eq!(json["columns"][1]["empty"], 60);
    assert_eq!(json["classes"][1], serde_json::json!({ "name": "y", "rows": 30 }));
    assert_eq!(json["problems"][0]["column"], "b");
}
