//! The page: one HTML file with style and pictures in it, and nothing that is loaded or runs.

use std::fmt::Write;

use super::Facts;
use super::html::{escaped, isolated, list};
use crate::train::{bytes, grouped, percent};

mod curves;
mod tables;

const STYLE: &str = include_str!("style.css");

/// Says to the browser what the page needs: its own style. Whatever else might get into it is dead.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The whole page.
pub(super) fn html(facts: &Facts) -> String {
    let name = facts.of_job("name").unwrap_or(&facts.shown.name);
    let name = escaped(name);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>{name} \u{2013} Herd</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
    );
    let _ = write!(
        html,
        "<header><p class=\"over\">Report of a run</p><h1>{name}</h1><p class=\"state\">{}</p></header>\n<main>\n",
        state(facts)
    );
    html.push_str(&result(facts));
    html.push_str(&exactness(facts));
    section(&mut html, "curves", "Over training time", &curves::html(facts));
    section(&mut html, "workers", "Workers", &tables::workers(facts));
    section(&mut html, "refused", "Refused and repeated", &tables::refused(facts));
    section(&mut html, "job", "Job", &job(facts));
    section(&mut html, "numbers", "Numbers", &tables::numbers(facts));
    let _ = write!(
        html,
        "</main>\n<footer><p>Written by herd {} on {} from the run folder {}. This file needs no other \
         one.</p></footer>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        escaped(&facts.written),
        isolated(&facts.shown.name)
    );
    html
}

fn section(html: &mut String, id: &str, title: &str, content: &str) {
    let _ = writeln!(
        html,
        "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{title}</h2>{content}</section>"
    );
}

/// How the run stands, in a line.
fn state(facts: &Facts) -> String {
    let report = &facts.shown.report;
    let ending = facts.result.as_ref().and_then(|result| result.get("ending")?.as_str());
    let mut parts = vec![match ending.filter(|ending| *ending != "interrupted") {
        _ if facts.shown.is_complete() => "Complete".to_owned(),
        Some(ending) => format!("Not complete ({}); it can go on", escaped(ending)),
        None => "Not complete; it can go on".to_owned(),
    }];
    let start = report.incarnations.first().map(|start| start.started.as_str());
    if let Some(date) = start.and_then(|start| start.get(..16)) {
        parts.push(format!("begun {} UTC", escaped(&date.replace('T', " "))));
    }
    let starts = report.incarnations.len();
    if starts > 1 {
        parts.push(format!("{starts} starts"));
    }
    parts.join(" \u{b7} ")
}

/// What the run is for, and what it took.
fn result(facts: &Facts) -> String {
    let number = |name| facts.number(name);
    let samples = number("test_samples").filter(|count| *count > 0.0);
    let on_test = samples.map_or("on test samples".to_owned(), |count| {
        format!("on {} test samples", grouped(count as u64))
    });
    let (value, of) = if let Some(accuracy) = number("test_accuracy") {
        (percent(accuracy), format!("accuracy {on_test}"))
    } else if let Some(mae) = number("test_mae") {
        (super::chart::number(mae), format!("mean absolute error {on_test}"))
    } else if let Some(accuracy) = number("validation_accuracy") {
        (percent(accuracy), "accuracy on validation samples".to_owned())
    } else if let Some(loss) = number("validation_loss") {
        (super::chart::number(loss), "loss on validation samples".to_owned())
    } else {
        ("\u{2013}".to_owned(), "no result: nothing was tested".to_owned())
    };
    let totals = &facts.shown.tables.totals;
    let seconds = facts.shell.seconds;
    let speed = (seconds > 0.0)
        .then(|| format!("{} samples/s", grouped((totals.samples as f64 / seconds) as u64)));
    let merges = facts.shown.checked.as_ref().map(|(record, _)| grouped(record.engine.merges()));
    let best = number("best_epoch").map(|epoch| format!("epoch {epoch}"));
    let facts_list = list(
        "facts",
        &[
            ("Training time", Some(duration(seconds))),
            ("Speed", speed),
            ("Over the best worker", number("speed_up").map(|ratio| format!("{ratio:.2}\u{d7}"))),
            ("Samples merged", Some(grouped(totals.samples))),
            ("Merges", merges),
            ("Workers", Some(facts.shown.tables.workers.len().to_string())),
            ("Best model", best),
            ("From workers", Some(bytes(facts.shell.bytes_up))),
            ("To workers", Some(bytes(facts.shell.bytes_down))),
        ],
    );
    format!(
        "<section class=\"result\" aria-label=\"Result\"><p class=\"giant\"><b>{value}</b> <span>{of}</span></p>\
         {facts_list}</section>\n"
    )
}

/// Whether the ledger adds up, which is what the other numbers rest on.
fn exactness(facts: &Facts) -> String {
    let Some((_, findings)) = &facts.shown.checked else {
        return "<p class=\"exact\">No checkpoint was stored: nothing is counted.</p>\n".to_owned();
    };
    if findings.differences.is_empty() {
        let line = match findings.complete.len() {
            0 => "No epoch is complete yet.".to_owned(),
            epochs => format!(
                "{} {}, each of {} samples counted exactly once.",
                grouped(epochs as u64),
                if epochs == 1 { "epoch" } else { "epochs" },
                grouped(findings.samples)
            ),
        };
        return format!("<p class=\"exact\"><b>Ledger exact.</b> {line}</p>\n");
    }
    let mut html =
        format!("<div class=\"exact not\"><p><b>{}</b></p><ul>", escaped(&findings.line()));
    for difference in findings.differences.iter().take(tables::ROWS_MAX) {
        let _ = write!(html, "<li>{}</li>", escaped(difference));
    }
    html.push_str("</ul></div>\n");
    html
}

/// What was asked for.
fn job(facts: &Facts) -> String {
    // Long words of a job have places to break at.
    let of = |key: &str| facts.of_job(key).map(|text| isolated(text).replace('_', "_<wbr>"));
    let optimizer = of("model.optimizer.type").map(|optimizer| {
        let rate = of("model.optimizer.learning_rate");
        rate.map_or(optimizer.clone(), |rate| format!("{optimizer}, learning rate {rate}"))
    });
    let parameters = facts.shown.parameters.map(|count| grouped(count as u64));
    let mut html = list(
        "job",
        &[
            ("Data", of("data.source")),
            ("Test data", of("data.test")),
            ("Validation split", of("data.validation_split")),
            ("Parameters", parameters),
            ("Loss", of("model.loss.type").or_else(|| of("model.loss"))),
            ("Optimizer", optimizer),
            ("Epochs", of("training.epochs")),
            ("Batch size", of("training.batch_size")),
            ("Mode", of("training.mode")),
            ("Frequency", of("training.frequency")),
            ("Strategy", of("training.strategy")),
            ("Codec", of("training.codec")),
            ("Seed", of("seed")),
        ],
    );
    if let Some(model) = &facts.model {
        let _ = write!(
            html,
            "<details><summary>The model, layer by layer</summary><pre tabindex=\"0\">{}</pre></details>",
            escaped(model.trim_end())
        );
    }
    html
}

/// A time in the two units that matter.
fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..=119 => format!("{seconds:.1} s"),
        120..=7199 => format!("{} min {} s", whole / 60, whole % 60),
        7200..=172_799 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}
