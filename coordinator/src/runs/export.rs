//! `herd runs export`: a run's model, metrics and job in a folder that needs no run any more.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::entry::name;
use super::metrics;
use crate::cli::{ExportArgs, Failure, answer};
use crate::storage::{CONFIG, EXPORTED_JOB, EXPORTED_MODEL, find, find_run};
use crate::train::bytes;

/// Columns that come first; the others follow by name.
const FIRST: [&str; 10] = [
    "epoch",
    "seconds",
    "version",
    "training_loss",
    "training_accuracy",
    "training_mae",
    "validation_loss",
    "validation_accuracy",
    "validation_mae",
    "samples",
];

/// A part of a run that is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Model,
    Csv,
    Json,
    Job,
}

impl Part {
    const ALL: [Self; 4] = [Self::Model, Self::Csv, Self::Json, Self::Job];

    /// Its file in an exported folder.
    fn file(self) -> &'static str {
        match self {
            Self::Model => EXPORTED_MODEL,
            Self::Csv => "metrics.csv",
            Self::Json => "metrics.json",
            Self::Job => EXPORTED_JOB,
        }
    }

    /// The part that a file is to hold, by the end of its name.
    fn of(path: &Path) -> Option<Self> {
        let end = path.extension()?;
        Self::ALL.into_iter().find(|part| Path::new(part.file()).extension() == Some(end))
    }

    fn content(self, run: &Path) -> anyhow::Result<Vec<u8>> {
        Ok(match self {
            Self::Model => read(&find(run)?.model)?,
            Self::Csv => metrics_csv(run)?,
            Self::Json => metrics_json(run)?,
            Self::Job => read(&run.join(CONFIG))?,
        })
    }
}

/// Runs `herd runs export`.
///
/// # Errors
/// When the run is not there or has no model yet, or something is there already and may not be
/// overwritten, or cannot be written.
pub fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let run = find_run(&args.run)?;
    let to = &args.to;
    let files: Vec<(Part, PathBuf)> = match Part::of(to).filter(|_| !to.is_dir()) {
        Some(part) => vec![(part, to.clone())],
        None => Part::ALL.map(|part| (part, to.join(part.file()))).to_vec(),
    };
    let there = files.iter().filter(|(_, path)| path.symlink_metadata().is_ok());
    let there: Vec<_> = there.map(|(_, path)| path.display().to_string()).collect();
    if !there.is_empty() && !args.force {
        let there = there.join(", ");
        let message = format!("{there}: there already; choose another --to, or add --force");
        return Err(Failure::Data(message).into());
    }
    // All is read before anything is written.
    let contents = files.iter().map(|(part, _)| part.content(&run)).collect::<Result<Vec<_>, _>>();
    let mut text = String::new();
    for ((_, path), content) in files.iter().zip(contents?) {
        write(path, &content)?;
        let length = bytes(content.len() as u64);
        text.push_str(&format!("{}: {}, {length}\n", name(&run), path.display()));
    }
    Ok(answer(&text)?)
}

/// A run's epochs as a table.
///
/// # Errors
/// When the metrics cannot be read.
pub(crate) fn metrics_csv(run: &Path) -> anyhow::Result<Vec<u8>> {
    csv(&metrics::lines(run)?)
}

/// A run's epochs as a list.
///
/// # Errors
/// When the metrics cannot be read.
pub(crate) fn metrics_json(run: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(json(&metrics::lines(run)?).into_bytes())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path)
        .map_err(|error| Failure::Data(format!("{}: cannot be read: {error}", path.display())))
}

/// Writes beside the place first: what is overwritten is there until the new one is whole.
fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let temporary = path.with_added_extension("tmp");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(&temporary, content))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(|error| {
            let path = path.display();
            Failure::Data(format!("{path}: cannot be written: {error}; choose another --to"))
        })
}

/// One JSON list, an epoch a line.
fn json(lines: &[Map<String, Value>]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| Value::Object(line.clone()).to_string()).collect();
    if lines.is_empty() { "[]\n".to_owned() } else { format!("[\n{}\n]\n", lines.join(",\n")) }
}

/// A head, and an epoch a line; counts by reason get a column each, as `rejected.norm`. What an
/// epoch does not have is empty.
fn csv(lines: &[Map<String, Value>]) -> anyhow::Result<Vec<u8>> {
    let rows: Vec<Map<String, Value>> = lines.iter().map(flat).collect();
    let keys: BTreeSet<&str> = rows.iter().flat_map(Map::keys).map(String::as_str).collect();
    let first = FIRST.into_iter().filter(|key| keys.contains(key) || rows.is_empty());
    let others = keys.iter().copied().filter(|key| !FIRST.contains(key));
    let columns: Vec<&str> = first.chain(others).collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&columns)?;
    for row in &rows {
        writer.write_record(columns.iter().map(|column| match row.get(*column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }))?;
    }
    Ok(writer.into_inner()?)
}

fn flat(line: &Map<String, Value>) -> Map<String, Value> {
    let mut flat = Map::new();
    for (key, value) in line {
        match value {
            Value::Object(inner) => flat
                .extend(inner.iter().map(|(name, value)| (format!("{key}.{name}"), value.clone()))),
            other => {
                flat.insert(key.clone(), other.clone());
            }
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn metrics_become_a_table_and_a_list() {
        let lines = [
            line(r#"{"backup":0,"epoch":1,"seconds":0.5,"validation_loss":null,"rejected":{}}"#),
            line(
                r#"{"backup":2,"epoch":2,"seconds":1.5,"validation_loss":0.1,"rejected":{"norm":3}}"#,
            ),
        ];
        let table = String::from_utf8(csv(&lines).unwrap()).unwrap();
        let expected =
            "epoch,seconds,validation_loss,backup,rejected.norm\n1,0.5,,0,\n2,1.5,0.1,2,3\n";
        assert_eq!(table, expected);
        let list: Vec<Map<String, Value>> = serde_json::from_str(&json(&lines)).unwrap();
        assert_eq!(list, lines);
        assert_eq!(json(&[]), "[]\n");
        assert!(csv(&[]).unwrap().starts_with(b"epoch,seconds,"));
    }

    #[test]
    fn a_file_says_by_its_end_what_it_is_to_hold() {
        assert_eq!(Part::of(Path::new("x/digits.safetensors")), Some(Part::Model));
        assert_eq!(Part::of(Path::new("x.csv")), Some(Part::Csv));
        assert_eq!(Part::of(Path::new("x.toml")), Some(Part::Job));
        assert_eq!(Part::of(Path::new("digits")), None);
        assert_eq!(Part::of(Path::new("digits.zip")), None);
    }
}
