//! Coordinators and workers that are killed again and again: the run ends, each sample is counted
//! once, the model is as good as that of a run that nobody disturbed.

use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::process::{self, Finished, Running, TIMEOUT, herd};
use tests::random::Random;

/// Training rows without validation.
const ROWS: u64 = 8000;

const KILLS: usize = 10;

/// Slow enough that there is a middle in which to be killed, and often checkpointed.
const COMMON: [&str; 13] = [
    "train",
    "--json",
    "--validation-split",
    "0",
    "--device",
    "cpu",
    "--run-dir",
    "run",
    "--frequency",
    "steps=5",
    "--set",
    "training.checkpoint_interval=1",
    "--workers",
];

fn start(folder: &Path, arguments: &[&str]) -> Running {
    herd(&[&COMMON[..], arguments].concat()).folder(folder).start()
}

/// Goes on with the run, as it was started.
fn resume(folder: &Path, pause: &str) -> Running {
    herd(&["train", "--json", "--resume", "run"])
        .folder(folder)
        .env("HERD_TEST_CHECKPOINT_PAUSE_MS", pause)
        .start()
}

/// Checks that each sample of each epoch was counted once, by the run's own words and its ledger.
#[track_caller]
fn assert_exact(folder: &Path, finished: &Finished, epochs: u64) -> Value {
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert_eq!(summary["samples"], epochs * ROWS, "{summary}");
    assert_eq!(summary["totals"]["samples"], epochs * ROWS, "{summary}");
    let parts = summary["workers"].as_array().unwrap().iter().map(|worker| &worker["samples"]);
    assert_eq!(parts.filter_map(Value::as_u64).sum::<u64>(), epochs * ROWS, "{summary}");
    let shown = herd_show(folder);
    assert_eq!(shown["exact"], true, "{shown}");
    assert_eq!(shown["totals"]["samples"], epochs * ROWS, "{shown}");
    let metrics = std::fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    let lines: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = lines.iter().map(|line| line["epoch"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=epochs).collect::<Vec<_>>(), "each epoch has one line");
    assert!(lines.iter().all(|line| line["samples"] == ROWS), "{metrics}");
    summary
}

/// The last epoch that a run's metrics tell of, and the seconds of training at its end.
fn progress(folder: &Path) -> (u64, f64) {
    let metrics = std::fs::read_to_string(folder.join("run/metrics.jsonl")).unwrap();
    // The last line may be half written.
    let mut lines = metrics.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = lines.next_back();
    last.map_or((0, 0.0), |line| {
        (line["epoch"].as_u64().unwrap(), line["seconds"].as_f64().unwrap())
    })
}

#[test]
fn a_coordinator_that_is_killed_ten_times_loses_nothing_and_keeps_its_workers() {
    const EPOCHS: &str = "120";
    let calm = tempfile::tempdir().unwrap();
    let undisturbed = start(calm.path(), &["2", "--epochs", EPOCHS]).finish();
    let undisturbed = assert_exact(calm.path(), &undisturbed, 120);

    let mut random = Random::new();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut herd = start(folder, &["0", "--min-workers", "2", "--epochs", EPOCHS]);
    let invitation = herd.invitation();
    let workers = ["one", "two"].map(|name| invitation.worker(name).start());
    for kill in 0..KILLS {
        herd.wait_for("epoch ");
        // The moment of the kill is the experiment.
        thread::sleep(Duration::from_millis(random.below(1500)));
        herd.kill();
        let _ = herd.finish();
        let (_, before) = progress(folder);
        // Each second run is slow between the steps of a checkpoint, so that kills fall into one.
        herd = resume(folder, if kill % 2 == 0 { "150" } else { "0" });
        assert_eq!(herd.invitation().address, invitation.address, "the port is kept");
        let line = herd.wait_for("goes on");
        let (_, after) = progress(folder);
        // An interval of a second, the pauses, and a machine that is busy with other tests.
        assert!(before - after < 8.0, "kill {kill}: {before} s to {after} s: {line}");
    }
    let finished = herd.finish();
    let summary = assert_exact(folder, &finished, 120);
    for worker in workers {
        worker.finish().assert_worker_said_last("the run is complete");
    }
    let names = summary["workers"].as_array().unwrap().iter().map(|worker| &worker["name"]);
    let mut names: Vec<&str> = names.map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["one", "two"], "who comes back is known: {summary}");
    let accuracy = |summary: &Value| summary["test_accuracy"].as_f64().unwrap();
    let (calm, disturbed) = (accuracy(&undisturbed), accuracy(&summary));
    assert!((calm - disturbed).abs() <= 0.01, "{calm} undisturbed, {disturbed} disturbed");
}

#[test]
fn ten_killed_workers_cost_no_sample() {
    let mut random = Random::new();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut herd = start(folder, &["0", "--min-workers", "3", "--epochs", "400"]);
    let invitation = herd.invitation();
    let mut workers: Vec<Running> =
        (0..3).map(|number| invitation.worker(&format!("first-{number}")).start()).collect();
    herd.wait_for("epoch   1/");
    for kill in 0..KILLS {
        thread::sleep(Duration::from_millis(random.below(400)));
        let victim = random.below(workers.len() as u64) as usize;
        workers[victim].kill();
        herd.wait_for("is lost");
        let name = format!("next-{kill}");
        workers[victim] = invitation.worker(&name).start();
        herd.wait_for(&format!("{name} joined"));
    }
    let finished = herd.finish();
    let summary = assert_exact(folder, &finished, 400);
    assert!(summary["test_accuracy"].as_f64() >= Some(0.9), "{summary}");
    assert!(summary["totals"]["re_leased"].as_u64() > Some(0), "{summary}");
}

