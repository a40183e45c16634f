//! Tests of the report's page: what it tells, and that nobody's text can become a part of it.

use std::fs;

use rusqlite::Connection;
use serde_json::json;

use super::*;
use crate::runs::tests::run;

const HOSTILE: &str =
    "</td><script>alert(1)</script><img src=x onerror='alert(\"2\")'>\u{202e}&amp;";

/// The names of all elements and attributes of a page; panics where a `<` begins none.
fn markup(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("an open tag: {part}"));
        let name = tag.trim_start_matches(['/', '!']).split(' ').next().unwrap();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "{tag}");
        found.push(name.to_owned());
        // Values have no quotes and no `>` in them: both are escaped.
        let pieces: Vec<_> = tag.split('"').collect();
        assert!(pieces.len() % 2 == 1, "{tag}");
        let names = pieces.iter().step_by(2).filter_map(|piece| piece.strip_suffix('='));
        found.extend(names.map(|name| name.rsplit(' ').next().unwrap().to_owned()));
    }
    found
}

fn assert_harmless(page: &str) {
    let known = "html head meta title style body header main section footer p h1 h2 h3 b i span dl \
                 div dt dd figure figcaption svg desc line text path circle table caption thead tbody \
                 tr th td details summary pre ul li bdi wbr doctype \
                 lang charset http-equiv content name class id aria-label aria-labelledby aria-hidden \
                 viewBox role d x x1 x2 y y1 y2 cx cy r tabindex scope";
    let known: Vec<_> = known.split_whitespace().collect();
    for name in markup(page) {
        // The one `style` attribute is the width of a bar.
        assert!(known.contains(&name.as_str()), "{name} on a page that loads and runs nothing");
    }
    for word in ["://", "@import", "url(", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn hostile_names_are_only_ever_text() {
    let folder = run();
    let path = folder.path();
    let ledger = Connection::open(path.join("run.db")).unwrap();
    let renamed = ledger.execute("UPDATE worker SET name = ?1, device = ?1", [HOSTILE]).unwrap();
    assert!(renamed > 0);
    drop(ledger);
    let job = toml::Table::from_iter([("name".to_owned(), HOSTILE.into())]);
    fs::write(path.join("config.toml"), job.to_string()).unwrap();
    let result = json!({ "ending": HOSTILE, "test_accuracy": 0.5, "test_samples": 10 });
    let report = write(path, Some(result)).unwrap();
    let page = fs::read_to_string(report).unwrap();
    assert_harmless(&page);
    let shown = "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=&#39;alert(&quot;2&quot;)";
    assert!(page.contains(&format!("<bdi>{shown}")), "{page}");
    assert!(page.contains(&format!("<h1>{shown}")), "{page}");
    assert!(page.contains("NOT exact"), "the seal covers names, and the page says so");
}

#[test]
fn a_troubled_run_is_told_with_its_reasons() {
    let folder = run();
    let page = fs::read_to_string(write(folder.path(), None).unwrap()).unwrap();
    assert_harmless(&page);
    for words in [
        "<p class=\"state\">Complete",
        "2 starts",
        "Ledger exact.</b> 2 epochs, each of 64 samples counted exactly once.",
        "no result: nothing was tested",
        "not-finite",
        "a value was no finite number",
        "volunteer 1",
    ] {
        assert!(page.contains(words), "{words:?} in {page}");
    }
}

#[test]
fn a_run_without_any_checkpoint_has_a_report_too() {
    let folder = tempfile::tempdir().unwrap();
    drop(crate::storage::Store::create(folder.path()).unwrap());
    let page = fs::read_to_string(write(folder.path(), None).unwrap()).unwrap();
    assert_harmless(&page);
    assert!(page.contains("No checkpoint was stored") && page.contains("Nothing was recorded"));
    assert!(page.contains("No worker was given anything"), "{page}");
}

#[test]
fn curves_follow_the_metrics_and_the_history_of_the_checkpoint() {
    let folder = run();
    let facts = Facts::read(folder.path(), Some(json!({ "best_epoch": 1 }))).unwrap();
    let mut shell = facts.shell.clone();
    for second in 1..=10_u32 {
        let time = std::time::Duration::from_secs(second.into());
        shell.history.look(time, 100 * u64::from(second), 2);
    }
    let record = |epoch: u32, loss| EpochRecord {
        epoch,
        seconds: 4.0 * f64::from(epoch),
        version: 1,
        training_loss: None,
        training_accuracy: Some(0.75),
        training_mae: None,
        validation_loss: Some(loss),
        validation_accuracy: Some(0.5),
        validation_mae: None,
        counts: engine::EpochSummary::default(),
    };
    let records = vec![record(1, 0.25), record(2, f64::NAN)];
    let page = page::html(&Facts { shell, records, ..facts });
    assert_harmless(&page);
    assert!(!page.contains("NaN") && !page.contains("inf "), "{page}");
    assert!(page.contains("validation: from 0.25 to 0.25"), "{page}");
    assert!(page.contains(">best</text>"), "{page}");
    assert!(page.contains("mean <b>100</b>") && page.contains("most <b>2</b>"), "{page}");
}
