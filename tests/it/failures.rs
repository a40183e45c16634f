//! Workers and coordinators that are killed, stopped, or late: counts stay exact, nothing is left
//! behind, and what happened is said.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::process::{self, Running, TIMEOUT, herd};

/// Training rows without validation.
const ROWS: u64 = 8000;

/// So many epochs last until somebody ends them.
const FOR_EVER: &str = "1000000";

/// A coordinator that trains on all rows.
fn coordinator(folder: &Path, arguments: &[&str]) -> Running {
    let common = ["train", "--json", "--validation-split", "0", "--device", "cpu"];
    herd(&[&common, arguments].concat()).folder(folder).start()
}

/// Checks that a run counted each sample of each epoch once, whoever trained it.
#[track_caller]
fn assert_exact(summary: &Value, epochs: u64) {
    assert_eq!(summary["ending"], "complete", "{summary}");
    assert_eq!(summary["samples"], epochs * ROWS, "{summary}");
    assert_eq!(summary["totals"]["samples"], epochs * ROWS, "{summary}");
    let workers = summary["workers"].as_array().expect("a list");
    let parts = workers.iter().map(|worker| worker["samples"].as_u64().expect("a count"));
    assert_eq!(parts.sum::<u64>(), epochs * ROWS, "{summary}");
    assert!(summary["test_accuracy"].as_f64() >= Some(0.9), "{summary}");
}

#[test]
fn a_killed_workers_samples_are_trained_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--workers", "0", "--min-workers", "3", "--epochs", "40"];
    let mut herd = coordinator(folder.path(), &flags);
    let invitation = herd.invitation();
    let mut victim = invitation.worker("victim").start();
    let others = ["one", "two"].map(|name| invitation.worker(name).start());
    herd.wait_for("epoch   1/40");
    victim.kill();
    herd.wait_for("victim is lost");
    for other in others {
        let finished = other.finish();
        finished.assert_worker_ended("the run is complete");
    }
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert_exact(&summary, 40);
    assert!(summary["totals"]["re_leased"].as_u64() > Some(0), "it held a lease: {summary}");
    let run = folder.path().join(summary["run"].as_str().unwrap());
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let samples = metrics.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["samples"].as_u64().unwrap()
    });
    assert_eq!(samples.collect::<Vec<_>>(), [ROWS; 40], "each epoch by itself");
}

#[test]
fn a_round_goes_on_without_a_killed_local_worker() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--workers", "2", "--epochs", "40", "--mode", "synchronous"];
    let mut herd = coordinator(folder.path(), &[&flags[..], &["--frequency", "steps=10"]].concat());
    herd.wait_for("epoch   1/40");
    let workers = process::children(herd.id());
    assert_eq!(workers.len(), 2);
    process::signal(workers[0], "KILL");
    let line = herd.wait_for("ended: ");
    assert!(line.contains("local worker local-") && line.contains("SIGKILL"), "{line}");
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_exact(&finished.json(), 40);
}

#[test]
fn a_killed_coordinator_leaves_no_local_worker() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = coordinator(folder.path(), &["--workers", "2", "--epochs", FOR_EVER]);
    herd.wait_for("epoch   1/");
    let workers = process::children(herd.id());
    assert_eq!(workers.len(), 2);
    herd.kill();
    let finished = herd.finish();
    assert_eq!(finished.code, None, "a signal ends it without a code: {finished}");
    let deadline = Instant::now() + TIMEOUT;
    while workers.iter().any(|worker| process::runs(*worker)) {
        assert!(Instant::now() < deadline, "a worker outlives its coordinator: {workers:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_run_without_workers_ends_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = coordinator(folder.path(), &["--workers", "2", "--epochs", FOR_EVER]);
    herd.wait_for("epoch   1/");
    for worker in process::children(herd.id()) {
        process::signal(worker, "KILL");
    }
    let finished = herd.finish();
    assert_eq!(finished.code, Some(4), "{finished}");
    let last = finished.error.lines().last().unwrap_or_default();
    assert!(last.starts_with("herd: no worker is left to train"), "{finished}");
    let summary = finished.json();
    assert_eq!(summary["ending"], "deserted");
    assert!(summary["samples"].as_u64() >= Some(ROWS), "what was trained is kept: {summary}");
    assert!(folder.path().join(summary["model"].as_str().unwrap()).is_file(), "{summary}");
}

#[test]
fn ctrl_c_ends_a_run_and_keeps_its_models() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["train", "--json", "--workers", "2", "--epochs", FOR_EVER, "--device", "cpu"];
    let mut herd = herd(&flags).folder(folder.path()).start();
    let guest = herd.invitation().worker("guest").start();
    herd.wait_for("guest joined");
    herd.wait_for("epoch   2/");
    herd.interrupt();
    let finished = herd.finish();
    assert_eq!(finished.code, Some(130), "{finished}");
    let last = finished.error.lines().last();
    assert_eq!(last, Some("herd: stopped by Ctrl-C"), "{finished}");
    let summary = finished.json();
    assert_eq!(summary["ending"], "interrupted");
    assert!(summary["test_accuracy"].as_f64() > Some(0.5), "{summary}");
    for name in ["runs/latest/best.safetensors", "runs/latest/final.safetensors"] {
        assert!(folder.path().join(name).is_file(), "{name} is missing: {finished}");
    }
    let guest = guest.finish();
    guest.assert_worker_ended("the run was stopped");
}

#[test]
fn a_late_worker_trains_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = coordinator(folder.path(), &["--workers", "0", "--epochs", "60"]);
    let invitation = herd.invitation();
    herd.wait_for("waiting for workers: 0 of 1");
    let early = invitation.worker("early").start();
    herd.wait_for("epoch   1/60");
    let late = invitation.worker("late").start();
    herd.wait_for("late joined");
    for worker in [early, late] {
        let finished = worker.finish();
        finished.assert_worker_ended("the run is complete");
    }
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert_exact(&summary, 60);
    let names = summary["workers"].as_array().unwrap().iter().map(|worker| &worker["name"]);
    assert_eq!(names.collect::<Vec<_>>(), ["early", "late"]);
    assert!(summary["workers"][1]["merged"].as_u64() > Some(0), "{summary}");
}
