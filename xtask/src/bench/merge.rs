//! How fast deltas become master, against copying the same bytes.

use anyhow::Result;
use serde_json::Value;

use super::{Bench, Report, Spread, number, verdict};

const ROUNDS: usize = 7;

/// Seconds of each measurement: there are 36 a round.
const SECONDS: &str = "0.2";

/// Merges for each copy of the same bytes, by codec, under the merge rule that is the default.
const GOALS: [(&str, f64); 2] = [("f32", 0.5), ("f16", 0.3)];
const DEFAULT_RULE: &str = "nesterov";

pub(super) fn measure(bench: &mut Bench<'_>) -> Result<Report> {
    let rounds: Vec<Vec<Value>> =
        (0..ROUNDS).map(|_| bench.lines("merges", &[SECONDS])).collect::<Result<_>>()?;
    let mut report = Report {
        head: vec![
            "parameters",
            "codec",
            "rule",
            "threads",
            "merges/s",
            "GB/s",
            "ratio",
            "goal",
            "examined/s",
        ],
        rows: Vec::new(),
        notes: vec![format!(
            "Medians of {ROUNDS} alternated rounds, lowest and highest in brackets. A merge reads \
             the encoded delta and reads and writes the values, with nesterov the momentum too; \
             the ratio is to copying as many bytes, half of them read and half written, on as many \
             threads. Each delta is examined once before it is merged, which reads it alone."
        )],
    };
    for (place, first) in rounds[0].iter().enumerate() {
        let all = |value: &dyn Fn(&Value) -> Result<f64>| -> Result<Spread> {
            let values = rounds.iter().map(|round| value(&round[place]));
            Ok(Spread::of(&values.collect::<Result<Vec<f64>>>()?))
        };
        let merges = all(&|line| number(line, "merges_per_second"))?;
        let ratio = all(&|line| {
            Ok(number(line, "merges_per_second")? / number(line, "copies_per_second")?)
        })?;
        let bytes = number(first, "bytes")?;
        let text = |field: &str| first[field].as_str().unwrap_or_default().to_owned();
        let goal = GOALS.iter().find(|(codec, _)| text("codec") == *codec);
        let goal = goal.filter(|_| text("rule") == DEFAULT_RULE);
        report.rows.push(vec![
            number(first, "parameters")?.to_string(),
            text("codec"),
            text("rule"),
            number(first, "threads")?.to_string(),
            merges.rate(),
            format!("{:.1}", merges.median * bytes / 1e9),
            ratio.ratio(),
            goal.map(|(_, goal)| verdict(ratio.median, *goal)).unwrap_or_default(),
            all(&|line| number(line, "examined_per_second"))?.rate(),
        ]);
    }
    Ok(report)
}
