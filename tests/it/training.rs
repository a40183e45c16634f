//! Whole runs: a command trains, and leaves a model and a folder that says how.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::process::{Finished, herd, project};

/// Trains as the flags say and gives the JSON object that `herd` ends with.
#[track_caller]
fn train(folder: &Path, arguments: &[&str]) -> Value {
    let arguments = [&["train"], arguments, &["--json"]].concat();
    let summary = herd(&arguments).folder(folder).succeed().json();
    assert_eq!(summary["ending"], "complete", "{summary}");
    summary
}

/// The lines of a run's metrics.
fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("a run has metrics");
    text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn two_processes_learn_the_digits_in_every_mode() {
    let modes = [("asynchronous", "epoch"), ("synchronous", "steps=10"), ("hogwild", "steps=10")];
    for (mode, frequency) in modes {
        let folder = tempfile::tempdir().unwrap();
        let (epochs, rows) = (20, 8000);
        let flags = [
            ["--mode", mode],
            ["--frequency", frequency],
            ["--epochs", "20"],
            ["--batch-size", "64"],
            ["--learning-rate", "0.1"],
            ["--validation-split", "0"],
            ["--workers", "2"],
            ["--device", "cpu"],
        ];
        let summary = train(folder.path(), &flags.concat());
        let accuracy = summary["test_accuracy"].as_f64().unwrap();
        assert!(accuracy >= 0.92, "{mode}: {summary}");
        assert_eq!(summary["test_samples"], 2000);
        assert_eq!(summary["samples"], epochs * rows, "{mode}: {summary}");
        assert_eq!(summary["totals"]["dropped"], serde_json::json!({}), "{summary}");
        assert!(summary["bytes_up"].as_u64() > Some(0) && summary["bytes_down"].as_u64() > Some(0));

        let workers = summary["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 2, "{summary}");
        let mut superfluous = 0;
        for worker in workers {
            assert!(worker["merged"].as_u64() > Some(0), "each one trains: {summary}");
            for (reason, count) in worker["rejected"].as_object().unwrap() {
                assert!(["duplicate", "ended"].contains(&reason.as_str()), "{summary}");
                superfluous += count.as_u64().unwrap();
            }
        }
        // Idle workers are given copies of leases that are out: nothing else may be refused.
        assert!(superfluous <= summary["totals"]["backup"].as_u64().unwrap(), "{summary}");
        let parts = workers.iter().map(|worker| worker["samples"].as_i64().unwrap());
        assert_eq!(parts.sum::<i64>(), epochs * rows, "{summary}");

        let run = folder.path().join(summary["run"].as_str().unwrap());
        let names = [
            "checkpoints",
            "config.toml",
            "final.safetensors",
            "metrics.jsonl",
            "report.html",
            "run.db",
            "run.lock",
            "spec.json",
        ];
        assert_eq!(files(&run), names);
        let metrics = metrics(&run);
        assert_eq!(metrics.len(), 20);
        for (line, epoch) in metrics.iter().zip(1..) {
            assert_eq!((&line["epoch"], &line["samples"]), (&epoch.into(), &rows.into()));
        }
        let model = folder.path().join(summary["model"].as_str().unwrap());
        assert_eq!(model, run.join("final.safetensors"), "without validation the last one counts");
    }
}

#[test]
fn a_run_can_be_looked_at_repeated_and_gone_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let finished = herd(&["train", "--epochs", "3"]).folder(folder).succeed();
    let last = assert_tells_all(&finished);
    let run = folder.join("runs/latest");
    let best = run.join("best.safetensors");
    assert!(last.ends_with("/best.safetensors") && best.is_file(), "{finished}");
    assert_eq!(fs::canonicalize(&best).unwrap(), fs::canonicalize(folder.join(last)).unwrap());
    assert!(run.join("final.safetensors").is_file());
    let said = finished.error.lines().filter(|line| line.starts_with("epoch ")).count();
    assert_eq!((said, metrics(&run).len()), (3, 3), "{finished}");

    // What was said of the test rows can be measured again.
    let evaluate =
        |model: &str| herd(&["evaluate", model, "--json"]).folder(folder).succeed().json();
    let accuracy = evaluate("latest")["accuracy"].as_f64().unwrap();
    assert!(finished.output.contains(&format!("test accuracy {accuracy:.4}")), "{finished}");

    // The resolved job is a job: it gives the same split and model, wherever it starts.
    let config = run.join("config.toml");
    let elsewhere = tempfile::tempdir().unwrap();
    let config = fs::canonicalize(config).unwrap();
    let again = train(elsewhere.path(), &[config.to_str().unwrap()]);
    assert_eq!(again["samples"], 3 * 7200, "{again}");
    let copy = fs::read(elsewhere.path().join("runs/latest/config.toml")).unwrap();
    assert_eq!(String::from_utf8(copy).unwrap(), fs::read_to_string(&config).unwrap());

    // A run that hardly learns ends where the model that it begins with stands.
    let best = fs::canonicalize(best).unwrap();
    let flags = ["--init", best.to_str().unwrap(), "--learning-rate", "1e-9", "--epochs", "1"];
    let continued = train(folder, &[&flags[..], &["--validation-split", "0"]].concat());
    let moved = (continued["test_accuracy"].as_f64().unwrap() - accuracy).abs();
    assert!(accuracy > 0.8 && moved <= 0.001, "{accuracy} became {continued}");
}

