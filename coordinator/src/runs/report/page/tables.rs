//! The tables: who trained, what was refused, and the numbers behind the charts.

use std::fmt::Write;

use protocol::Reason;
use serde::Deserialize;

use super::curves::thinned;
use super::duration;
use crate::run::EpochRecord;
use crate::runs::counts::by_reason;
use crate::runs::report::Facts;
use crate::runs::report::chart::number;
use crate::runs::report::html::{Table, escaped, isolated};
use crate::train::{grouped, percent};

/// Rows of a table: more nobody reads, and a page must open on a phone.
pub(super) const ROWS_MAX: usize = 200;

/// Rows of a long course.
const COURSE_MAX: usize = 100;

/// Stretches of time in the table: about what the chart shows.
const STRETCHES_MAX: usize = 24;

/// What the ledger knows of a worker beside its counts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OfWorker {
    busy_seconds: f64,
    present_seconds: f64,
    trained: u64,
}

/// Who trained, with the share of each.
pub(super) fn workers(facts: &Facts) -> String {
    let tables = &facts.shown.tables;
    if tables.workers.is_empty() {
        return "<p>No worker was given anything to train.</p>".to_owned();
    }
    let total = tables.totals.samples.max(1) as f64;
    let mut workers: Vec<_> = tables.workers.iter().collect();
    workers.sort_by_key(|(number, counts)| (std::cmp::Reverse(counts.samples), **number));
    let rows = workers.iter().take(ROWS_MAX).map(|(number, counts)| {
        let known = facts.shown.report.workers.iter().find(|worker| worker.number == **number);
        let name = known.map_or_else(|| format!("worker {number}"), |known| known.name.clone());
        let facts: Option<OfWorker> =
            known.and_then(|known| serde_json::from_value(known.facts.clone()).ok());
        let OfWorker { busy_seconds, present_seconds, trained } = facts.unwrap_or_default();
        let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let share = counts.samples as f64 / total;
        let bar = format!(
            "<span class=\"bar\" aria-hidden=\"true\"><i style=\"width:{:.1}%\"></i></span><b>{}</b>",
            100.0 * share,
            percent(share)
        );
        vec![
            isolated(&name),
            bar,
            grouped(counts.samples),
            grouped(counts.merged),
            format!("{:.0} %", 100.0 * ratio(busy_seconds, present_seconds).min(1.0)),
            grouped(ratio(trained as f64, busy_seconds) as u64),
            escaped(&by_reason(&counts.rejected)),
            isolated(known.map_or("-", |known| &known.device)),
        ]
    });
    let table = Table {
        caption: "Workers by their share of the merged samples",
        heads: &[
            ("Worker", false),
            ("Share", true),
            ("Samples", true),
            ("Merged", true),
            ("Busy", true),
            ("Samples/s busy", true),
            ("Refused", false),
            ("Device", false),
        ],
        rows: rows.collect(),
    };
    let mut html = table.html();
    let more = workers.len().saturating_sub(ROWS_MAX);
    if more > 0 {
        let _ = write!(html, "<p class=\"more\">And {} more with less.</p>", grouped(more as u64));
    }
    html
}

/// What did not count, and why.
pub(super) fn refused(facts: &Facts) -> String {
    let totals = &facts.shown.tables.totals;
    let mut rows: Vec<Vec<String>> = Vec::new();
    for reason in Reason::ALL {
        let refused = totals.rejected.get(reason.name()).copied().unwrap_or(0);
        let dropped = totals.dropped.get(reason.name()).copied().unwrap_or(0);
        if refused + dropped > 0 {
            let words = meaning(reason).to_owned();
            rows.push(vec![reason.name().to_owned(), grouped(refused), grouped(dropped), words]);
        }
    }
    for (name, count, words) in [
        ("duplicate", totals.duplicate, "another lease of the same unit was merged first"),
        ("released", totals.released, "given back, or lost with the worker or the coordinator"),
    ] {
        if count > 0 {
            rows.push(vec![name.to_owned(), grouped(count), "0".to_owned(), words.to_owned()]);
        }
    }
    if rows.is_empty() {
        return "<p>Nothing was refused, repeated or lost.</p>".to_owned();
    }
    let table = Table {
        caption: "Leases that did not count. Their samples were trained again unless they were given up",
        heads: &[
            ("Reason", false),
            ("Leases", true),
            ("Samples given up", true),
            ("Meaning", false),
        ],
        rows,
    };
    table.html()
}

fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::Duplicate => "another lease of the same unit was merged first",
        Reason::UnknownLease => "the lease was not known, or another worker's",
        Reason::Length => "the delta had not the model's length",
        Reason::NotFinite => "a value was no finite number",
        Reason::Norm => "the delta was more than ten times as large as usual",
        Reason::Ended => "the run was over",
        Reason::Fenced => "the lease was of an earlier start of the coordinator",
    }
}

/// The numbers that the charts draw.
pub(super) fn numbers(facts: &Facts) -> String {
    let open = if facts.records.len() <= 12 { " open" } else { "" };
    let mut html = format!("<details{open}><summary>Epochs</summary>{}</details>", epochs(facts));
    let _ =
        write!(html, "<details><summary>Speed and workers</summary>{}</details>", course(facts));
    html
}

fn epochs(facts: &Facts) -> String {
    const UNKNOWN: &str = "\u{2013}";
    let value = |value: Option<f64>| {
        let known = value.filter(|value| value.is_finite());
        known.map_or(UNKNOWN.to_owned(), |value| format!("{value:.4}"))
    };
    let share = |value: Option<f64>| value.map_or(UNKNOWN.to_owned(), percent);
    let refused = |record: &EpochRecord| {
        let counts = record.counts.rejected.iter();
        by_reason(&counts.map(|(reason, count)| (reason.name(), *count)).collect())
    };
    let of_values = facts.are_values();
    let shown = thinned(&facts.records, COURSE_MAX);
    let rows = shown.iter().map(|record| {
        let [training, validation] = if of_values {
            [record.training_mae, record.validation_mae].map(value)
        } else {
            [record.training_accuracy, record.validation_accuracy].map(share)
        };
        vec![
            record.epoch.to_string(),
            duration(record.seconds),
            value(record.training_loss),
            value(record.validation_loss),
            training,
            validation,
            grouped(record.counts.samples),
            grouped(record.counts.units),
            grouped(record.counts.re_leased),
            escaped(&refused(record)),
        ]
    });
    let all = facts.records.len();
    let caption = if shown.len() < all {
        format!("{} of {all} epochs, evenly; metrics.jsonl has all", shown.len())
    } else {
        "All epochs".to_owned()
    };
    let table = Table {
        caption: &caption,
        heads: &[
            ("Epoch", true),
            ("Time", true),
            ("Training loss", true),
            ("Validation loss", true),
            (if of_values { "Training error" } else { "Training accuracy" }, true),
            (if of_values { "Validation error" } else { "Validation accuracy" }, true),
            ("Samples", true),
            ("Deltas", true),
            ("Leased again", true),
            ("Refused", false),
        ],
        rows: rows.collect(),
    };
    table.html()
}

fn course(facts: &Facts) -> String {
    let mut begun_ms = 0;
    let mut rows = Vec::new();
    for stretch in facts.shell.history.stretches(STRETCHES_MAX) {
        let length_ms = stretch.end_ms.saturating_sub(begun_ms).max(1) as f64;
        begun_ms = stretch.end_ms;
        rows.push(vec![
            duration(stretch.end_ms as f64 / 1000.0),
            grouped(stretch.samples),
            grouped((stretch.samples as f64 * 1000.0 / length_ms) as u64),
            number(stretch.worker_ms as f64 / length_ms),
        ]);
    }
    let table = Table {
        caption: "What was merged up to each time since the one before, and the mean number of workers",
        heads: &[("Until", true), ("Samples", true), ("Samples/s", true), ("Workers", true)],
        rows,
    };
    table.html()
}
