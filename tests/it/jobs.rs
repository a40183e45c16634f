//! From a data file to a model: `herd data check`, `herd new`, and what ends a run before its last
//! epoch.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::process::{Call, Finished, herd, project};

/// A folder with the flowers of the examples and a new job for them.
fn flowers() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(project().join("examples/iris.csv"), folder.path().join("iris.csv")).unwrap();
    let new = herd(&["new", "iris.csv", "--label", "species"]).folder(folder.path()).succeed();
    assert!(new.error.ends_with("next: herd train job.toml\n"), "{new}");
    folder
}

/// The command that trains into the folder `run`.
fn training(folder: &Path, flags: &[&str]) -> Call {
    let common = ["train", "job.toml", "--device", "cpu", "--run-dir", "run", "--json"];
    herd(&[&common, flags].concat()).folder(folder)
}

/// Trains into the folder `run`.
fn train(folder: &Path, flags: &[&str]) -> Finished {
    training(folder, flags).run()
}

/// The lines of a run's metrics.
fn metrics(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The epoch, from 1, after which the validation loss has not improved for so many.
fn stalled(lines: &[Value], patience: usize) -> Option<usize> {
    let (mut best, mut waited) = (f64::INFINITY, 0);
    lines
        .iter()
        .position(|line| {
            let loss = line["validation_loss"].as_f64().unwrap();
            waited = if loss < best { 0 } else { waited + 1 };
            best = best.min(loss);
            waited == patience
        })
        .map(|place| place + 1)
}

#[test]
fn a_data_file_becomes_a_job_a_model_and_names_of_classes() {
    let folder = flowers();
    let trained = train(folder.path(), &[]);
    assert_eq!(trained.code, Some(0), "{trained}");
    let accuracy = trained.json()["test_accuracy"].as_f64().unwrap();
    assert!(accuracy >= 0.9, "{trained}");
    let predicted = herd(&["predict", "run", "iris.csv"]).folder(folder.path()).succeed().output;
    let mut lines = predicted.lines();
    let header = "class,index,probability_setosa,probability_versicolor,probability_virginica";
    assert_eq!(lines.next(), Some(header));
    let flowers = fs::read_to_string(folder.path().join("iris.csv")).unwrap();
    let right = flowers.lines().skip(1).zip(lines).filter(|(flower, predicted)| {
        flower.rsplit(',').next().unwrap() == predicted.split(',').next().unwrap()
    });
    let right = right.count();
    assert!(right >= 135, "{right} of 150 are right: the names are those of the file");
    // The model has its means and deviations with it, in a file as in a run.
    let alone = folder.path().join("alone.safetensors");
    fs::copy(folder.path().join("run/best.safetensors"), &alone).unwrap();
    let again = herd(&["predict", "alone.safetensors", "iris.csv"]).folder(folder.path());
    assert_eq!(again.succeed().output, predicted);
}

/// Passengers whose fate follows from words and numbers.
fn passengers() -> String {
    let row = |row: usize| {
        let (sex, port) = (["female", "male"][row * 7 % 2], ["C", "Q", "S"][row * 5 % 3]);
        let age = 1 + row * 13 % 80;
        let fate = if (sex == "female") != (age < 20 && port == "C") { "yes" } else { "no" };
        format!("{},passenger {row},{sex},{age},{port},{fate}\n", row + 1)
    };
    let rows: String = (0..400).map(row).collect();
    format!("number,name,sex,age,port,survived\n{rows}")
}

#[test]
fn columns_of_words_are_inputs_and_names_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("people.csv"), passengers()).unwrap();
    let new = ["new", "people.csv", "--label", "survived"];
    let said = herd(&new).folder(folder.path()).succeed();
    assert!(said.error.contains("name: it has too many different texts"), "{said}");
    let job = fs::read_to_string(folder.path().join("job.toml")).unwrap();
    assert!(job.contains("categorical = [\"sex\", \"port\"]"), "{job}");
    assert!(job.contains("ignore = [\"number\", \"name\"]"), "{job}");
    let trained = train(folder.path(), &["--target", "accuracy=0.9"]);
    assert_eq!(trained.code, Some(0), "{trained}");
    let who = b"port,sex,age\nS,female,40\nS,male,40\n";
    let predict = herd(&["predict", "run", "-"]).folder(folder.path()).input(who).succeed();
    let classes: Vec<_> = predict.output.lines().map(|line| line.split(',').next()).collect();
    assert_eq!(classes, [Some("class"), Some("yes"), Some("no")]);
    let who = b"port,sex,age\nX,female,40\n";
    let stranger = herd(&["predict", "run", "-"]).folder(folder.path()).input(who).run();
    assert_eq!(stranger.code, Some(3), "{stranger}");
    assert!(stranger.error.contains("`X` does not occur in the training data"), "{stranger}");
}

