//! Verbs besides training and prediction: stored runs, models, this machine, the command line itself.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;
use tests::process::{Finished, herd, project, worker};

/// Training rows of the default job, those that validate left out.
const ROWS: u64 = 7200;

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    herd(arguments).folder(folder).run()
}

fn train(folder: &Path, name: &str, epochs: &str) {
    let flags = ["train", "--name", name, "--epochs", epochs, "--device", "cpu"];
    let _ = herd(&flags).folder(folder).succeed();
}

/// The runs that `herd runs list` knows, newest first.
fn runs(folder: &Path) -> Vec<Value> {
    let list = herd(&["runs", "list", "--json"]).folder(folder).succeed().json();
    list["runs"].as_array().expect("a list").clone()
}

fn name(run: &Value) -> String {
    run["run"].as_str().expect("a run has a name").to_owned()
}

#[test]
fn runs_are_listed_compared_exported_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let none = herd(&["runs", "list"]).folder(folder).succeed();
    assert_eq!(none.output, "no runs in runs yet; `herd train` makes one\n");
    train(folder, "one", "1");
    train(folder, "two", "2");

    let found = runs(folder);
    let names: Vec<String> = found.iter().map(name).collect();
    assert!(names.len() == 2 && names[0].ends_with("_two") && names[1].ends_with("_one"));
    for (run, epochs) in found.iter().zip([2, 1]) {
        assert_eq!((&run["state"], &run["problem"]), (&"done".into(), &Value::Null), "{run}");
        assert_eq!((&run["epochs"], &run["epochs_complete"]), (&epochs.into(), &epochs.into()));
        assert_eq!(run["samples"], epochs * ROWS, "{run}");
        assert!(run["best_accuracy"].as_f64() > Some(0.1) && run["best_loss"].is_f64(), "{run}");
        assert_eq!(run["parameters"], 118_282);
    }
    let table = herd(&["runs", "list"]).folder(folder).succeed().output;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("run "), "{table}");
    assert!(lines[1].starts_with(&names[0]) && lines[1].contains(" 2/2 "), "{table}");

    let both = herd(&["runs", "compare", "latest", &names[1]]).folder(folder).succeed().output;
    for row in ["training.epochs", "name ", "result ", "best accuracy", "samples/s"] {
        assert!(both.lines().any(|line| line.starts_with(row)), "{row}: {both}");
    }
    assert!(!both.contains("training.mode") && !both.contains("model.layers"), "{both}");
    let same = herd(&["runs", "compare", &names[1], &names[1]]).folder(folder).succeed().output;
    assert!(same.starts_with("the jobs are the same\n"), "{same}");

    export(folder, &names[0]);

    let unknown = ["runs", "rm", &names[1], "no-such-run"];
    run(folder, &unknown).assert_refused(3, &["no-such-run", "no such run", "nothing is deleted"]);
    assert_eq!(runs(folder).len(), 2, "none is deleted");
    let said = herd(&["runs", "rm", "latest"]).folder(folder).succeed().output;
    assert!(
        said.starts_with(&format!("{}: deleted, ", names[0])) && said.contains(" MB"),
        "{said}"
    );
    assert_eq!(runs(folder).iter().map(name).collect::<Vec<_>>(), [names[1].clone()]);
    let shown = herd(&["runs", "show", "latest", "--json"]).folder(folder).succeed().json();
    assert_eq!(name(&shown), names[1], "`latest` is the newest that is left");
    let _ = herd(&["runs", "rm", "latest"]).folder(folder).succeed();
    assert_eq!(fs::read_dir(folder.join("runs")).unwrap().count(), 0, "the link goes too");
    run(folder, &["runs", "rm", "latest"]).assert_refused(3, &["latest", "no such run"]);
}

