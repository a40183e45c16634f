//! Tests of what is shown of a run.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::cli::{ExportArgs, ListArgs, RemoveArgs};
use crate::storage::Store;
use crate::storage::tests::course::{Course, Fate};
use crate::storage::tests::plan;

/// A run in which all happens that can: two volunteers, a late duplicate, a refused delta, a lease
/// given back, one that is lost with the coordinator, and a second start.
pub(super) fn run() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("metrics.jsonl"), "").unwrap();
    let mut course = Course::new(path);
    let mut store = Store::create(path).unwrap();
    store.begin("127.0.0.1:1".parse().unwrap(), &[]).unwrap();
    course.lease(1, Fate::Merged);
    course.lease(1, Fate::NotFinite);
    course.lease(2, Fate::Released);
    let kept = course.lease(2, Fate::Kept).unwrap();
    save(&mut store, &mut course);
    // It was lost in that checkpoint, and then it came.
    course.deliver(2, kept, true);
    course.lease(2, Fate::Kept);
    course.leave(2);
    course.lease(3, Fate::Kept);
    save(&mut store, &mut course);
    drop(store);

    let mut store = Store::open(path).unwrap();
    store.begin("127.0.0.1:1".parse().unwrap(), &[]).unwrap();
    let loaded = store.load(plan(1).tensors()).unwrap().unwrap();
    course.restart(loaded.record.engine, loaded.record.metrics_bytes);
    course.lease(4, Fate::Merged);
    save(&mut store, &mut course);
    course.finish(1);
    save(&mut store, &mut course);
    drop(store);
    folder
}

fn save(store: &mut Store, course: &mut Course) {
    let plan = plan(1);
    let values = vec![0.5; plan.tensors().elements()];
    store.save(&course.checkpoint(), plan.tensors(), &values, &[]).unwrap();
}

fn shown(folder: &Path) -> Shown {
    Shown::read(folder).unwrap()
}

fn differences(folder: &Path) -> Vec<String> {
    shown(folder).checked.unwrap().1.differences
}

#[test]
fn the_ledger_of_a_troubled_run_is_exact() {
    let folder = run();
    let shown = shown(folder.path());
    let (record, findings) = shown.checked.as_ref().unwrap();
    assert_eq!(findings.differences, Vec::<String>::new());
    assert_eq!(findings.line(), "ledger exact: 2 epochs, each of 64 samples counted once");
    assert_eq!((shown.state_words(), record.number), ("resumable".to_owned(), 4), "no last model");
    fs::write(folder.path().join("final.safetensors"), "").unwrap();
    let shown = self::shown(folder.path());
    assert_eq!(shown.state_words(), "done");
    assert_eq!(shown.report.incarnations.len(), 2);

    let first = &shown.tables.epochs[&0];
    assert_eq!((first.samples, first.units), (64, 8));
    // Besides the eight: one refused, one given back, one lost with its worker, one lost with the
    // coordinator.
    assert_eq!((first.leases, first.released, first.re_leased), (12, 3, 32));
    assert_eq!(first.rejected.get("not-finite"), Some(&1));
    assert_eq!(shown.tables.totals.samples, 128);
    assert_eq!(shown.tables.workers[&2].merged, 1);
    assert_eq!(shown.tables.workers[&1].rejected.get("not-finite"), Some(&1));

    let text = print::text(&shown, false);
    assert!(text.contains("not-finite 1") && text.contains("volunteer 1"), "{text}");
    assert!(text.ends_with("counted once\n"), "{text}");
    let json = print::json(&shown);
    assert_eq!(json["exact"], true);
    assert_eq!(json["epochs"][0]["counts"]["leases"], 12);
    assert_eq!(json["state"], "done");
}

