//! What the dashboard sees and does: a run that is watched, paused, stopped, and taken away.

mod predictor;

use std::path::Path;
use std::time::Instant;

use protocol::{Outcome, ToCoordinator, ToWorker};
use serde_json::{Value, json};
use tests::dashboard::Client;
use tests::process::{Finished, Invitation, Running, herd};
use tests::stranger::{Stranger, hello};

/// Training rows of the digits without validation.
const ROWS: u64 = 8000;

/// Small leases, few checkpoints by themselves.
const COMMON: [&str; 12] = [
    "train",
    "--json",
    "--device",
    "cpu",
    "--run-dir",
    "run",
    "--frequency",
    "steps=5",
    "--set",
    "training.checkpoint_interval=3600",
    "--set",
    "fleet.linger=60",
];

fn start(folder: &Path, arguments: &[&str]) -> Running {
    herd(&[&COMMON[..], arguments].concat()).folder(folder).start()
}

/// A worker from elsewhere of so many samples a second.
fn worker(invitation: &Invitation, name: &str, speed: u32) -> Running {
    invitation.worker(name).env("HERD_TEST_SAMPLES_PER_SECOND", speed.to_string()).start()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Checks that each sample was counted once, and gives what the run said of itself.
#[track_caller]
fn assert_exact(folder: &Path, finished: &Finished, samples: u64) -> Value {
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    let shown = herd(&["runs", "show", "run", "--json"]).folder(folder).succeed().json();
    assert_eq!(shown["exact"], true, "{shown}");
    assert_eq!(
        (&summary["samples"], &shown["totals"]["samples"]),
        (&json!(samples), &json!(samples))
    );
    summary
}

/// The value of a line of Prometheus's.
#[track_caller]
fn sample(metrics: &str, name: &str) -> f64 {
    let mut lines = metrics.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn at_the_end_all_numbers_are_the_same_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // So slow that both workers train, however late one of them starts.
    let mut herd = herd(&[&COMMON[..], &["--workers", "2", "--epochs", "3"]].concat())
        .folder(folder)
        .env("HERD_TEST_SAMPLES_PER_SECOND", "3000")
        .start();
    let admin = Client::admin(&mut herd);
    let mut watching = admin.watch();
    let view = watching.until("ended", |view| view["state"] == "ended");
    let metrics = admin.get("/metrics").text();
    let records = admin.json("/v1/metrics.json");
    let table = admin.get("/v1/metrics.csv");
    let runs = admin.json("/v1/runs");
    let events = watching.seen.events.clone();
    let seen = std::mem::take(&mut watching.seen);
    drop(watching);
    let finished = herd.finish();
    let shown = tests::process::herd(&["runs", "show", "run", "--json"]);
    let shown = shown.folder(folder).succeed().json();
    let said = finished.json();

    for (key, of) in [
        ("samples", "samples"),
        ("seconds", "seconds"),
        ("mean_samples_per_second", "samples_per_second"),
        ("samples_per_second", "samples_per_second"),
        ("bytes_up", "bytes_up"),
        ("bytes_down", "bytes_down"),
    ] {
        assert_eq!(view[key], said[of], "{key}: {view} {said}");
    }
    let totals = &said["totals"];
    for key in ["expired", "released", "duplicate", "late", "backup"] {
        assert_eq!(view["leases"][key], totals[key], "{key}: {view} {totals}");
        let name = format!("herd_leases_{key}_total");
        assert_eq!(sample(&metrics, &name), number(&totals[key]), "{metrics}");
    }
    assert_eq!((&view["rejected"], &view["dropped"]), (&totals["rejected"], &totals["dropped"]));
    assert_eq!(view["samples_re_leased"], totals["re_leased"]);
    let units = &view["units"];
    assert_eq!(
        (&units["done"], &units["out"], &units["open"]),
        (&totals["units"], &json!(0), &json!(0))
    );
    let again = number(&totals["leases"]) - number(&totals["units"]);
    assert_eq!(number(&units["again"]), again, "{units} {totals}");
    assert_eq!(view["test"]["accuracy"], said["test_accuracy"]);
    assert_eq!(view["test"]["loss"], said["test_loss"]);
    assert_eq!(view["best"]["epoch"], said["best_epoch"]);
    assert_eq!(view["best"]["value"], said["validation_accuracy"], "{view} {said}");
    for (name, key) in [
        ("herd_samples_merged_total", "samples"),
        ("herd_training_seconds_total", "seconds"),
        ("herd_samples_per_second", "mean_samples_per_second"),
        ("herd_received_bytes_total", "bytes_up"),
        ("herd_sent_bytes_total", "bytes_down"),
        ("herd_versions_total", "versions"),
        ("herd_learning_rate", "learning_rate"),
    ] {
        let (told, seen) = (sample(&metrics, name), number(&view[key]));
        // JSON's reader may change the last bit.
        assert!((told - seen).abs() <= 1e-12 * seen.abs(), "{name}: {told} and {seen}");
    }
    assert_eq!(sample(&metrics, "herd_test_accuracy_ratio"), number(&said["test_accuracy"]));

    let workers = view["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2, "{view}");
    let shares: f64 = workers.iter().map(|worker| number(&worker["share"])).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{view}");
    for worker in workers {
        let own = |list: &Value| {
            let found = list.as_array().unwrap().iter().find(|own| own["name"] == worker["name"]);
            found.cloned().unwrap_or_else(|| panic!("{worker} is not in {list}"))
        };
        let (in_said, in_ledger) = (own(&said["workers"]), own(&shown["workers"]));
        assert_eq!((&worker["state"], &worker["client"]), (&json!("gone"), &json!("native")));
        for key in ["samples", "merged", "rejected"] {
            assert_eq!(worker[key], in_said[key], "{key}");
            assert_eq!(worker[key], in_ledger["counts"][key], "{key}: {shown}");
        }
        assert_eq!(worker["samples_per_second"], in_said["samples_per_second"]);
        let (busy, percent) = (number(&worker["busy"]), number(&in_said["busy_percent"]));
        // Percents are rounded once more.
        assert!((100.0 * busy - percent).abs() <= 1e-9, "{worker} {in_said}");
    }

    let lines: Vec<Value> = seen.records.into_values().collect();
    assert_eq!(json!(lines), records, "the epochs are those of the file");
    let of_training = lines.iter().map(|line| number(&line["training_accuracy"]));
    let best = of_training.fold(0.0, f64::max);
    assert!((0.5..=1.0).contains(&best), "{records}");
    assert!(table.head.contains("content-disposition: attachment; filename=\"run.csv\""));
    assert_eq!(table.text().lines().count(), 4, "{}", table.text());
    let current = &runs.as_array().unwrap()[0];
    assert_eq!((&current["current"], &current["run"]), (&json!(true), &json!("run")), "{runs}");
    assert!(!events.is_empty() && !seen.curve.is_empty() && !seen.history.is_empty());
    assert!(seen.events.values().any(|event| event["kind"] == "joined"), "{events:?}");
}

#[test]
fn a_pause_stops_the_samples_and_the_run_ends_complete() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let arguments =
        ["--workers", "0", "--min-workers", "2", "--epochs", "3", "--validation-split", "0"];
    let begun = Instant::now();
    let mut herd = start(folder, &arguments);
    let invitation = herd.invitation();
    let admin = Client::admin(&mut herd);
    let workers = ["one", "two"].map(|name| worker(&invitation, name, 4000));
    let mut watching = admin.watch();
    watching.until("training", |view| number(&view["samples"]) > 0.0);
    assert!(admin.done("pause", "").starts_with("the run is paused"));
    herd.wait_for("admin paused the run");
    let is_still = |view: &Value| {
        view["state"] == "paused"
            && ["out", "arrived"].iter().all(|key| view["units"][*key] == 0)
            && view["workers"].as_array().unwrap().iter().all(|worker| worker["state"] == "idle")
    };
    let still = watching.until("still", is_still);
    assert!(number(&still["samples"]) < 3.0 * ROWS as f64, "it was paused too late: {still}");
    assert_eq!(still["seconds_left"], Value::Null);
    // Nothing happens, and yet somebody who watches hears of it.
    watching.read().expect("a sign of life");
    let later = &watching.seen.view;
    assert_eq!((&later["samples"], &later["seconds"]), (&still["samples"], &still["seconds"]));
    assert_eq!(later["state"], "paused");
    assert_eq!(sample(&admin.get("/metrics").text(), "herd_run_state{state=\"paused\"}"), 1.0);

    let again = admin.act("pause", "{}");
    assert_eq!((again.status, again.text().as_str()), (409, "the run is paused already\n"));
    let checkpoint = admin.done("checkpoint", "");
    assert!(checkpoint.starts_with("checkpoint ") && checkpoint.ends_with(" is on the disk"));
    let before = Instant::now();
    assert_eq!(admin.done("resume", ""), "the run goes on");
    assert_eq!(admin.act("resume", "").status, 409);
    watching.until("training again", |view| view["samples"] != still["samples"]);
    let ended = watching.until("ended", |view| view["state"] == "ended");
    for words in ["admin paused the run", "admin resumed the run", "admin asked for a checkpoint"] {
        assert!(watching.seen.has_event("admin", words), "{:?}", watching.seen.events);
    }
    assert!(watching.seen.has_event("checkpoint", &checkpoint), "{:?}", watching.seen.events);
    let over = admin.act("pause", "");
    assert_eq!(over.status, 409, "{}", over.text());
    drop(watching);
    let summary = assert_exact(folder, &herd.finish(), 3 * ROWS);
    for worker in workers {
        worker.finish().assert_worker_ended("the run is complete");
    }
    // The pause lasted a sign of life at least, which comes after five seconds.
    let (trained, lasted) = (number(&summary["seconds"]), begun.elapsed().as_secs_f64());
    assert!(trained < lasted - 4.0, "{trained} s of training in {lasted} s");
    assert!(
        number(&ended["seconds"]) <= number(&still["seconds"]) + before.elapsed().as_secs_f64()
    );
}

#[test]
fn leases_get_the_learning_rate_that_was_set_and_so_does_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let arguments =
        ["--workers", "0", "--min-workers", "1", "--epochs", "2", "--learning-rate", "0.1"];
    let mut herd = start(folder, &arguments);
    let invitation = herd.invitation();
    let admin = Client::admin(&mut herd);
    let (mut stranger, assignment) = Stranger::join(&invitation, 1, 0);
    assert_eq!(stranger.lease(&assignment).learning_rate, 0.1);
    let mut watching = admin.watch();
    let done = admin.done("learning-rate", "{\"learning_rate\": 0.005}");
    assert!(done.contains("0.005"), "{done}");
    herd.wait_for("admin set the learning rate to 0.005");
    assert_eq!(stranger.lease(&assignment).learning_rate, 0.005);
    let view = watching.until("slower", |view| view["learning_rate"] == 0.005);
    assert_eq!(view["base_learning_rate"], 0.005);
    for wrong in ["{\"learning_rate\": 0}", "{\"learning_rate\": \"a\"}", "{}", ""] {
        let answer = admin.act("learning-rate", wrong);
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
    }
    admin.done("checkpoint", "");
    herd.kill();
    drop((herd, watching, stranger));
    let mut herd = tests::process::herd(&["train", "--resume", "run"]).folder(folder).start();
    let invitation = herd.invitation();
    let (mut stranger, assignment) = Stranger::join(&invitation, 1, 0);
    assert_eq!(stranger.lease(&assignment).learning_rate, 0.005);
}

