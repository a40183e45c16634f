//! `herd runs compare`: what differs in the jobs of runs, and what came of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::json;

use super::entry::{Entry, missing};
use super::job;
use crate::cli::{CompareArgs, aligned, answer};
use crate::storage::find_run;
use crate::train::{grouped, percent};

/// A job's values by their dotted keys.
type Values = BTreeMap<String, String>;

/// Values of one key, run by run; none where a job has no such key.
type Differences = BTreeMap<String, Vec<Option<String>>>;

/// What a run has in one line of the results.
type Cell = fn(&Entry) -> Option<String>;

/// How the keys of layers begin.
const LAYERS: &str = "model.layers[";

/// Runs `herd runs compare`.
///
/// # Errors
/// When a run is not there or its job cannot be read.
pub fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    let folders: Vec<PathBuf> =
        args.runs.iter().map(|run| find_run(run)).collect::<Result<_, _>>()?;
    let jobs = folders.iter().map(|folder| job::read(folder)).collect::<Result<Vec<_>, _>>()?;
    let jobs: Vec<_> = jobs.iter().map(job::flat).collect();
    let runs: Vec<Entry> = folders.iter().map(|folder| Entry::read(folder)).collect();
    let differences = differences(&jobs);
    let text = if args.json {
        format!("{}\n", json!({ "runs": runs, "job": differences }))
    } else {
        text(&runs, &in_short(&jobs, differences))
    };
    Ok(answer(&text)?)
}

fn differences(jobs: &[Values]) -> Differences {
    let keys: BTreeSet<&String> = jobs.iter().flat_map(BTreeMap::keys).collect();
    keys.into_iter()
        .map(|key| (key.clone(), jobs.iter().map(|job| job.get(key).cloned()).collect::<Vec<_>>()))
        .filter(|(_, values)| values.iter().any(|value| *value != values[0]))
        .collect()
}

/// Models of other layers differ in nearly all keys: then a word or two for each layer says enough.
fn in_short(jobs: &[Values], mut differences: Differences) -> Differences {
    if !differences.keys().any(|key| key.starts_with(LAYERS) && key.ends_with("].type")) {
        return differences;
    }
    differences.retain(|key, _| !key.starts_with(LAYERS));
    for number in 0.. {
        let words: Vec<_> = jobs.iter().map(|job| layer(job, number)).collect();
        if words.iter().all(Option::is_none) {
            break;
        }
        if words.iter().any(|word| *word != words[0]) {
            differences.insert(format!("{LAYERS}{number}]"), words);
        }
    }
    differences
}

/// `dense 64`.
fn layer(job: &Values, number: usize) -> Option<String> {
    let value = |key: &str| job.get(&format!("{LAYERS}{number}].{key}"));
    let kind = value("type")?;
    let size = value("units").or_else(|| value("filters"));
    Some(size.map_or_else(|| kind.clone(), |size| format!("{kind} {size}")))
}

/// For the order of keys: `layers[2]` before `layers[10]`.
fn natural(key: &str) -> String {
    let (mut text, mut number) = (String::new(), String::new());
    for char in key.chars().chain([' ']) {
        if char.is_ascii_digit() {
            number.push(char);
            continue;
        }
        if !number.is_empty() {
            text.push_str(&format!("{number:0>8}"));
            number.clear();
        }
        text.push(char);
    }
    text
}