/// Checks the one line that a run ends with, and gives the path of its model.
#[track_caller]
fn assert_tells_all(finished: &Finished) -> &str {
    assert_eq!(finished.output.lines().count(), 1, "{finished}");
    let parts: Vec<&str> = finished.output.trim_end().split(" | ").collect();
    let [accuracy, speed, speed_up, busy, bytes, model] = parts[..] else {
        panic!("six parts are expected: {finished}");
    };
    assert!(accuracy.starts_with("test accuracy 0."), "{accuracy}");
    assert!(speed.ends_with(" samples/s") && !speed.starts_with("0 "), "{speed}");
    assert!(speed_up.ends_with("x the best worker"), "{speed_up}");
    assert!(busy.contains("local-1 ") && busy.contains("local-2 "), "{busy}");
    assert!(bytes.contains(" up, ") && bytes.ends_with(" down"), "{bytes}");
    model.strip_prefix("model ").expect("the path of the model")
}

#[test]
fn a_dry_run_tells_the_plan_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let call = |flags: &[&str]| {
        let arguments = [&["train", "--dry-run", "--frequency", "steps=10"], flags].concat();
        herd(&arguments).folder(folder.path()).succeed()
    };
    let plan = call(&["--json"]).json();
    // 7,200 training rows in batches of 64; 118,282 values, the large tensors as f16.
    for (key, value) in [
        ("parameters", 118_282),
        ("train_samples", 7200),
        ("validation_samples", 800),
        ("test_samples", 2000),
        ("batches_per_epoch", 113),
        ("batches_per_lease", 10),
        ("leases_per_epoch", 12),
    ] {
        assert_eq!(plan[key], value, "{key}: {plan}");
    }
    let push = plan["bytes_per_push"].as_u64().unwrap();
    assert!((2 * 118_282..3 * 118_282).contains(&push), "{plan}");
    let text = call(&[]).output;
    for words in ["118282", "113 of 64", "10 batches each", "a push"] {
        assert!(text.contains(words), "{words:?} is missing in {text}");
    }
    assert_eq!(files(folder.path()), [""; 0], "a dry run writes nothing");
}

/// One of the example jobs.
fn example(name: &str) -> String {
    project().join("examples").join(name).to_str().expect("a path is text").to_owned()
}

/// The cells of a CSV text without quotes, its header apart.
fn cells(text: &str) -> (Vec<&str>, Vec<Vec<&str>>) {
    let mut lines = text.lines().map(|line| line.split(',').collect());
    (lines.next().expect("a header"), lines.collect())
}