#[test]
fn a_regression_says_numbers() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(project().join("examples/diabetes.csv"), folder.path().join("d.csv")).unwrap();
    let new = ["new", "d.csv", "--label", "progression"];
    let _ = herd(&new).folder(folder.path()).succeed();
    let trained = train(folder.path(), &[]);
    assert_eq!(trained.code, Some(0), "{trained}");
    let error = trained.json()["test_mae"].as_f64().unwrap();
    assert!(error < 60.0, "always saying the mean gives 66: {trained}");
    let predict = herd(&["predict", "run", "d.csv"]).folder(folder.path()).succeed();
    assert!(predict.output.starts_with("progression\n"), "{predict}");
}

#[test]
fn data_that_cannot_be_used_are_named_with_their_remedies() {
    let folder = tempfile::tempdir().unwrap();
    let text = "a,b,kind\n1,2,x\n,2,y\n3,zwei,x\n4,5,y\n1,2,x\n6,7,y\n8,9,x\n9,1,y\n1,1,x\n\
                2,3,y\n3,5,x\n";
    fs::write(folder.path().join("bad.csv"), text).unwrap();
    let check = |flags: &[&str]| {
        let flags = [&["data", "check", "bad.csv", "--label", "kind"], flags].concat();
        let checked = herd(&flags).folder(folder.path()).run();
        assert_eq!(checked.code, Some(3), "{checked}");
        assert_eq!(
            checked.error,
            "herd: bad.csv cannot be used as it stands: 2 errors, see above\n"
        );
        checked
    };
    let said = check(&[]).output;
    assert!(said.contains("error    a: a cell is empty, in line 3\n"), "{said}");
    assert!(said.contains("data.ignore = [\"a\"]"), "{said}");
    assert!(said.contains("such as `zwei` in line 4"), "{said}");
    let json = check(&["--json"]).json();
    assert_eq!(json["usable"], false);
    assert_eq!(json["problems"][0]["severity"], "error");

    let new = ["new", "bad.csv", "--label", "kind"];
    let refused = herd(&new).folder(folder.path()).run();
    assert_eq!((refused.code, folder.path().join("job.toml").exists()), (Some(3), false));
    assert!(refused.error.contains("a: a cell is empty, in line 3"), "{refused}");
    fs::write(folder.path().join("bad.csv"), text.replace(",2,y", "7,2,y").replace("zwei", "2"))
        .unwrap();
    let _ = herd(&["data", "check", "bad.csv", "--label", "kind"]).folder(folder.path()).succeed();
}

#[test]
fn a_target_ends_a_run_or_fails_it() {
    let folder = flowers();
    let met = train(folder.path(), &["--target", "accuracy=0.8"]);
    assert_eq!(met.code, Some(0), "{met}");
    assert!(met.error.contains("the target is met: validation accuracy "), "{met}");
    let json = met.json();
    assert_eq!(
        (json["ending"].as_str(), json["target_met"].as_bool()),
        (Some("target-met"), Some(true))
    );
    // The result is the model that meets it, which is the first that does.
    assert!(json["validation_accuracy"].as_f64().unwrap() >= 0.8, "{met}");
    let reaches = |line: &Value| line["validation_accuracy"].as_f64().unwrap() >= 0.8;
    let first = metrics(folder.path()).iter().position(reaches).unwrap() + 1;
    assert_eq!(json["best_epoch"], first);
    let again = herd(&["train", "--resume", "run"]).folder(folder.path()).run();
    again.assert_refused(2, &["this run is complete"]);

    fs::remove_dir_all(folder.path().join("run")).unwrap();
    let missed = train(folder.path(), &["--target", "loss=0.0001", "--epochs", "3"]);
    assert_eq!(missed.code, Some(1), "{missed}");
    let last = missed.error.lines().last().unwrap();
    assert!(
        last.starts_with(
            "herd: target not met: validation loss 0.0001 was asked for, the best was "
        ),
        "{missed}"
    );
    let json = missed.json();
    assert_eq!(
        (json["ending"].as_str(), json["target_met"].as_bool()),
        (Some("complete"), Some(false))
    );
    assert!(folder.path().join("run/final.safetensors").is_file(), "the models are kept");
}