#[test]
fn a_worker_that_is_removed_does_not_come_back_and_others_train_its_leases() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let arguments =
        ["--workers", "0", "--min-workers", "1", "--epochs", "1", "--validation-split", "0"];
    let mut herd = start(folder, &arguments);
    let invitation = herd.invitation();
    let admin = Client::admin(&mut herd);
    let mut watching = admin.watch();
    // It holds a lease, and would for ever.
    let (mut stranger, assignment) = Stranger::join(&invitation, 7, 3);
    let held = stranger.lease(&assignment);
    let listed = |view: &Value| view["workers"].as_array().is_some_and(|all| !all.is_empty());
    let view = watching.until("joined", listed);
    assert_eq!(view["workers"][0]["name"], "stranger 7");
    assert_eq!(view["workers"][0]["client"], "other");
    let kick = json!({ "worker": view["workers"][0]["number"] }).to_string();
    assert_eq!(admin.done("kick", &kick), "stranger 7 is removed; its leases go to others");
    match stranger.hear() {
        ToWorker::Refused { reason, retry: false } => {
            assert!(reason.contains("removed"), "{reason}")
        }
        other => panic!("{other:?} is no end"),
    }
    assert_eq!(stranger.closed().0, 1008);
    let again = admin.act("kick", &kick);
    assert_eq!(again.status, 409, "{}", again.text());
    assert_eq!(admin.act("kick", "{\"worker\": 99}").status, 409);

    let mut back = Stranger::connect(&invitation);
    back.say(&hello(&invitation.token, 7, 3), &[]);
    let refused = loop {
        match back.hear() {
            ToWorker::Welcome { .. } | ToWorker::Assign(_) => {}
            other => break other,
        }
    };
    assert!(matches!(refused, ToWorker::Refused { retry: false, .. }), "{refused:?}");
    // Another worker of the same computer is no other's fault.
    let (mut other, assignment) = Stranger::join(&invitation, 7, 4);
    other.say(&ToCoordinator::LeaseRequest { run: assignment.run }, &[]);
    let ToWorker::Lease(lease) = other.hear() else { panic!("no lease") };
    let zeros = vec![0; other.pull(lease.id).len()];
    assert!(matches!(other.push(lease.id, lease.samples(), &zeros), Outcome::Merged(_)));
    drop(other);
    let honest = invitation.worker("honest").start();
    watching.until("ended", |view| view["state"] == "ended");
    assert!(watching.seen.has_event("admin", "admin removed stranger 7"));
    drop(watching);
    let summary = assert_exact(folder, &herd.finish(), ROWS);
    assert!(number(&summary["totals"]["released"]) >= 1.0, "{held:?}: {summary}");
    honest.finish().assert_worker_ended("the run is complete");
}