#[test]
fn a_csv_classification_needs_only_a_job_and_data() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let summary = train(folder, &[&example("iris.toml")]);
    assert_eq!((&summary["test_samples"], &summary["samples"]), (&30.into(), &(60 * 108).into()));
    assert!(summary["test_accuracy"].as_f64().unwrap() >= 0.9, "{summary}");

    let data = example("iris.csv");
    let predicted = herd(&["predict", "latest", &data]).folder(folder).succeed().output;
    let (header, rows) = cells(&predicted);
    let classes = ["setosa", "versicolor", "virginica"];
    assert_eq!(header[..2], ["class", "index"]);
    assert!(
        header[2..]
            .iter()
            .zip(classes)
            .all(|(cell, class)| *cell == format!("probability_{class}"))
    );
    let text = fs::read_to_string(&data).unwrap();
    let (_, flowers) = cells(&text);
    assert_eq!((rows.len(), flowers.len()), (150, 150));
    let right = rows.iter().zip(&flowers).filter(|(row, flower)| row[0] == flower[4]).count();
    assert!(right >= 135, "{right} of 150 are right");
    assert!(rows.iter().all(|row| classes[row[1].parse::<usize>().unwrap()] == row[0]));

    let evaluation = herd(&["evaluate", "latest", &data, "--json"]).folder(folder).succeed().json();
    let accuracy = evaluation["accuracy"].as_f64().unwrap();
    assert!((accuracy - right as f64 / 150.0).abs() < 1e-6, "{right} right, but {evaluation}");

    // Columns are found by name, in any order and among others; rows keep their order.
    let turned = flowers.iter().rev().map(|f| format!("{},x,{},{},{}\n", f[3], f[2], f[1], f[0]));
    let header = "petal_width_cm,collector,petal_length_cm,sepal_width_cm,sepal_length_cm\n";
    let input = header.to_owned() + &turned.collect::<String>();
    let call = herd(&["predict", "latest", "-"]).folder(folder).input(input.as_bytes());
    let again = call.succeed().output;
    let (_, turned) = cells(&again);
    assert!(turned.iter().rev().eq(&rows), "other columns, other predictions: {again}");
}

#[test]
fn a_csv_regression_needs_only_a_job_and_data() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let summary = train(folder, &[&example("diabetes.toml")]);
    let mae = summary["test_mae"].as_f64().unwrap();
    assert!((30.0..55.0).contains(&mae), "{summary}");
    assert_eq!(summary["test_accuracy"], Value::Null, "numbers have no accuracy: {summary}");

    let data = example("diabetes.csv");
    let flags = ["predict", "latest", &data, "--format", "jsonl"];
    let predicted = herd(&flags).folder(folder).succeed().output;
    let text = fs::read_to_string(&data).unwrap();
    let (_, rows) = cells(&text);
    assert_eq!(predicted.lines().count(), rows.len());
    let error = |(line, row): (&str, &Vec<&str>)| {
        let line: Value = serde_json::from_str(line).expect("each line is JSON");
        let truth = row.last().unwrap().parse::<f64>().unwrap();
        (line["progression"].as_f64().expect("named as its column") - truth).abs()
    };
    let mean = predicted.lines().zip(&rows).map(error).sum::<f64>() / rows.len() as f64;
    let evaluation = herd(&["evaluate", "latest", &data, "--json"]).folder(folder).succeed().json();
    let mae = evaluation["mae"].as_f64().unwrap();
    assert!((mae - mean).abs() < 1e-3 * mean, "{mean} by predict, {mae} by evaluate");
}

#[test]
fn a_gpu_trains_through_wgpu() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--device", "wgpu", "--workers", "1", "--epochs", "8", "--learning-rate", "0.03"];
    let job = example("iris.toml");
    let arguments = [&["train", &job, "--json", "--set", "training.frequency=epoch"], &flags[..]];
    let finished = herd(&arguments.concat()).folder(folder.path()).run();
    assert!(
        !finished.error.contains("no GPU adapter was found"),
        "this test needs a Vulkan device; without a GPU install the one that computes on the \
         processor's cores: on Debian `apt-get install mesa-vulkan-drivers`. {finished}"
    );
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert!(summary["test_accuracy"].as_f64().unwrap() >= 0.8, "{summary}");
    let device = summary["workers"][0]["device"].as_str().unwrap();
    assert!(device.starts_with("gpu ("), "{summary}");
}
