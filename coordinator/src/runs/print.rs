//! A run's numbers as tables and as JSON.

use serde_json::json;

use super::Shown;
use super::counts::{Counts, by_reason};
use crate::cli::aligned;
use crate::storage::Act;

/// Epochs that are printed when not all are asked for.
const EPOCHS_SHOWN: usize = 20;

/// Acts of admins that are printed, the newest.
const ACTS_SHOWN: usize = 10;

/// What is printed for people.
pub(super) fn text(shown: &Shown, all: bool) -> String {
    let mut text = head(shown);
    let Some((_, findings)) = &shown.checked else {
        text.push_str("no checkpoint yet: nothing is counted\n");
        return text;
    };
    let epochs = &shown.tables.epochs;
    let skipped = if all { 0 } else { epochs.len().saturating_sub(EPOCHS_SHOWN) };
    let mut table = vec![epoch_heads()];
    table.extend(epochs.iter().skip(skipped).map(|(epoch, counts)| {
        let state = if findings.complete.contains(epoch) { "" } else { " open" };
        cells(format!("{}{state}", epoch + 1), counts)
    }));
    table.push(cells("run".to_owned(), &shown.tables.totals));
    text.push('\n');
    if skipped > 0 {
        line(
            &mut text,
            &format!("the last {EPOCHS_SHOWN} of {} epochs; --all shows all", epochs.len()),
        );
    }
    text.push_str(&aligned(&table));
    if shown.tables.after > 0 {
        line(
            &mut text,
            &format!("{} leases ended after their epoch; the run counts them", shown.tables.after),
        );
    }
    text.push('\n');
    text.push_str(&aligned(&workers(shown)));
    text.push('\n');
    line(&mut text, &findings.line());
    for difference in &findings.differences {
        line(&mut text, &format!("  {difference}"));
    }
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn head(shown: &Shown) -> String {
    let mut text = String::new();
    let report = &shown.report;
    line(&mut text, &format!("{}: {}", shown.name, shown.state_words()));
    let starts = report.incarnations.len();
    let last = report.incarnations.last();
    let last = last.map(|start| format!(", last {} at {}", start.started, start.address));
    line(&mut text, &format!("starts: {starts}{}", last.unwrap_or_default()));
    if let Some((record, _)) = &shown.checked {
        let age = shown.age_seconds().map(|age| format!(", {age} s ago")).unwrap_or_default();
        let (number, merges) = (record.number, record.engine.merges());
        line(
            &mut text,
            &format!("checkpoint: {number}{age}, {}, {merges} merges in all", record.version),
        );
        if let Some(best) = &record.best {
            line(&mut text, &format!("best: epoch {}", best.epoch));
        }
    }
    if let Some(parameters) = shown.parameters {
        line(&mut text, &format!("model: {parameters} parameters"));
    }
    let first = shown.acts.len().saturating_sub(ACTS_SHOWN);
    for Act { time, by, token, act } in &shown.acts[first..] {
        let token = token.map(|id| format!(" {id}")).unwrap_or_default();
        line(&mut text, &format!("act: {time} {by}{token}: {act}"));
    }
    text
}

fn epoch_heads() -> Vec<String> {
    let heads = [
        "epoch",
        "samples",
        "units",
        "leases",
        "re-leased",
        "late",
        "duplicates",
        "released",
        "refused",
        "dropped",
    ];
    heads.map(str::to_owned).to_vec()
}

fn cells(name: String, counts: &Counts) -> Vec<String> {
    let numbers = [
        counts.samples,
        counts.units,
        counts.leases,
        counts.re_leased,
        counts.late,
        counts.duplicate,
        counts.released,
    ];
    let mut cells = vec![name];
    cells.extend(numbers.map(|number| number.to_string()));
    cells.extend([by_reason(&counts.rejected), by_reason(&counts.dropped)]);
    cells
}

fn workers(shown: &Shown) -> Vec<Vec<String>> {
    let mut table =
        vec![["worker", "samples", "merged", "refused", "device"].map(str::to_owned).to_vec()];
    for (number, counts) in &shown.tables.workers {
        let known = shown.report.workers.iter().find(|worker| worker.number == *number);
        let name = known.map_or_else(|| format!("worker {number}"), |known| known.name.clone());
        let device = known.map_or("-", |known| known.device.as_str());
        table.push(vec![
            name,
            counts.samples.to_string(),
            counts.merged.to_string(),
            by_reason(&counts.rejected),
            device.to_owned(),
        ]);
    }
    table
}

/// What is printed for programs.
pub(super) fn json(shown: &Shown) -> serde_json::Value {
    let tables = &shown.tables;
    let findings = shown.checked.as_ref().map(|(_, findings)| findings);
    let epochs: Vec<_> = tables
        .epochs
        .iter()
        .map(|(epoch, counts)| {
            let complete = findings.is_some_and(|findings| findings.complete.contains(epoch));
            json!({ "epoch": epoch + 1, "complete": complete, "counts": counts })
        })
        .collect();
    let workers: Vec<_> = tables
        .workers
        .iter()
        .map(|(number, counts)| {
            let known = shown.report.workers.iter().find(|worker| worker.number == *number);
            json!({
                "number": number,
                "name": known.map(|known| &known.name),
                "device": known.map(|known| &known.device),
                "counts": counts,
            })
        })
        .collect();
    let checkpoint = shown.checked.as_ref().map(|(record, _)| {
        json!({
            "number": record.number,
            "saved": record.saved,
            "age_seconds": shown.age_seconds(),
            "incarnation": record.version.incarnation,
            "version": record.version.number,
            "merges": record.engine.merges(),
            "best_epoch": record.best.as_ref().map(|best| best.epoch),
        })
    });
    let starts: Vec<_> = shown
        .report
        .incarnations
        .iter()
        .map(|start| json!({ "number": start.number, "started": start.started, "address": start.address }))
        .collect();
    json!({
        "run": shown.name,
        "state": shown.state,
        "process": shown.report.process.filter(|process| *process > 0),
        "incarnations": starts,
        "checkpoint": checkpoint,
        "parameters": shown.parameters,
        "acts": shown.acts,
        "epochs": epochs,
        "totals": tables.totals,
        "after_epoch": tables.after,
        "workers": workers,
        "epoch_samples": findings.map(|findings| findings.samples),
        "exact": findings.is_none_or(|findings| findings.differences.is_empty()),
        "differences": findings.map(|findings| &findings.differences),
    })
}
