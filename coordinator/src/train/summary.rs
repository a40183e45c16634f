//! What is said at the end of a run: one line, or one JSON object.

use std::path::PathBuf;

use engine::{EpochSummary, Status};
use serde::Serialize;

use crate::run::{Ending, Outcome, WorkerTally, finite};

/// A run that is over.
#[derive(Debug)]
pub(super) struct Summary {
    /// Whether the model says classes.
    pub(super) classes: bool,
    pub(super) folder: PathBuf,
    pub(super) outcome: Outcome,
    pub(super) ending: Ending,
    /// From the first lease to the last merge.
    pub(super) seconds: f64,
    pub(super) samples_per_second: f64,
    /// Over the best single worker.
    pub(super) speed_up: Option<f64>,
    pub(super) workers: Vec<WorkerTally>,
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
    /// The engine's last word.
    pub(super) status: Status,
}

#[derive(Debug, Serialize)]
struct Json<'a> {
    ending: &'static str,
    /// Nothing when no target was set.
    target_met: Option<bool>,
    test_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_mae: Option<f64>,
    test_samples: u64,
    validation_accuracy: Option<f64>,
    validation_loss: Option<f64>,
    best_epoch: Option<u32>,
    seconds: f64,
    samples: u64,
    samples_per_second: f64,
    speed_up: Option<f64>,
    workers: &'a [WorkerTally],
    bytes_up: u64,
    bytes_down: u64,
    model: &'a PathBuf,
    digest: String,
    run: &'a PathBuf,
    totals: &'a EpochSummary,
}

impl Summary {
    /// Prints it on standard output.
    #[allow(clippy::print_stdout, reason = "this is the command line's answer")]
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            println!("{}", serde_json::to_string(&self.json())?);
        } else {
            println!("{}", self.line());
        }
        Ok(())
    }

    /// What `--json` prints.
    pub(super) fn value(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self.json()).ok()
    }

    fn json(&self) -> Json<'_> {
        let (test, validation) = (self.outcome.test, self.outcome.validation);
        Json {
            ending: self.ending.word(),
            target_met: self.outcome.target_met,
            test_accuracy: test.filter(|_| self.classes).and_then(|test| finite(test.accuracy())),
            test_loss: test.and_then(|test| finite(test.loss())),
            test_mae: test.and_then(|test| finite(test.mae())),
            test_samples: test.map_or(0, |test| test.count),
            validation_accuracy: validation
                .filter(|_| self.classes)
                .and_then(|validation| finite(validation.accuracy())),
            validation_loss: validation.and_then(|validation| finite(validation.loss())),
            best_epoch: self.outcome.best_epoch,
            seconds: self.seconds,
            samples: self.status.merged_samples,
            samples_per_second: self.samples_per_second,
            speed_up: self.speed_up,
            workers: &self.workers,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            model: &self.outcome.model,
            digest: self.outcome.digest.to_string(),
            run: &self.folder,
            totals: &self.status.totals,
        }
    }

    fn line(&self) -> String {
        let mut parts = Vec::new();
        match (self.outcome.test, self.outcome.validation) {
            (Some(test), _) => parts.push(self.quality("test", &test)),
            (None, Some(validation)) => parts.push(self.quality("validation", &validation)),
            (None, None) => parts.push("no samples to test on".to_owned()),
        }
        parts.push(format!("{} samples/s", grouped(self.samples_per_second as u64)));
        if let Some(speed_up) = self.speed_up {
            parts.push(format!("{speed_up:.2}x the best worker"));
        }
        let busy = self
            .workers
            .iter()
            .map(|worker| format!("{} {:.0} %", worker.name, worker.busy_percent));
        parts.push(format!("busy {}", busy.collect::<Vec<_>>().join(", ")));
        parts.push(format!("{} up, {} down", bytes(self.bytes_up), bytes(self.bytes_down)));
        parts.push(format!("model {}", self.outcome.model.display()));
        parts.join(" | ")
    }

    fn quality(&self, of: &str, metrics: &model::Metrics) -> String {
        if self.classes {
            format!("{of} accuracy {:.4}", metrics.accuracy())
        } else {
            format!("{of} mae {:.4}, loss {:.4}", metrics.mae(), metrics.loss())
        }
    }
}

/// A share as a percentage with two decimals.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A number with commas between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit that leaves at least one.
pub(crate) fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        _ if count >= 1e9 => format!("{:.2} GB", count / 1e9),
        _ if count >= 1e6 => format!("{:.1} MB", count / 1e6),
        _ if count >= 1e3 => format!("{:.0} kB", count / 1e3),
        _ => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_bytes_get_units() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(236_564), "237 kB");
        assert_eq!(bytes(4_700_000), "4.7 MB");
    }
}