#[test]
fn a_worker_that_stands_still_is_counted_once_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut herd = start(folder, &["0", "--min-workers", "2", "--epochs", "1000000"]);
    let invitation = herd.invitation();
    let still = invitation.worker("still").start();
    let other = invitation.worker("other").start();
    herd.wait_for("epoch   1/");
    process::signal(still.id(), "STOP");
    // Longer than the shortest deadline of a lease, shorter than the silence that ends a session.
    thread::sleep(Duration::from_secs(30));
    process::signal(still.id(), "CONT");
    // If it stood still within an upload its connection was closed, and it is back after a second.
    thread::sleep(Duration::from_secs(4));
    herd.wait_for("epoch ");
    herd.interrupt();
    let finished = herd.finish();
    assert_eq!(finished.code, Some(130), "{finished}");
    for worker in [still, other] {
        worker.finish().assert_worker_said_last("the run was stopped");
    }
    let summary = finished.json();
    let totals = &summary["totals"];
    assert!(totals["expired"].as_u64() > Some(0), "its lease was given up: {summary}");
    let answered = totals["late"].as_u64().unwrap() + totals["duplicate"].as_u64().unwrap();
    assert!(answered > 0, "its late delta was taken or refused: {summary}");
    let shown = herd_show(folder);
    assert_eq!(shown["exact"], true, "{shown}");
    assert_eq!(shown["totals"]["samples"], summary["samples"], "{shown}");
}

fn herd_show(folder: &Path) -> Value {
    herd(&["runs", "show", "run", "--json"]).folder(folder).succeed().json()
}

#[test]
fn a_stopped_run_goes_on_and_a_second_coordinator_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut herd = start(folder, &["2", "--epochs", "40"]);
    herd.wait_for("epoch   3/40");
    let second = self::herd(&["train", "--resume", "run"]).folder(folder).run();
    second.assert_refused(3, &["another coordinator is training this run", "wait for its end"]);
    herd.interrupt();
    let stopped = herd.finish();
    assert_eq!(stopped.code, Some(130), "{stopped}");
    assert!(stopped.error.contains("to go on: herd train --resume"), "{stopped}");
    let other = self::herd(&["train", "--resume", "run", "--epochs", "50"]).folder(folder).run();
    other.assert_refused(2, &["--epochs", "cannot change"]);
    let finished = resume(folder, "0").finish();
    let before = stopped.json()["samples"].as_u64().unwrap();
    assert_exact(folder, &finished, 40);
    assert!((3 * ROWS..40 * ROWS).contains(&before), "{before}");
    let again = self::herd(&["train", "--resume", "run"]).folder(folder).run();
    again.assert_refused(2, &["this run is complete", "--init"]);
}

#[test]
fn a_coordinator_that_is_terminated_asks_its_workers_to_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut herd = start(folder, &["0", "--epochs", "60"]);
    let worker = herd.invitation().worker("patient").start();
    herd.wait_for("epoch   2/60");
    process::signal(herd.id(), "TERM");
    let stopped = herd.finish();
    assert_eq!(stopped.code, Some(143), "{stopped}");
    let mut herd = resume(folder, "0");
    herd.wait_for("patient joined");
    let finished = herd.finish();
    assert_exact(folder, &finished, 60);
    worker.finish().assert_worker_said_last("the run is complete");
}

#[test]
fn a_deterministic_run_comes_to_the_same_also_across_a_kill_and_ctrl_c() {
    let digest = |finished: &Finished| {
        assert_eq!(finished.code, Some(0), "{finished}");
        finished.json()["digest"].as_str().unwrap().to_owned()
    };
    let arguments = ["2", "--deterministic", "--epochs", "60"];
    let folders = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let whole = [0, 1].map(|index| digest(&start(folders[index].path(), &arguments).finish()));
    assert_eq!(whole[0], whole[1], "two runs of one job");
    let folder = folders[2].path();
    let mut herd = start(folder, &arguments);
    herd.wait_for("epoch   5/60");
    // Until there is a checkpoint to go on from.
    let deadline = std::time::Instant::now() + TIMEOUT;
    while std::fs::read_dir(folder.join("run/checkpoints")).map_or(0, Iterator::count) == 0 {
        assert!(std::time::Instant::now() < deadline, "no checkpoint comes");
        thread::sleep(Duration::from_millis(20));
    }
    herd.kill();
    let _ = herd.finish();
    let mut resumed = resume(folder, "0");
    resumed.wait_for("goes on");
    assert_eq!(digest(&resumed.finish()), whole[0], "across a kill");

    let folder = folders[3].path();
    let mut herd = start(folder, &arguments);
    herd.wait_for("epoch   5/60");
    herd.interrupt();
    let stopped = herd.finish();
    assert_eq!(stopped.code, Some(130), "{stopped}");
    let kept = stopped.json()["samples"].as_u64().unwrap();
    let mut resumed = resume(folder, "0");
    let line = resumed.wait_for("goes on");
    let grouped = format!("{},{:03} of ", kept / 1000, kept % 1000);
    assert!(line.contains(&grouped), "nothing is lost: {kept}, {line}");
    assert_eq!(digest(&resumed.finish()), whole[0], "across Ctrl-C");
}