/// Exports the newest run, which is `name`.
#[track_caller]
fn export(folder: &Path, name: &str) {
    let said = herd(&["runs", "export", "latest", "--to", "out/best"]).folder(folder).succeed();
    assert!(said.output.contains("model.safetensors"), "{said}");
    // It stands alone: another folder, and no run.
    let evaluation = |model: &str| {
        herd(&["evaluate", model, "--json"]).folder(folder).succeed().json()["accuracy"].clone()
    };
    fs::rename(folder.join("out/best"), folder.join("given")).unwrap();
    assert_eq!(evaluation("given"), evaluation(name));
    let table = fs::read_to_string(folder.join("given/metrics.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("epoch,seconds,version,"), "{table}");
    let list = fs::read(folder.join("given/metrics.json")).unwrap();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list[1]["samples"], ROWS);
    let plan = ["train", "given/job.toml", "--dry-run", "--json"];
    assert_eq!(herd(&plan).folder(folder).succeed().json()["epochs"], 2);

    let again = ["runs", "export", "latest", "--to", "given"];
    run(folder, &again).assert_refused(3, &["given/model.safetensors", "there already", "--force"]);
    let _ = herd(&[&again[..], &["--force"]].concat()).folder(folder).succeed();
    let file = ["runs", "export", "latest", "--to", "m.safetensors"];
    let _ = herd(&file).folder(folder).succeed();
    let exported = fs::read(folder.join("m.safetensors")).unwrap();
    assert_eq!(exported, fs::read(folder.join("given/model.safetensors")).unwrap());
    run(folder, &file).assert_refused(3, &["m.safetensors", "there already"]);
    let below = ["runs", "export", "latest", "--to", "m.safetensors/x"];
    run(folder, &below).assert_refused(3, &["m.safetensors/x", "cannot be written", "--to"]);
    run(folder, &["runs", "export", "none", "--to", "x"])
        .assert_refused(3, &["none", "no such run"]);
    assert!(!folder.join("x").exists());
}

#[test]
fn a_run_that_is_going_on_is_told_and_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut running =
        herd(&["train", "--workers", "0", "--run-dir", "runs/x"]).folder(folder).start();
    let _ = running.invitation();
    let found = runs(folder);
    assert_eq!(found[0]["state"], "running", "{found:?}");
    assert_eq!(found[0]["process"], running.id(), "{found:?}");
    let words = ["runs/x", "another coordinator is training this run", &running.id().to_string()];
    run(folder, &["runs", "rm", "x"]).assert_refused(3, &words);
    let export = ["runs", "export", "x", "--to", "out"];
    run(folder, &export).assert_refused(3, &["there is no model in this folder"]);
    running.kill();
    let _ = running.finish();
    assert_eq!(runs(folder)[0]["state"], "resumable");
    // What is not Herd's stays, and its folder with it.
    fs::write(folder.join("runs/x/notes.txt"), "mine").unwrap();
    let said = herd(&["runs", "rm", "x"]).folder(folder).succeed().output;
    assert!(said.ends_with("runs/x: left, as it holds notes.txt\n"), "{said}");
    assert_eq!(fs::read_to_string(folder.join("runs/x/notes.txt")).unwrap(), "mine");
    run(folder, &["runs", "rm", "x"]).assert_refused(3, &["runs/x", "there is no run"]);
}

#[test]
fn models_are_shown_wherever_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text = herd(&["model", "show", "mnist-cnn"]).folder(folder).succeed().output;
    assert!(text.starts_with("preset mnist-cnn\n"), "{text}");
    let total = text.lines().find(|line| line.starts_with("total")).expect("a line of totals");
    assert!(total.contains("27,562"), "{text}");
    let iris = project().join("examples/iris.toml");
    let shown = herd(&["model", "show", iris.to_str().unwrap(), "--json"]).folder(folder).succeed();
    let shown = shown.json();
    let sum = |key: &str| {
        let layers = shown["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer[key].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(shown["parameters"], sum("parameters"));
    assert_eq!(shown["multiply_adds"], sum("multiply_adds"));

    train(folder, "one", "1");
    for spec in ["latest", "runs/latest/best.safetensors", "runs/latest/config.toml"] {
        let shown = herd(&["model", "show", spec, "--json"]).folder(folder).succeed().json();
        assert_eq!(shown["parameters"], 118_282, "{spec}");
    }
    let wrong = ["model", "show", "mnist-mpl"];
    run(folder, &wrong).assert_refused(3, &["mnist-mpl", "did you mean `mnist-mlp`?"]);
    fs::write(folder.join("cut.safetensors"), "no model").unwrap();
    let cut = ["model", "show", "cut.safetensors"];
    run(folder, &cut).assert_refused(3, &["cut.safetensors", "no safetensors file"]);
}

#[test]
fn the_doctor_names_what_is_wrong_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let finding = |report: &Value, what: &str| {
        let findings = report["findings"].as_array().expect("a list").clone();
        let found = findings.into_iter().find(|finding| finding["what"] == what);
        found.unwrap_or_else(|| panic!("nothing is said of {what}: {report}"))
    };
    // No driver: the loader of Vulkan finds none at this place.
    let none = Path::new("/nonexistent");
    let call = || herd(&["doctor", "--json"]).folder(folder).env("VK_DRIVER_FILES", none);
    let report = call().succeed().json();
    for what in ["version", "page", "cores", "gpu", "cuda", "port", "runs", "connections"] {
        assert_ne!(finding(&report, what)["level"], "problem", "{report}");
    }
    let gpu = finding(&report, "gpu");
    assert_eq!(gpu["level"], "warning", "{gpu}");
    assert!(gpu["remedy"].as_str().unwrap().contains("mesa-vulkan-drivers"), "{gpu}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let call = herd(&["doctor"]).folder(folder).env("HERD_LISTEN", &address);
    let finished = call.env("VK_DRIVER_FILES", none).run();
    assert_eq!(finished.code, Some(1), "{finished}");
    let line = finished.output.lines().find(|line| line.starts_with("problem"));
    let line = line.unwrap_or_else(|| panic!("no line of a problem; {finished}"));
    assert!(line.contains(&address) && line.contains("in use; choose another"), "{line}");
    assert_eq!(finished.error, "herd: 1 problem keeps Herd from training here\n");
    let call = herd(&["doctor"]).folder(folder).env("HERD_EPOCHS", "many");
    let finished = call.env("VK_DRIVER_FILES", none).run();
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.output.contains("HERD_EPOCHS"), "{finished}");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0, "nothing is left");
}

