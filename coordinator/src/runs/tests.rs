//! Tests of what is shown of a run.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
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
    let token = blake3::hash(b"token");
    store.begin("127.0.0.1:1".parse().unwrap(), &token).unwrap();
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
    store.begin("127.0.0.1:1".parse().unwrap(), &token).unwrap();
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
    assert_eq!((shown.state(), record.number), ("complete".to_owned(), 4));
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
    assert_eq!(json["state"], "complete");
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