#[test]
fn what_was_trained_before_a_checkpoint_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let arguments = ["--workers", "2", "--epochs", "30", "--validation-split", "0"];
    let mut herd = start(folder, &arguments);
    let admin = Client::admin(&mut herd);
    let mut watching = admin.watch();
    let before =
        watching.until("well under way", |view| number(&view["samples"]) > 2.0 * ROWS as f64);
    let done = admin.done("checkpoint", "");
    herd.kill();
    drop(watching);
    let _ = herd.finish();
    let mut herd =
        tests::process::herd(&["train", "--resume", "run", "--json"]).folder(folder).start();
    let line = herd.wait_for("goes on from checkpoint");
    let number_of = |text: &str| text.split(' ').nth(1).map(str::to_owned);
    let checkpoint = line.split_once("from ").map(|(_, rest)| rest.replace(':', ""));
    assert_eq!(checkpoint.as_deref().and_then(number_of), number_of(&done), "{line} {done}");
    let kept = line.split_once(": ").and_then(|(_, rest)| rest.split_once(" of ")).unwrap().0;
    let kept: f64 = kept.replace(',', "").parse().unwrap();
    assert!(kept >= number(&before["samples"]), "{line}: {before}");
    assert_exact(folder, &herd.finish(), 30 * ROWS);
}

