//! The job of a stored run, key by key, as it stands in its folder.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use crate::cli::Failure;
use crate::storage::CONFIG;

/// Reads the job as it was resolved when the run began.
pub(super) fn read(folder: &Path) -> Result<Table, Failure> {
    let path = folder.join(CONFIG);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::Data(format!("{}: cannot be read: {error}", path.display())))?;
    text.parse().map_err(|error: toml::de::Error| {
        let problem = error.message();
        Failure::Data(format!("{}: is not the job of a run: {problem}", path.display()))
    })
}

/// The epochs that it has.
pub(super) fn epochs(job: &Table) -> Option<u32> {
    let epochs = job.get("training")?.get("epochs")?.as_integer()?;
    u32::try_from(epochs).ok()
}

/// Each value under its dotted key; nodes of the model as `model.layers[0].units`.
pub(super) fn flat(job: &Table) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (key, value) in job {
        flatten(key.clone(), value, &mut values);
    }
    values
}

fn flatten(key: String, value: &Value, values: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                flatten(format!("{key}.{name}"), value, values);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (index, value) in items.iter().enumerate() {
                flatten(format!("{key}[{index}]"), value, values);
            }
        }
        Value::String(text) => {
            values.insert(key, text.clone());
        }
        other => {
            values.insert(key, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_its_key() {
        let job: Table = "name = \"x\"\n[training]\nepochs = 3\n[model]\ninput = [28, 28]\n\
                          layers = [{ type = \"flatten\" }, { type = \"dense\", units = 10 }]"
            .parse()
            .unwrap();
        let flat = flat(&job);
        let expected = [
            ("model.input", "[28, 28]"),
            ("model.layers[0].type", "flatten"),
            ("model.layers[1].type", "dense"),
            ("model.layers[1].units", "10"),
            ("name", "x"),
            ("training.epochs", "3"),
        ];
        let found: Vec<_> = flat.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!(epochs(&job), Some(3));
    }
}