#[test]
fn time_ends_a_run_which_can_go_on() {
    let folder = flowers();
    let endless = ["--epochs", "1000000", "--set", "training.early_stopping=0", "--max-time", "1s"];
    let ended = train(folder.path(), &endless);
    assert_eq!(ended.code, Some(0), "{ended}");
    assert!(
        ended
            .error
            .contains("the time is up: 1s of training; a checkpoint and the models are written\n"),
        "{ended}"
    );
    assert!(ended.error.contains("to go on: herd train --resume "), "{ended}");
    let json = ended.json();
    assert_eq!(
        (json["ending"].as_str(), json["target_met"].as_null()),
        (Some("time-up"), Some(()))
    );
    let _ = herd(&["predict", "run", "iris.csv"]).folder(folder.path()).succeed();
    let resume = |flags: &[&str]| {
        let flags = [&["train", "--resume", "run", "--json"], flags].concat();
        herd(&flags).folder(folder.path()).run()
    };
    resume(&[]).assert_refused(2, &["has used the 1s", "--max-time"]);
    let longer = resume(&["--max-time", "3s"]);
    assert_eq!(
        (longer.code, longer.json()["ending"].as_str()),
        (Some(0), Some("time-up")),
        "{longer}"
    );
    let (before, after) = (&json["seconds"], &longer.json()["seconds"]);
    assert!(after.as_f64() > before.as_f64(), "time is counted over all starts: {before} {after}");
    let _ = herd(&["runs", "show", "run"]).folder(folder.path()).succeed();
}

#[test]
fn time_that_is_up_without_the_target_is_a_failure() {
    let folder = flowers();
    let flags = ["--epochs", "1000000", "--max-time", "1s", "--target", "loss=0"];
    let ended = train(folder.path(), &[&flags[..], &["--early-stopping", "0"]].concat());
    assert_eq!(ended.code, Some(1), "{ended}");
    assert!(ended.error.contains("the time is up"), "{ended}");
    assert!(ended.error.lines().last().unwrap().contains("target not met"), "{ended}");
}

#[test]
fn a_run_without_progress_ends_and_keeps_the_best() {
    let folder = flowers();
    // So large a rate soon makes nothing better.
    let flags = ["--early-stopping", "4", "--learning-rate", "0.05", "--epochs", "100000"];
    let ended = train(folder.path(), &flags);
    assert_eq!(ended.code, Some(0), "{ended}");
    let json = ended.json();
    assert_eq!(json["ending"], "early-stopping", "{ended}");
    let lines = metrics(folder.path());
    let at = stalled(&lines, 4).unwrap();
    assert_eq!(json["best_epoch"], at - 4, "{ended}");
    let said = format!("validation loss did not improve for 4 epochs; epoch {} with", at - 4);
    assert!(ended.error.contains(&said), "{ended}");
    let _ = herd(&["runs", "show", "run"]).folder(folder.path()).succeed();
}

#[test]
fn patience_goes_on_with_a_resumed_run() {
    let folder = flowers();
    let patience = 8;
    let flags = ["--learning-rate", "0.05", "--epochs", "100000", "--early-stopping", "8"];
    // So slow that it does not end before the signal comes.
    let slow = training(folder.path(), &flags).env("HERD_TEST_SAMPLES_PER_SECOND", "500");
    let mut running = slow.start();
    running.wait_for("epoch   5/");
    running.interrupt();
    let stopped = running.finish();
    assert_eq!(stopped.code, Some(130), "{stopped}");
    let ended = herd(&["train", "--resume", "run"]).folder(folder.path()).succeed();
    let at = stalled(&metrics(folder.path()), patience).unwrap();
    let said = format!("did not improve for {patience} epochs; epoch {} with", at - patience);
    assert!(ended.error.contains(&said), "{ended}");
}