#[test]
fn an_admin_stops_a_run_as_ctrl_c_does() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut herd = start(folder, &["--workers", "2", "--epochs", "400", "--validation-split", "0"]);
    let admin = Client::admin(&mut herd);
    let mut watching = admin.watch();
    watching.until("training", |view| number(&view["samples"]) > 0.0);
    admin.done("pause", "");
    assert!(admin.done("stop", "").contains("--resume"));
    let view = watching.until("ended", |view| view["state"] == "ended");
    assert_eq!(view["reason"], "the run was stopped");
    drop(watching);
    let finished = herd.finish();
    assert_eq!(finished.code, Some(130), "{finished}");
    let summary: Value = serde_json::from_str(finished.output.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&summary["ending"], &summary["samples"]),
        (&json!("interrupted"), &view["samples"])
    );
    let mut herd = tests::process::herd(&["train", "--resume", "run"]).folder(folder).start();
    herd.wait_for("goes on from checkpoint");
}

/// A stranger is refused as such, or as one who has guessed too often.
fn refuses(status: u16) -> bool {
    matches!(status, 401 | 429)
}

#[test]
fn a_workers_token_controls_nothing_and_sees_no_names() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = start(folder.path(), &["--workers", "0", "--min-workers", "1"]);
    let invitation = herd.invitation();
    let admin = Client::admin(&mut herd);
    let (worker, stranger) = (Client::worker(&invitation), admin.with("nonsense"));
    let acts = ["pause", "resume", "checkpoint", "stop", "kick", "learning-rate", "nothing"]
        .map(|act| (act, if act == "kick" { "{\"worker\": 1}" } else { "{\"learning_rate\": 1}" }));
    for (act, body) in acts {
        let refused = worker.act(act, body);
        assert_eq!(refused.status, 403, "{act}: {}", refused.text());
        assert!(refused.text().contains("worker"), "{act}: {}", refused.text());
        assert!(refuses(stranger.act(act, body).status), "{act}");
    }
    for path in ["/v1/live", "/v1/runs", "/v1/model", "/v1/metrics.csv", "/v1/metrics.json"] {
        assert_eq!(worker.get(path).status, 403, "{path}");
        assert!(refuses(stranger.get(path).status), "{path}");
    }
    for path in ["/v1/predictor", "/v1/predictor/parameters"] {
        assert_eq!(worker.get(path).status, 404, "{path}: no model yet");
        assert!(refuses(stranger.get(path).status), "{path}");
    }
    assert_eq!(admin.get("/v1/model").status, 404);
    let mut watching = admin.watch();
    let view = watching.until("there", |view| !view.is_null());
    assert_eq!((&view["state"], &view["viewers"]), (&json!("waiting"), &json!(1)));
    let is_admin = |event: &Value| event["kind"] == "admin";
    assert!(!watching.seen.events.values().any(is_admin), "{:?}", watching.seen.events);
}

#[test]
fn who_reads_nothing_disturbs_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let arguments = ["--workers", "2", "--epochs", "20", "--validation-split", "0"];
    let mut herd = start(folder, &arguments);
    let admin = Client::admin(&mut herd);
    let silent: Vec<_> = (0..20).map(|_| admin.open()).collect();
    let mut watching = admin.watch();
    let view = watching.until("watched", |view| view["viewers"] == 21);
    assert_ne!(view["state"], "ended");
    watching.until("ended", |view| view["state"] == "ended");
    assert!(watching.seen.wholes == 1 && watching.seen.ticks > 0, "{:?}", watching.seen.view);
    drop((watching, silent));
    assert_exact(folder, &herd.finish(), 20 * ROWS);
}