fn text(runs: &[Entry], differences: &Differences) -> String {
    let names = |head: &str| {
        let names = runs.iter().map(|run| run.run.clone());
        std::iter::once(head.to_owned()).chain(names).collect::<Vec<_>>()
    };
    let mut table = vec![names("job")];
    let mut sorted: Vec<_> = differences.iter().collect();
    sorted.sort_by_cached_key(|(key, _)| natural(key));
    for (key, values) in sorted {
        let cell = |value: &Option<String>| match value.as_deref() {
            None => missing(),
            Some("") => "\"\"".to_owned(),
            Some(text) => text.to_owned(),
        };
        table.push(std::iter::once(key.clone()).chain(values.iter().map(cell)).collect());
    }
    let job_rows = table.len();
    table.push(names("result"));
    table.extend(results(runs));
    // One table, so that the runs stand under each other; cut in two where the results begin.
    let whole = aligned(&table);
    let mut text = String::new();
    for (index, line) in whole.lines().enumerate() {
        if index == 0 && job_rows == 1 {
            text.push_str("the jobs are the same\n");
            continue;
        }
        if index == job_rows {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
    }
    for problem in runs.iter().filter_map(|run| run.problem.as_ref()) {
        text.push_str(&format!("{problem}\n"));
    }
    text
}

fn decimals(value: Option<f64>) -> Option<String> {
    value.map(|value| format!("{value:.4}"))
}

/// A line for each thing that at least one run has.
fn results(runs: &[Entry]) -> Vec<Vec<String>> {
    let lines: [(&str, Cell); 13] = [
        ("state", |run| Some(run.state.to_string())),
        ("started (UTC)", |run| run.started.map(|_| run.started_text())),
        ("epochs", |run| Some(run.epochs_text())),
        ("samples", |run| Some(grouped(run.samples))),
        ("merges", |run| Some(grouped(run.merges))),
        ("best epoch", |run| run.best_epoch.map(|epoch| epoch.to_string())),
        ("best accuracy", |run| run.best_accuracy.map(percent)),
        ("best mae", |run| decimals(run.best_mae)),
        ("best loss", |run| decimals(run.best_loss)),
        ("last training loss", |run| decimals(run.training_loss)),
        ("seconds", |run| run.seconds.map(|seconds| format!("{seconds:.2}"))),
        ("samples/s", |run| {
            let seconds = run.seconds.filter(|seconds| *seconds > 0.0)?;
            Some(grouped((run.samples as f64 / seconds) as u64))
        }),
        ("parameters", |run| run.parameters.map(grouped)),
    ];
    lines
        .into_iter()
        .map(|(name, value)| (name, runs.iter().map(value).collect::<Vec<_>>()))
        .filter(|(_, values)| values.iter().any(Option::is_some))
        .map(|(name, values)| {
            let cells = values.into_iter().map(|value| value.unwrap_or_else(missing));
            std::iter::once(name.to_owned()).chain(cells).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn only_what_differs_is_told() {
        let jobs = [
            job(&[("seed", "1"), ("training.epochs", "3"), ("init", "")]),
            job(&[("seed", "1"), ("training.epochs", "5")]),
        ];
        let found = differences(&jobs);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["init", "training.epochs"]);
        assert_eq!(found["init"], [Some(String::new()), None]);
        assert!(differences(&[jobs[0].clone(), jobs[0].clone()]).is_empty());
    }

    #[test]
    fn other_layers_are_told_in_short_and_other_sizes_key_by_key() {
        let model = |layers: &[(&str, &str)]| {
            let mut values = job(&[("name", "x")]);
            for (number, (kind, units)) in layers.iter().enumerate() {
                values.insert(format!("{LAYERS}{number}].type"), (*kind).to_owned());
                values.insert(format!("{LAYERS}{number}].units"), (*units).to_owned());
            }
            values
        };
        let short = |jobs: &[Values]| in_short(jobs, differences(jobs));
        let sizes = short(&[model(&[("dense", "8")]), model(&[("dense", "16")])]);
        assert_eq!(sizes.keys().collect::<Vec<_>>(), ["model.layers[0].units"]);
        let kinds = [model(&[("dense", "8"), ("lstm", "4")]), model(&[("dense", "8")])];
        let kinds = short(&kinds);
        assert_eq!(kinds.keys().collect::<Vec<_>>(), ["model.layers[1]"]);
        assert_eq!(kinds["model.layers[1]"], [Some("lstm 4".to_owned()), None]);
        assert!(natural("layers[2].a") < natural("layers[10].a"));
    }
}
