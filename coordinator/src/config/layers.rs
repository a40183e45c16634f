//! Where the layers of a job come from: the preset, the file, the environment, the flags.

use std::path::{Path, PathBuf};

use toml::Value;

use super::error::{ConfigError, Origin, closest, did_you_mean};
use super::job::Job;
use super::tree::{MODEL, Tree, short_names};
use super::{preset, reference};

/// Begins the name of every environment variable that sets a key.
const PREFIX: &str = "HERD_";

/// Begins the names of those that only tests of Herd set; they are no keys.
const TESTS: [&str; 2] = ["HERD_TEST_CHECKPOINT_", "HERD_TEST_SAMPLES_"];

/// The key that names the preset to start from.
const PRESET: &str = "preset";

/// One value from the command line, still as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As the user wrote it, such as `--epochs`.
    pub flag: String,
    /// The dotted path, or the short name of a key (`epochs`).
    pub key: String,
    /// The value.
    pub text: String,
}

/// The environment variables that may set keys; those that are not text are left out.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// Puts the layers together and checks the job.
///
/// # Errors
/// When a file is missing, a key unknown or a value not allowed.
pub fn resolve(
    file: Option<&Path>,
    environment: &[(String, String)],
    flags: &[Setting],
) -> Result<Job, ConfigError> {
    let text = file.map(reference::read_text).transpose()?;
    resolve_text(file.zip(text.as_deref()), environment, flags)
}

/// [`resolve`] for a job file that has been read: its path and its text.
///
/// # Errors
/// When a model's file is missing, a key unknown or a value not allowed.
pub fn resolve_text(
    file: Option<(&Path, &str)>,
    environment: &[(String, String)],
    flags: &[Setting],
) -> Result<Job, ConfigError> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let mut layers = Vec::new();
    if let Some((path, text)) = file {
        let mut layer = Tree::parse(text, |line| Origin::File(path.to_owned(), line))?;
        let path = std::path::absolute(path).map_err(|error| ConfigError::io(path, &error))?;
        layer.prepare(path.parent().unwrap_or(&here))?;
        layers.push(layer);
    }
    layers.push(environment_layer(environment, &here)?);
    layers.push(flag_layer(flags, &here)?);

    let mut tree = Tree::defaults();
    let stem = file.and_then(|(path, _)| path.file_stem());
    let mut name = stem.map(|stem| stem.to_string_lossy().into_owned());
    if let Some(chosen) = choose_preset(&layers, &tree)? {
        tree.merge(read_preset(&chosen, &here)?);
        name = name.or(Some(chosen));
    }
    for layer in layers {
        tree.merge(layer);
    }
    Job::from_tree(&tree, name.as_deref().unwrap_or("run"))
}

/// The preset that a layer names; else the default one, unless a layer brings a model or data.
fn choose_preset(layers: &[Tree], defaults: &Tree) -> Result<Option<String>, ConfigError> {
    let text = |tree: &Tree, value: &Value| match value {
        Value::String(name) => Ok(Some(name.clone()).filter(|name| !name.is_empty())),
        other => Err(ConfigError::Value {
            origin: tree.origin(PRESET),
            key: PRESET.to_owned(),
            problem: format!("{other} is not the name of a preset"),
        }),
    };
    if let Some((tree, value)) =
        layers.iter().rev().find_map(|tree| Some((tree, tree.get(PRESET)?)))
    {
        let name = text(tree, value)?;
        return match name.as_deref() {
            Some(name) if preset::text(name).is_none() => {
                let names = preset::names();
                Err(ConfigError::Value {
                    origin: tree.origin(PRESET),
                    key: PRESET.to_owned(),
                    problem: format!(
                        "there is no preset `{name}`{}; there are: {}",
                        did_you_mean(name, names.iter().copied()),
                        names.join(", ")
                    ),
                })
            }
            _ => Ok(name),
        };
    }
    let brings_own = ["model.layers", "data.source"];
    if layers.iter().any(|tree| brings_own.iter().any(|key| tree.get(key).is_some())) {
        return Ok(None);
    }
    defaults.get(PRESET).map_or(Ok(None), |value| text(defaults, value))
}

fn read_preset(name: &str, folder: &Path) -> Result<Tree, ConfigError> {
    let text = preset::text(name).unwrap_or_default();
    let mut tree = Tree::parse(text, |line| Origin::Preset(name.to_owned(), line))?;
    tree.prepare(folder)?;
    Ok(tree)
}

fn environment_layer(variables: &[(String, String)], folder: &Path) -> Result<Tree, ConfigError> {
    let names = short_names();
    let mut layer = Tree::default();
    for (variable, text) in variables {
        if TESTS.iter().any(|tests| variable.starts_with(tests)) {
            continue;
        }
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let origin = Origin::Environment(variable.clone());
        let name = name.to_ascii_lowercase();
        match names.get(&name) {
            Some(path) => layer.insert(path, value_of(path, text), origin)?,
            // Others may use the prefix for their own; what looks like a slip is none of them.
            None => {
                if let Some(known) = closest(&name, names.keys().map(String::as_str)) {
                    let hint = format!(
                        "; did you mean {PREFIX}{}? If not, unset {variable}",
                        known.to_ascii_uppercase()
                    );
                    return Err(ConfigError::UnknownKey { origin, key: name, hint });
                }
            }
        }
    }
    layer.prepare(folder)?;
    Ok(layer)
}

fn flag_layer(flags: &[Setting], folder: &Path) -> Result<Tree, ConfigError> {
    let names = short_names();
    let mut layer = Tree::default();
    for Setting { flag, key, text } in flags {
        let path = names.get(key).unwrap_or(key);
        layer.insert(path, value_of(path, text), Origin::Flag(flag.clone()))?;
    }
    layer.prepare(folder)?;
    Ok(layer)
}

/// The value that a text stands for: TOML if it is that, else the text itself. Keys whose default
/// is a text take numbers as text too.
fn value_of(path: &str, text: &str) -> Value {
    let is_text = path == MODEL
        || path == "model.optimizer.type"
        || Tree::defaults().get(path).is_some_and(Value::is_str);
    match format!("value = {text}").parse::<toml::Table>() {
        Ok(mut table) if table.len() == 1 => match table.remove("value") {
            Some(value @ (Value::String(_) | Value::Table(_) | Value::Array(_))) => value,
            Some(value) if !is_text => value,
            _ => Value::String(text.to_owned()),
        },
        _ => Value::String(text.to_owned()),
    }
}
