//! What a run tells of itself, to people and to programs: each number is that of the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::process::{Invitation, TIMEOUT, herd};
use tests::raw;

const HOSTILE: &str = "<script>alert(1)</script>";

/// The body of an answer to a bearer of the token.
fn get(invitation: &Invitation, path: &str) -> String {
    let mut stream = raw::tcp(invitation);
    let (host, token) = (invitation.host(), &invitation.token);
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let answer = raw::answer(&mut stream).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    body.to_owned()
}

/// Asks until the run is over.
fn wait_for_end(invitation: &Invitation) {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let status: Value = serde_json::from_str(&get(invitation, "/v1/status")).unwrap();
        if status["state"] == "ended" {
            return;
        }
        assert!(Instant::now() < deadline, "the run does not end: {status}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A sample's name with its labels, and its value.
type Samples = BTreeMap<String, f64>;

/// Reads the text format strictly: each family has help and type before its samples, no sample stands
/// twice, and each line is one of the format.
fn samples(text: &str) -> Samples {
    let is_name = |name: &str| {
        name.starts_with("herd_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    };
    let mut samples = Samples::new();
    let mut family = "";
    let mut families = BTreeSet::new();
    let mut lines = text.lines();
    assert!(text.ends_with('\n'));
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(is_name(name) && words.ends_with('.'), "{line}");
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).unwrap();
            let kind = kind.strip_prefix(name).unwrap();
            assert_eq!(kind == " counter", name.ends_with("_total"), "{name}{kind}");
            assert!([" counter", " gauge"].contains(&kind), "{name}{kind}");
            assert!(families.insert(name), "{name} twice");
            family = name;
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let name = sample.split('{').next().unwrap();
        assert_eq!(name, family, "{line}");
        let labels = &sample[name.len()..];
        let closed = labels.starts_with("{") && labels.ends_with("\"}");
        assert!(labels.is_empty() || closed, "{line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(sample.to_owned(), value).is_none(), "{line} twice");
    }
    samples
}

#[test]
fn metrics_are_those_that_the_command_ends_with() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["train", "--json", "--epochs", "12", "--workers", "1", "--linger", "1"];
    let mut herd = herd(&flags).folder(folder.path()).start();
    let invitation = herd.invitation();
    let worker = invitation.worker(HOSTILE).start();
    wait_for_end(&invitation);
    let text = get(&invitation, "/metrics");
    worker.finish().assert_worker_said_last("the run is complete");
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert!(!text.contains("script"), "no worker's name is a label: {text}");
    assert!(!text.contains(&invitation.token), "{text}");

    let samples = samples(&text);
    let sample = |name: &str| *samples.get(name).unwrap_or_else(|| panic!("{name} in {text}"));
    let told = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{summary}"));
    let totals = &summary["totals"];
    for (name, value) in [
        ("herd_samples_merged_total", &summary["samples"]),
        ("herd_samples_per_second", &summary["samples_per_second"]),
        ("herd_training_seconds_total", &summary["seconds"]),
        ("herd_received_bytes_total", &summary["bytes_up"]),
        ("herd_sent_bytes_total", &summary["bytes_down"]),
        ("herd_test_accuracy_ratio", &summary["test_accuracy"]),
        ("herd_test_loss", &summary["test_loss"]),
        ("herd_deltas_merged_total", &totals["units"]),
        ("herd_leases_total", &totals["leases"]),
        ("herd_leases_backup_total", &totals["backup"]),
        ("herd_leases_expired_total", &totals["expired"]),
        ("herd_leases_late_total", &totals["late"]),
        ("herd_leases_released_total", &totals["released"]),
        ("herd_leases_duplicate_total", &totals["duplicate"]),
        ("herd_samples_re_leased_total", &totals["re_leased"]),
    ] {
        assert_same(sample(name), told(value), name);
    }
    for reason in ["norm", "length", "not-finite", "ended", "unknown-lease", "fenced"] {
        let count = totals["rejected"].get(reason).map_or(0.0, told);
        let name = format!("herd_deltas_rejected_total{{reason=\"{reason}\"}}");
        assert_eq!(sample(&name), count, "{name}: {summary}");
    }
    assert_eq!(sample("herd_samples_merged_total"), 12.0 * 7200.0);
    assert_eq!(sample("herd_run_state{state=\"ended\"}"), 1.0);
    assert_eq!(sample("herd_run_state{state=\"training\"}"), 0.0);
    assert!(sample("herd_merge_seconds_total") > 0.0 && sample("herd_versions_total") > 0.0);
    let fleet = samples.iter().filter(|(name, _)| name.starts_with("herd_workers{"));
    assert_eq!(fleet.map(|(_, count)| count).sum::<f64>(), 0.0, "nobody trains any more");

    let run = folder.path().join(summary["run"].as_str().unwrap());
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!(sample("herd_evaluated_epoch"), told(&last["epoch"]));
    for (name, key) in [
        ("herd_validation_loss", "validation_loss"),
        ("herd_validation_accuracy_ratio", "validation_accuracy"),
        ("herd_training_loss", "training_loss"),
        ("herd_training_accuracy_ratio", "training_accuracy"),
    ] {
        assert_same(sample(name), told(&last[key]), name);
    }
    check_with_promtool(&text);
}

/// JSON's reader is now and then off by the last bit of a number with a fraction; counts are exact.
#[track_caller]
fn assert_same(shown: f64, told: f64, name: &str) {
    let off = if told.fract() == 0.0 { 0.0 } else { 4.0 * f64::EPSILON * told.abs() };
    assert!((shown - told).abs() <= off, "{name}: {shown} at /metrics, {told} at the end");
}

/// Prometheus's own opinion, where it is installed.
#[allow(clippy::print_stderr, reason = "who reads the test's output is to know")]
fn check_with_promtool(text: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = promtool.stderr(Stdio::piped()).spawn() else {
        eprintln!("SKIPPED: promtool is not installed (Debian: apt-get install prometheus)");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "promtool: {said}\n{text}");
}

#[test]
fn metrics_are_told_while_a_run_goes_on_and_only_to_bearers() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["train", "--epochs", "1000000", "--workers", "0"];
    let mut herd = herd(&flags).folder(folder.path()).start();
    let invitation = herd.invitation();
    let before = samples(&get(&invitation, "/metrics"));
    assert_eq!(before["herd_run_state{state=\"waiting\"}"], 1.0);
    let mut stream = raw::tcp(&invitation);
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {}\r\n\r\n", invitation.host()).unwrap();
    let refused = raw::answer(&mut stream).unwrap();
    assert!(refused.starts_with("HTTP/1.1 401 ") && !refused.contains("herd_"), "{refused}");

    let _worker = invitation.worker("far").start();
    herd.wait_for("epoch   2/");
    // The numbers follow what is said within a tenth of a second.
    let deadline = Instant::now() + TIMEOUT;
    let during = loop {
        let during = samples(&get(&invitation, "/metrics"));
        let evaluated = during["herd_epoch"] >= 2.0 && during["herd_evaluated_epoch"] >= 2.0;
        if evaluated && during["herd_units{state=\"leased\"}"] >= 1.0 {
            break during;
        }
        assert!(Instant::now() < deadline, "no lease after two epochs in {during:?}");
    };
    assert_eq!(during["herd_run_state{state=\"training\"}"], 1.0);
    assert_eq!(during["herd_workers{client=\"native\",device=\"cpu\"}"], 1.0);
    assert!(during["herd_samples_merged_total"] >= 7200.0, "{during:?}");
    let units =
        ["open", "leased", "arrived"].map(|state| format!("herd_units{{state=\"{state}\"}}"));
    let units: f64 = units.iter().map(|name| during[name.as_str()]).sum();
    assert!((1.0..100.0).contains(&units), "units of an epoch that one worker has: {during:?}");
    assert_eq!(before.len() + 5, during.len(), "five more are known after an epoch: {during:?}");
}

#[test]
fn the_report_tells_a_stopped_run_and_after_a_resume_the_whole_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let of = run.to_str().unwrap();
    let flags = ["train", "--json", "--epochs", "40", "--workers", "0", "--run-dir", of];
    let mut first = herd(&flags).folder(folder.path()).start();
    let worker = first.invitation().worker(HOSTILE).start();
    first.wait_for("epoch   3/40");
    first.interrupt();
    let stopped = first.finish();
    assert_eq!(stopped.code, Some(130), "{stopped}");
    drop(worker);
    assert!(stopped.error.contains("report  "), "{stopped}");
    let page = report(&run);
    assert!(page.contains("Not complete") && page.contains("Ledger exact."), "{page}");
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)"), "{page}");

    let flags = ["train", "--json", "--workers", "1", "--min-workers", "1", "--resume", of];
    let summary = herd(&flags).folder(folder.path()).succeed().json();
    let page = report(&run);
    let accuracy = 100.0 * summary["test_accuracy"].as_f64().unwrap();
    for words in [
        format!("<b>{accuracy:.2} %</b>"),
        "Complete".to_owned(),
        "2 starts".to_owned(),
        "40 epochs, each of 7,200 samples counted exactly once.".to_owned(),
        "&lt;script&gt;alert(1)".to_owned(),
        "local-1".to_owned(),
        "288,000".to_owned(),
    ] {
        assert!(page.contains(&words), "{words:?} in {page}");
    }
    for curve in
        ["training: from ", "validation: from ", "samples a second: from ", "workers: from "]
    {
        assert!(page.contains(curve), "{curve:?} in {page}");
    }
    assert!(page.contains(" 40 points."), "each epoch is in the curve: {page}");
}

