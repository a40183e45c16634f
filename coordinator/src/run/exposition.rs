//! The board in Prometheus's text format, version 0.0.4.
//!
//! Written by hand: all values are at hand when somebody asks, and the libraries are made for counters
//! that programs keep themselves. The number of lines is bounded: no label has a name that a worker
//! or a user chose, but for the run's own.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use engine::{EpochSummary, UnitCounts};
use protocol::message::DeviceKind;
use protocol::{Hello, Reason};

use super::board::{Live, STATES};

/// What kinds of workers there are.
const CLIENTS: [&str; 3] = ["native", "browser", "other"];
const DEVICES: [&str; 2] = ["cpu", "gpu"];

/// What a worker is, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    client: &'static str,
    device: &'static str,
}

impl Kind {
    pub(super) fn of(hello: &Hello) -> Self {
        let client = match hello.software.as_str() {
            software if software.starts_with("herd-worker ") => CLIENTS[0],
            software if software.starts_with("herd page ") => CLIENTS[1],
            _ => CLIENTS[2],
        };
        let device = match hello.device {
            DeviceKind::Cpu => DEVICES[0],
            DeviceKind::Gpu => DEVICES[1],
        };
        Self { client, device }
    }

    /// What program: native, browser or other.
    pub(super) fn client(self) -> &'static str {
        self.client
    }
}

/// What the board knows for this format alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) totals: EpochSummary,
    pub(super) merges: u64,
    pub(super) learning_rate: f64,
    pub(super) units: UnitCounts,
    pub(super) kinds: BTreeMap<Kind, u64>,
    /// Bytes from and to workers, once the run is over.
    pub(super) bytes: Option<(u64, u64)>,
}

/// The lines of one answer.
#[derive(Debug, Default)]
struct Lines(String);

impl Lines {
    /// A value that goes up and down.
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A value that only goes up.
    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// A value that may not be known yet: then there is no line of it.
    fn known(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.gauge(name, help, value);
        }
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, of)) in labels.iter().enumerate() {
            let of = of.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{of}\"");
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn reasons(&mut self, name: &str, help: &str, counts: &BTreeMap<Reason, u64>) {
        self.family(name, "counter", help);
        // Duplicates are counted by themselves.
        for reason in Reason::ALL.into_iter().filter(|reason| *reason != Reason::Duplicate) {
            let count = counts.get(&reason).copied().unwrap_or(0);
            self.sample(name, &[("reason", reason.name())], count);
        }
    }
}

/// All of it. `up` and `down` are bytes so far; `merge_seconds` was spent adding deltas.
pub(super) fn text(live: &Live, (up, down): (u64, u64), merge_seconds: f64) -> String {
    let mut lines = Lines::default();
    let version = env!("CARGO_PKG_VERSION");
    lines.family("herd_run_info", "gauge", "The run, and the version of herd; always 1.");
    lines.sample("herd_run_info", &[("run", &live.name), ("version", version)], 1);
    lines.family("herd_run_state", "gauge", "1 for the state that the run is in.");
    for state in STATES {
        lines.sample("herd_run_state", &[("state", state)], u8::from(state == live.state));
    }
    progress(&mut lines, live);
    deltas(&mut lines, &live.figures);
    fleet(&mut lines, live);
    let (up, down) = live.figures.bytes.unwrap_or((up, down));
    lines.counter("herd_received_bytes_total", "Bytes of messages from workers.", up);
    lines.counter("herd_sent_bytes_total", "Bytes of messages and shards to workers.", down);
    let help = "Time spent adding deltas to the master since this start of the coordinator.";
    lines.counter("herd_merge_seconds_total", help, merge_seconds);
    quality(&mut lines, live);
    lines.0
}

fn progress(lines: &mut Lines, live: &Live) {
    lines.gauge("herd_epoch", "The oldest epoch that is not complete, from 1.", live.epoch);
    lines.gauge("herd_epochs", "Epochs of the run.", live.epochs);
    lines.counter("herd_samples_merged_total", "Samples merged.", live.samples);
    lines.gauge("herd_samples", "Samples of all epochs.", live.total_samples);
    let help = "Merged samples per second of training time since this start of the coordinator.";
    lines.gauge("herd_samples_per_second", help, live.samples_per_second);
    let help = "Training time, that of earlier starts of the coordinator included.";
    lines.counter("herd_training_seconds_total", help, live.seconds);
    let help = "Learning rate that the next lease gets.";
    lines.gauge("herd_learning_rate", help, live.figures.learning_rate);
}

