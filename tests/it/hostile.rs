//! Clients that keep to no rule. Each is answered with a code and a reason, and the run of an honest
//! worker beside them loses nothing.
//!
//! - [`frames`]: WebSocket frames, after the groups of the Autobahn test suite
//! - [`requests`]: HTTP requests and upgrades, fast and slow
//! - [`probes`]: what scanners and foreign pages try
//! - [`sessions`]: sessions that break the protocol's order
//! - [`deltas`]: leases and deltas that are forged, repeated or never sent
//! - [`crowds`]: too many at once, too slow, too greedy

mod crowds;
mod deltas;
mod frames;
mod probes;
mod requests;
mod sessions;

use std::path::Path;

use serde_json::Value;
use tests::process::{Invitation, Running, herd};

/// Close codes of docs/PROTOCOL.md.
const NORMAL: u16 = 1000;
const PROTOCOL: u16 = 1002;
const POLICY: u16 = 1008;

/// Training rows of an epoch.
const ROWS: u64 = 8000;

/// A coordinator with one honest worker, which trains from [`Beside::start`] to [`Beside::end`].
struct Beside {
    herd: Running,
    honest: Running,
    invitation: Invitation,
    folder: tempfile::TempDir,
}

impl Beside {
    fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further arguments of `herd train`.
    fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags =
            ["train", "--json", "--workers", "0", "--epochs", "1000000", "--validation-split", "0"];
        let mut herd = herd(&[&flags[..], arguments].concat()).folder(folder.path()).start();
        let invitation = herd.invitation();
        let honest = invitation.worker("honest").start();
        herd.wait_for("epoch   1/");
        Self { herd, honest, invitation, folder }
    }

    /// Waits for two more epochs: the honest worker makes headway.
    fn goes_on(&mut self) {
        for _ in 0..2 {
            self.herd.wait_for("epoch ");
        }
    }

    /// Stops the run and checks that it is exact and that the honest worker lost nothing. Gives the
    /// run's summary for what else there is to check.
    #[track_caller]
    fn end(mut self) -> Value {
        self.goes_on();
        self.herd.interrupt();
        self.honest.finish().assert_worker_ended("the run was stopped");
        let finished = self.herd.finish();
        assert_eq!(finished.code, Some(130), "{finished}");
        let summary = finished.json();
        assert_exact(&summary, self.folder.path());
        summary
    }
}

/// Each epoch counted each of its samples once, and the sum is the workers'.
#[track_caller]
fn assert_exact(summary: &Value, folder: &Path) {
    let run = folder.join(summary["run"].as_str().unwrap());
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let counted = metrics.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["samples"].as_u64().unwrap()
    });
    let counted: Vec<u64> = counted.collect();
    assert!(!counted.is_empty(), "no epoch was completed: {summary}");
    assert!(counted.iter().all(|samples| *samples == ROWS), "{counted:?}");
    let workers = summary["workers"].as_array().unwrap();
    let parts: u64 = workers.iter().map(|worker| worker["samples"].as_u64().unwrap()).sum();
    assert_eq!(summary["samples"], parts, "{summary}");
    let honest = workers.iter().find(|worker| worker["name"] == "honest").unwrap();
    assert_eq!(honest["rejected"], serde_json::json!({}), "{summary}");
}

/// Collects what differs from what a table says, so that one run shows all of it.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    fn check(&mut self, name: &str, found: &(u16, String), code: u16, words: &str) {
        if found.0 != code || !found.1.contains(words) {
            self.0.push(format!("{name}: {found:?}, not {code} {words:?}"));
        }
    }

    #[track_caller]
    fn assert_none(self) {
        assert!(self.0.is_empty(), "{:#?}", self.0);
    }
}