#[test]
fn herd_is_a_worker_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["train", "--workers", "0", "--epochs", "1", "--json"];
    let mut coordinator = herd(&flags).folder(folder.path()).start();
    let invitation = coordinator.invitation();
    let flags = ["--token", &invitation.token, "--once", "--device", "cpu", "--name", "inside"];
    let arguments = [&["worker", &invitation.address], &flags[..]].concat();
    let finished = herd(&arguments).run();
    assert_eq!((finished.code, finished.error.as_str()), (Some(0), "herd: the run is complete\n"));
    let summary = coordinator.finish().json();
    assert_eq!(summary["workers"][0]["name"], "inside", "{summary}");
    assert_eq!(summary["samples"], ROWS, "{summary}");

    herd(&["worker", "localhost"]).run().assert_refused(2, &["localhost", "ws://HOST:PORT"]);
    let options = |help: &Finished| {
        let lines = help.output.lines().skip_while(|line| !line.starts_with("Arguments:"));
        let lines = lines.take_while(|line| !line.starts_with("Example"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (inside, alone) = (herd(&["worker", "--help"]).succeed(), worker(&["--help"]).succeed());
    assert!(options(&alone).len() > 10, "{alone}");
    assert_eq!(options(&inside), options(&alone), "both have the same flags");
}

#[test]
fn the_command_line_is_told_to_shells_and_to_man() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (shell, words) in
        [("bash", "_herd()"), ("zsh", "#compdef herd"), ("fish", "complete -c herd")]
    {
        let script = herd(&["completions", shell]).succeed().output;
        assert!(script.contains(words), "{shell}");
        assert!(script.contains("compare") && script.contains("doctor"), "{shell}");
    }
    run(folder, &["completions", "tcsh"]).assert_refused(2, &["tcsh", "bash", "zsh", "--help"]);
    assert!(herd(&["man"]).succeed().output.contains(".TH herd 1"));
    let said = herd(&["man", "--dir", "man/man1"]).folder(folder).succeed().output;
    let pages = fs::read_dir(folder.join("man/man1")).unwrap().count();
    assert_eq!(said, format!("{pages} pages in man/man1\n"));
    let page = fs::read_to_string(folder.join("man/man1/herd-train.1")).unwrap();
    assert!(page.contains("\\-\\-epochs"), "{page}");
    fs::write(folder.join("file"), "").unwrap();
    run(folder, &["man", "--dir", "file/x"])
        .assert_refused(3, &["file/x", "cannot be written", "--dir"]);
}

#[test]
fn a_slip_of_the_keyboard_is_answered_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &[&str]); 4] = [
        (&["train", "--epoch", "3"], &["--epoch", "`herd train --help` tells more", "--epochs"]),
        (&["runs", "compare", "latest"], &["2 values", "RUN"]),
        (&["runs", "export", "latest"], &["--to <FOLDER|FILE>"]),
        (&["rnus"], &["rnus", "runs"]),
    ];
    for (arguments, words) in cases {
        run(folder.path(), arguments).assert_refused(2, words);
    }
}