/// The report of a run, which is one file that asks for no other.
fn report(run: &Path) -> String {
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    for word in ["://", "src=", "href=", "@import", "url("] {
        let inside = page.replace("&lt;script&gt;", "");
        assert!(!inside.contains(word), "{word}: the page would load something");
    }
    page
}

#[test]
fn a_run_without_result_has_a_report_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let flags = ["train", "--workers", "0", "--run-dir", run.to_str().unwrap()];
    let mut herd = herd(&flags).folder(folder.path()).start();
    herd.invitation();
    herd.wait_for("waiting for workers");
    herd.interrupt();
    let finished = herd.finish();
    assert_eq!(finished.code, Some(130), "{finished}");
    let page = report(&run);
    assert!(page.contains("no result") && page.contains("No worker was given anything"), "{page}");
}

#[test]
fn wrong_folders_for_tensorboard_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let refused = herd(&["train", "--tensorboard", "iris.toml"]).folder(folder.path()).run();
    refused.assert_refused(2, &["iris.toml", "herd train JOB.toml --tensorboard"]);
    assert!(!folder.path().join("runs").exists());
}

/// Prints each scalar of a run as TensorBoard understands it: tag, step, value.
const READER: &str = "
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0})
events.Reload()
for tag in events.Tags()['scalars']:
    for scalar in events.Scalars(tag):
        print(tag, scalar.step, repr(scalar.value))