#[test]
fn a_run_that_is_going_on_can_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("metrics.jsonl"), "").unwrap();
    let mut store = Store::create(folder.path()).unwrap();
    let text = print::text(&shown(folder.path()), false);
    assert!(text.contains("running") && text.contains("no checkpoint yet"), "{text}");
    let mut course = Course::new(folder.path());
    course.lease(1, Fate::Merged);
    course.lease(1, Fate::Kept);
    save(&mut store, &mut course);
    let shown = shown(folder.path());
    let (_, findings) = shown.checked.as_ref().unwrap();
    assert_eq!(findings.differences, Vec::<String>::new());
    assert_eq!(findings.line(), "ledger exact: no epoch is complete yet");
    assert!(print::text(&shown, false).contains("1 open"));
    // Looking takes nothing away from the one that trains.
    course.lease(1, Fate::Merged);
    save(&mut store, &mut course);
}

#[test]
fn a_doctored_ledger_is_seen() {
    let doctored = |statement: &str| {
        let folder = run();
        let ledger = Connection::open(folder.path().join("run.db")).unwrap();
        assert!(ledger.execute(statement, []).unwrap() > 0, "{statement}");
        drop(ledger);
        differences(folder.path()).join("\n")
    };
    let first = "checkpoint = 1 AND incarnation = 1 AND number = 1";
    let found = doctored(&format!("DELETE FROM lease WHERE {first}"));
    assert!(found.contains("epoch 1: 56 samples in the ledger, 64 in metrics.jsonl"), "{found}");
    assert!(found.contains("epoch 1: 8 samples of shard"), "{found}");
    assert!(found.contains("the run: 120 samples in the ledger, 128 in the checkpoint"), "{found}");

    let found = doctored(&format!(
        "UPDATE lease SET segments = (SELECT segments FROM lease WHERE outcome = 'merged' AND epoch = 0 \
         AND checkpoint = 4 LIMIT 1) WHERE {first}"
    ));
    assert!(found.contains("counted twice") && found.contains("missing"), "{found}");

    let found = doctored(&format!("UPDATE lease SET samples = 7 WHERE {first}"));
    assert!(found.contains("lease 1.1: 7 samples, and 8 in its segments"), "{found}");

    let found = doctored("UPDATE lease SET late = 1 WHERE checkpoint = 4");
    assert!(found.contains("late leases in the ledger, 0 in the checkpoint"), "{found}");
    assert!(found.contains("what it holds of checkpoint 4 is damaged"), "{found}");
}

#[test]
fn other_metrics_are_seen() {
    let folder = run();
    let path = folder.path().join("metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"leases\":12", "\"leases\":13", 1)).unwrap();
    let found = differences(folder.path());
    assert_eq!(found, ["epoch 1: 12 leases in the ledger, 13 in metrics.jsonl"]);
    fs::write(&path, text.lines().next().unwrap()).unwrap();
    let found = differences(folder.path()).join("\n");
    assert!(found.contains("epoch 2: no line in metrics.jsonl"), "{found}");
}

#[test]
fn a_run_is_found_by_folder_and_shown_or_refused() {
    let folder = run();
    let args = |run: &Path| ShowArgs { run: run.to_owned(), json: false, all: true };
    let message = show(&args(folder.path())).unwrap_err().to_string();
    assert!(message.contains("there is no run in this folder"), "{message}");
    fs::write(folder.path().join("config.toml"), "").unwrap();
    show(&args(folder.path())).unwrap();
    Connection::open(folder.path().join("run.db"))
        .unwrap()
        .execute("DELETE FROM lease WHERE checkpoint = 1", [])
        .unwrap();
    let error = show(&args(folder.path())).unwrap_err();
    assert_eq!(crate::cli::exit_code(&error), 1, "{error}");
    let message = show(&args(Path::new("no/such/run"))).unwrap_err().to_string();
    assert!(message.starts_with("no/such/run: there is no such run"), "{message}");
}

/// A folder of runs with one that is done and a link to it.
fn runs() -> TempDir {
    let parent = tempfile::tempdir().unwrap();
    let one = run();
    let job = crate::config::resolve(None, &[], &[]).unwrap();
    let path = parent.path().join("one");
    fs::rename(one.path(), &path).unwrap();
    fs::write(path.join("config.toml"), job.to_toml()).unwrap();
    fs::write(path.join("spec.json"), job.model.to_json()).unwrap();
    fs::write(path.join("final.safetensors"), "a model").unwrap();
    std::os::unix::fs::symlink("one", parent.path().join("latest")).unwrap();
    parent
}