#[test]
fn a_deterministic_run_stops_at_the_same_epoch_with_the_same_model() {
    let folder = flowers();
    let flags =
        ["--deterministic", "--early-stopping", "3", "--learning-rate", "0.05", "--epochs", "3000"];
    let results = [1, 2].map(|_| {
        let ended = train(folder.path(), &flags);
        assert_eq!(ended.code, Some(0), "{ended}");
        assert_eq!(ended.json()["ending"], "early-stopping", "{ended}");
        let best = fs::read(folder.path().join("run/best.safetensors")).unwrap();
        fs::remove_dir_all(folder.path().join("run")).unwrap();
        (ended.json()["best_epoch"].clone(), best)
    });
    assert_eq!(results[0].0, results[1].0);
    assert!(results[0].1 == results[1].1, "the best models differ");
}

/// Two clouds of points that overlap; one is rare.
fn clouds() -> String {
    let mut state = 7_u64;
    let mut number = || {
        // Twelve even numbers make nearly a normal one.
        let mut even = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as f64 / (1_u64 << 31) as f64
        };
        (0..12).map(|_| even()).sum::<f64>() - 6.0
    };
    let rows: String = (0..1200)
        .map(|row| {
            let (kind, middle) = if row % 25 == 0 { ("rare", 1.5) } else { ("common", 0.0) };
            format!("{:.4},{:.4},{kind}\n", number() + middle, number())
        })
        .collect();
    format!("x,y,kind\n{rows}")
}

#[test]
fn rare_classes_are_found_when_they_weigh_more() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("clouds.csv"), clouds()).unwrap();
    let new = herd(&["new", "clouds.csv", "--label", "kind"]).folder(folder.path()).succeed();
    assert!(new.error.contains("unbalanced: `common` has 1152 rows, `rare` 48"), "{new}");
    let truth = fs::read_to_string(folder.path().join("clouds.csv")).unwrap();
    // How many of the rare ones are found, and of the others.
    let found = |weights: &str| {
        let set = format!("training.class_weights={weights}");
        let trained = train(folder.path(), &["--set", &set, "--epochs", "40"]);
        assert_eq!(trained.code, Some(0), "{trained}");
        let predict = herd(&["predict", "run", "clouds.csv"]).folder(folder.path()).succeed();
        fs::remove_dir_all(folder.path().join("run")).unwrap();
        let pairs = truth.lines().zip(predict.output.lines()).skip(1);
        let pairs = pairs.map(|(row, said)| (row.rsplit(',').next(), said.split(',').next()));
        let hits = pairs.filter(|(row, said)| row == said).map(|(row, _)| row.unwrap());
        let hits: Vec<&str> = hits.collect();
        let count = |kind: &str| hits.iter().filter(|hit| **hit == kind).count();
        (count("rare"), count("common"))
    };
    let (plain, balanced, table) = (found("\"\""), found("balanced"), found("{ rare = 24.0 }"));
    assert!(plain.0 < 12, "{plain:?}: the test needs a class that is not found otherwise");
    for weighted in [balanced, table] {
        assert!(weighted.0 >= 24 && weighted.1 > 576, "{weighted:?} of 48 and 1152");
    }
    let wrong = train(folder.path(), &["--set", "training.class_weights={ rar = 2.0 }"]);
    assert_eq!(wrong.code, Some(3), "{wrong}");
    assert!(wrong.error.contains("did you mean `rare`?"), "{wrong}");
}

#[test]
fn goals_that_nothing_measures_are_refused() {
    let folder = flowers();
    for (flags, words) in [
        (["--target", "mae=1"].as_slice(), ["--target", "use accuracy or loss"]),
        (&["--target", "accuracy=95"], ["--target", "at most 1"]),
        (&["--max-time", "soon"], ["--max-time", "write 90s"]),
        (&["--early-stopping", "-1"], ["--early-stopping", "such as 5"]),
        (&["--target", "loss=1", "--validation-split", "0"], ["--target", "data.validation_split"]),
    ] {
        train(folder.path(), flags).assert_refused(2, &words);
    }
    assert!(!folder.path().join("run").exists());
}