fn deltas(lines: &mut Lines, figures: &Figures) {
    let totals = &figures.totals;
    lines.counter("herd_versions_total", "Versions that the master has had.", figures.merges);
    lines.counter("herd_deltas_merged_total", "Deltas merged: units counted.", totals.units);
    let help = "Deltas refused, duplicates apart.";
    lines.reasons("herd_deltas_rejected_total", help, &totals.rejected);
    let help = "Samples given up, by the reason of the last refusal.";
    lines.reasons("herd_samples_dropped_total", help, &totals.dropped);
    lines.counter("herd_leases_total", "Leases handed out.", totals.leases);
    for (name, help, count) in [
        ("backup", "Leases handed out as second copies of outstanding units.", totals.backup),
        ("expired", "Leases whose deadline passed.", totals.expired),
        ("late", "Leases merged after their deadline.", totals.late),
        ("released", "Leases given back, or lost with their worker.", totals.released),
        ("duplicate", "Leases that another one of the same unit made needless.", totals.duplicate),
    ] {
        lines.counter(&format!("herd_leases_{name}_total"), help, count);
    }
    let help = "Samples leased again, or twice at a time.";
    lines.counter("herd_samples_re_leased_total", help, totals.re_leased);
    let UnitCounts { open, leased, arrived } = figures.units;
    let help = "Units neither merged nor dropped; open ones wait for a worker.";
    lines.family("herd_units", "gauge", help);
    for (state, count) in [("open", open), ("leased", leased), ("arrived", arrived)] {
        lines.sample("herd_units", &[("state", state)], count);
    }
}

fn fleet(lines: &mut Lines, live: &Live) {
    lines.family("herd_workers", "gauge", "Connected workers, by what they say they are.");
    for client in CLIENTS {
        for device in DEVICES {
            let count = live.figures.kinds.get(&Kind { client, device }).copied().unwrap_or(0);
            lines.sample("herd_workers", &[("client", client), ("device", device)], count);
        }
    }
}

fn quality(lines: &mut Lines, live: &Live) {
    if let Some(last) = live.records.last() {
        let help = "The newest epoch that was evaluated, from 1.";
        lines.gauge("herd_evaluated_epoch", help, last.epoch);
        let help = "Mean training loss of that epoch.";
        lines.known("herd_training_loss", help, last.training_loss);
        let help = "Accuracy on some training samples after that epoch, as a ratio.";
        lines.known("herd_training_accuracy_ratio", help, last.training_accuracy);
        let help = "Mean absolute error on some training samples after that epoch.";
        lines.known("herd_training_mae", help, last.training_mae);
        let help = "Loss on validation samples after that epoch.";
        lines.known("herd_validation_loss", help, last.validation_loss);
        let help = "Accuracy on validation samples after that epoch, as a ratio.";
        lines.known("herd_validation_accuracy_ratio", help, last.validation_accuracy);
        let help = "Mean absolute error on validation samples after that epoch.";
        lines.known("herd_validation_mae", help, last.validation_mae);
    }
    lines.known("herd_test_loss", "Loss of the result on test samples.", live.test_loss);
    let help = "Accuracy of the result on test samples, as a ratio.";
    lines.known("herd_test_accuracy_ratio", help, live.test_accuracy);
    let help = "Mean absolute error of the result on test samples.";
    lines.known("herd_test_mae", help, live.test_mae);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped_and_unknown_values_have_no_line() {
        let mut lines = Lines::default();
        lines.sample("a", &[("b", "c\"d\\e\nf"), ("g", "h")], 1.5);
        lines.known("i", "Help.", None);
        assert_eq!(lines.0, "a{b=\"c\\\"d\\\\e\\nf\",g=\"h\"} 1.5\n");
    }

    #[test]
    fn the_answer_is_bounded_whoever_connects() {
        let text = text(&Live::default(), (1, 2), 0.5);
        assert!(text.contains("herd_received_bytes_total 1\n"), "{text}");
        assert!(text.contains("herd_merge_seconds_total 0.5\n"), "{text}");
        assert!(text.lines().count() < 150, "{text}");
    }
}