#[test]
fn a_list_has_each_run_once_and_the_newest_first() {
    let parent = runs();
    // A younger one without a ledger, and what is no run.
    let two = parent.path().join("two");
    fs::create_dir(&two).unwrap();
    fs::create_dir(parent.path().join("no run")).unwrap();
    fs::write(two.join("config.toml"), "[training]\nepochs = 7\n").unwrap();
    let found = entry::Entry::all(parent.path()).unwrap();
    let names: Vec<_> = found.iter().map(|run| run.run.as_str()).collect();
    assert_eq!(names, ["two", "one"]);

    let (two, one) = (&found[0], &found[1]);
    assert_eq!((two.state, two.epochs_text().as_str()), (State::Stopped, "0/7"));
    assert!(two.problem.as_ref().unwrap().contains("there is no run.db in it"), "{two:?}");
    assert_eq!((one.state, one.samples, one.problem.as_deref()), (State::Done, 128, None));
    assert_eq!((one.epochs_complete, one.epochs), (2, Some(20)));
    assert!(one.started.is_some() && one.parameters > Some(100_000));

    let missing = ListArgs { folder: Some("no/such/folder".into()), json: false };
    let error = list(&missing).unwrap_err();
    assert!(error.to_string().contains("no/such/folder") && crate::cli::exit_code(&error) == 3);
}

#[test]
fn runs_are_deleted_together_or_not_at_all() {
    let parent = runs();
    let path = parent.path().join("one");
    let unknown = parent.path().join("none");
    let both = RemoveArgs { runs: vec![path.clone(), unknown, parent.path().join("three")] };
    let message = remove(&both).unwrap_err().to_string();
    for word in ["none: there is no such run", "three: there is no such run", "nothing is deleted"]
    {
        assert!(message.contains(word), "{word}: {message}");
    }
    let only = RemoveArgs { runs: vec![parent.path().join("latest"), path.clone()] };
    let lock = crate::storage::RunLock::take(&path).unwrap();
    let error = remove(&only).unwrap_err();
    assert!(error.to_string().contains("another coordinator is training this run"), "{error}");
    assert_eq!(crate::cli::exit_code(&error), 3);
    assert!(path.join("run.db").is_file(), "it is all there");
    drop(lock);
    remove(&only).unwrap();
    assert!(!path.exists() && !parent.path().join("latest").is_symlink());
}

#[test]
fn an_exported_run_stands_alone_and_overwrites_nothing_unasked() {
    let parent = runs();
    let to = parent.path().join("out/digits");
    let args = |to: &Path, force| ExportArgs {
        run: parent.path().join("latest"),
        to: to.to_owned(),
        force,
    };
    export(&args(&to, false)).unwrap();
    assert_eq!(fs::read_to_string(to.join("model.safetensors")).unwrap(), "a model");
    let table = fs::read_to_string(to.join("metrics.csv")).unwrap();
    assert!(table.starts_with("epoch,") && table.lines().count() == 3, "{table}");
    let found = crate::storage::find(&to).unwrap();
    assert_eq!(found.model, to.join("model.safetensors"));
    assert_eq!(found.config, Some(to.join("job.toml")));

    fs::write(to.join("metrics.csv"), "mine").unwrap();
    let error = export(&args(&to, false)).unwrap_err();
    assert!(error.to_string().contains("metrics.csv") && error.to_string().contains("--force"));
    assert_eq!(crate::cli::exit_code(&error), 3);
    assert_eq!(fs::read_to_string(to.join("metrics.csv")).unwrap(), "mine");
    export(&args(&to, true)).unwrap();
    assert_eq!(fs::read_to_string(to.join("metrics.csv")).unwrap(), table);

    let file = parent.path().join("epochs.json");
    export(&args(&file, false)).unwrap();
    let list: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(list[1]["epoch"], 2);
    // A run that has no model yet leaves nothing half-done.
    fs::remove_file(parent.path().join("one/final.safetensors")).unwrap();
    let other = parent.path().join("other");
    let error = export(&args(&other, false)).unwrap_err();
    assert!(error.to_string().contains("there is no model in this folder"), "{error}");
    assert!(!other.exists());
}