";

/// All scalars of a run by tag, each step with its value.
fn scalars(python: &OsString, folder: &Path) -> BTreeMap<String, BTreeMap<u64, f64>> {
    let output = Command::new(python).arg("-c").arg(READER).arg(folder).output().unwrap();
    let (text, said) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let mut tags: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
    for line in String::from_utf8(text).unwrap().lines() {
        let [tag, step, value] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (step, value) = (step.parse().unwrap(), value.parse().unwrap());
        let twice = tags.entry(tag.to_owned()).or_default().insert(step, value);
        assert_eq!(twice, None, "{line}: a step stands once, also after a resume");
    }
    tags
}

/// Runs with the real TensorBoard: `cargo xtask tensorboard` installs it and says where.
#[test]
#[allow(clippy::print_stderr, reason = "who reads the test's output is to know")]
fn the_real_tensorboard_reads_a_run_that_was_killed_and_went_on() {
    let Some(python) = std::env::var_os("TENSORBOARD_PYTHON") else {
        eprintln!("SKIPPED: cargo xtask tensorboard runs this test");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let of = run.to_str().unwrap();
    let interval = "training.checkpoint_interval=1";
    let flags = ["train", "--json", "--epochs", "200", "--run-dir", of, "--tensorboard"];
    let flags = [&flags[..], &["--workers", "1", "--set", interval]].concat();
    let mut first = herd(&flags).folder(folder.path()).start();
    first.wait_for("epoch  60/200");
    // Live: what an epoch has brought is there before the next one ends.
    let live = scalars(&python, &run.join("tensorboard/train"));
    assert!(live["epoch_loss"].len() >= 59, "{live:?}");
    first.kill();
    drop(first);
    let summary = herd(&["train", "--json", "--resume", of]).folder(folder.path()).succeed().json();
    assert_eq!(summary["ending"], "complete", "{summary}");

    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let metrics: Vec<Value> = lines.collect();
    let train = scalars(&python, &run.join("tensorboard/train"));
    let validation = scalars(&python, &run.join("tensorboard/validation"));
    for (tags, tag, key) in [
        (&train, "epoch_loss", "training_loss"),
        (&train, "epoch_accuracy", "training_accuracy"),
        (&validation, "epoch_loss", "validation_loss"),
        (&validation, "epoch_accuracy", "validation_accuracy"),
    ] {
        let steps = &tags[tag];
        assert_eq!(steps.len(), metrics.len(), "{tag}: each epoch once");
        for line in &metrics {
            let value = steps[&line["epoch"].as_u64().unwrap()];
            assert_eq!(value as f32, line[key].as_f64().unwrap() as f32, "{tag}: {line}");
        }
    }
    assert_eq!(train["epoch_learning_rate"].len(), 200);
    assert_eq!(train["epoch_samples_per_second"].len(), 200);
    let fleet = scalars(&python, &run.join("tensorboard/fleet"));
    assert!(fleet["workers"].values().all(|workers| *workers <= 1.0), "{fleet:?}");
}
