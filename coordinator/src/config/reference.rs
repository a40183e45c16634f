//! What a layer only names: paths, made absolute, and models, read from a preset or a file.

use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigError, Origin, did_you_mean};
use super::preset;
use super::tree::{MODEL, Tree};
use crate::data::embedded;

/// Keys that hold a path of a file or folder.
const PATHS: [&str; 2] = ["init", "run_dir"];

/// Keys of the section `server` that hold a path.
const SERVER_PATHS: [&str; 2] = ["tls_cert", "tls_key"];

/// Keys that hold a path, a name, or a table of paths.
const SOURCES: [&str; 2] = ["source", "test"];

/// Longest file that is read as a job or a model.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Makes a layer's paths absolute and reads the model that it names.
pub(crate) fn resolve(tree: &mut Tree, folder: &Path) -> Result<(), ConfigError> {
    make_absolute(&mut tree.table, &PATHS, folder);
    if let Some(Value::Table(server)) = tree.table.get_mut("server") {
        make_absolute(server, &SERVER_PATHS, folder);
    }
    if let Some(Value::Table(data)) = tree.table.get_mut("data") {
        for key in SOURCES {
            match data.get_mut(key) {
                Some(Value::String(path)) if !embedded::contains(path) => {
                    *path = absolute(folder, path);
                }
                Some(Value::Table(files)) => {
                    for (_, file) in files.iter_mut() {
                        if let Value::String(path) = file {
                            *path = absolute(folder, path);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    if let Some(Value::String(name)) = tree.table.get(MODEL) {
        let model = read_model(name, folder, &tree.origin(MODEL))?;
        tree.table.insert(MODEL.to_owned(), Value::Table(model));
    }
    Ok(())
}

fn make_absolute(table: &mut Table, keys: &[&str], folder: &Path) {
    for key in keys {
        if let Some(Value::String(path)) = table.get_mut(*key) {
            *path = absolute(folder, path);
        }
    }
}

/// A path seen from `folder`; an empty one stays empty, it means none.
fn absolute(folder: &Path, path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let joined = folder.join(path);
    std::path::absolute(&joined).unwrap_or(joined).to_string_lossy().into_owned()
}

fn read_model(name: &str, folder: &Path, origin: &Origin) -> Result<Table, ConfigError> {
    if let Some(text) = preset::text(name) {
        let mut preset = Tree::parse(text, |line| Origin::Preset(name.to_owned(), line))?;
        if let Some(Value::Table(model)) = preset.table.remove(MODEL) {
            return Ok(model);
        }
    }
    let path = folder.join(name);
    if !path.is_file() {
        let names = preset::names();
        let problem = format!(
            "`{name}` is neither a file ({}) nor a preset ({}){}",
            path.display(),
            names.join(", "),
            did_you_mean(name, names.iter().copied())
        );
        return Err(ConfigError::Value { origin: origin.clone(), key: MODEL.to_owned(), problem });
    }
    let text = read_text(&path)?;
    if path.extension().is_some_and(|extension| extension == "json") {
        return serde_json::from_str(&text).map_err(|error| ConfigError::Syntax {
            origin: Origin::File(path.clone(), error.line()),
            problem: error.to_string(),
        });
    }
    Tree::parse(&text, |line| Origin::File(path.clone(), line)).map(|tree| tree.table)
}

/// Reads a small text file.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let failed = |error: std::io::Error| ConfigError::io(path, &error);
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        let problem = format!("is longer than the {FILE_BYTES_MAX} bytes of a job or model file");
        return Err(ConfigError::File { path: path.to_owned(), problem });
    }
    std::fs::read_to_string(path).map_err(failed)
}
