//! Tests of new job files: what is written must be a job that plans.

use std::fs;

use model::Plan;

use super::*;
use crate::cli::exit_code;
use crate::config::Job;
use crate::data::{Scaling, Source};

/// A folder with this data, and the arguments for a job beside it.
fn arguments(text: &str, label: Option<&str>) -> (tempfile::TempDir, NewArgs) {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("my data.csv"), folder.path().join("out.toml"));
    fs::write(&data, text).unwrap();
    let args = NewArgs { data, label: label.map(str::to_owned), out, task: None };
    (folder, args)
}

/// Writes the job and reads it as `herd train` does.
fn job(args: &NewArgs) -> Job {
    new(args).unwrap();
    config::resolve(Some(&args.out), &[], &[]).unwrap()
}

fn flowers(rows: usize) -> String {
    let row = |row: usize| {
        let colour = ["red", "blue", "white"][row % 3];
        format!("{row},{}.25,{colour},{}\n", row * 7 % 31, ["a\"b", "c"][row % 2])
    };
    format!("id,size,colour,kind\n{}", (0..rows).map(row).collect::<String>())
}

#[test]
fn a_label_of_words_makes_a_classifier() {
    let (folder, args) = arguments(&flowers(60), Some("kind"));
    let job = job(&args);
    assert_eq!(job.data.source, Source::Table(folder.path().join("my data.csv")));
    assert_eq!((job.name.as_str(), job.data.label.as_str()), ("my-data", "kind"));
    assert_eq!(job.data.categorical, ["colour"]);
    assert_eq!(job.data.ignore, ["id"]);
    assert_eq!(job.data.scaling, Scaling::Standard);
    let plan = Plan::new(&job.model).unwrap();
    assert_eq!((plan.input_shape(), plan.output_shape()), ([4].as_slice(), [2].as_slice()));
    assert!(job.model.loss.is_cross_entropy() && job.training.early_stopping.is_some());
    let text = fs::read_to_string(&args.out).unwrap();
    assert!(text.contains("source = \"my data.csv\""), "seen from the job file: {text}");
    assert!(text.contains("herd train out.toml") && text.contains("it only counts the rows"));
}

#[test]
fn a_label_of_numbers_makes_a_regression() {
    let text: String = (0..200).map(|row| format!("{},{}.5\n", row % 17, 1000 + row)).collect();
    let (_folder, args) = arguments(&format!("a,price\n{text}"), Some("price"));
    let job = job(&args);
    assert_eq!(job.model.loss.name(), "mean_squared_error");
    assert_eq!(Plan::new(&job.model).unwrap().output_shape(), [1]);
    let text = fs::read_to_string(&args.out).unwrap();
    assert!(text.contains("scale = 57.73, offset = 1100.0"), "{text}");
}

#[test]
fn whole_numbers_are_what_the_task_says() {
    let text: String = (0..200).map(|row| format!("{},{}\n", row % 17, row % 6)).collect();
    let (_folder, mut args) = arguments(&format!("a,stars\n{text}"), Some("stars"));
    assert!(job(&args).model.loss.is_cross_entropy());
    fs::remove_file(&args.out).unwrap();
    args.task = Some(Task::Regression);
    assert!(!job(&args).model.loss.is_cross_entropy());
}

#[test]
fn images_get_a_network_too() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("job.toml");
    let job = job(&NewArgs { data: "digits".into(), label: None, out, task: None });
    assert_eq!((job.data.source, job.data.test_split), (Source::Embedded("digits".into()), 0.0));
    assert_eq!(Plan::new(&job.model).unwrap().output_shape(), [10]);
}

#[test]
fn what_cannot_be_made_is_refused() {
    let message = |args: &NewArgs, code: u8| {
        let error = new(args).unwrap_err();
        assert_eq!(exit_code(&error), code, "{error}");
        error.to_string()
    };
    let (_folder, args) = arguments(&flowers(60), None);
    let said = message(&args, 2);
    assert!(said.ends_with("with --label; there is: id, size, colour, kind"), "{said}");
    let (_folder, args) = arguments(&flowers(60).replace(",red,", ",,"), Some("kind"));
    assert!(message(&args, 3).ends_with("cannot be used as it stands: 1 error, see above"));
    assert!(!args.out.exists());
    let (_folder, mut args) = arguments(&flowers(60), Some("kind"));
    new(&args).unwrap();
    let before = fs::read(&args.out).unwrap();
    assert!(message(&args, 3).contains("there is a file already"));
    assert_eq!(fs::read(&args.out).unwrap(), before);
    args.task = Some(Task::Regression);
    assert!(message(&args, 2).contains("`kind` is no column of numbers"));
    args.task = None;
    args.out = args.out.join("no/such/folder.toml");
    assert!(message(&args, 3).contains("cannot be written"));
}
