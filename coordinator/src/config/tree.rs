//! The layers of a job, merged key by key; each value remembers where it was set.
//!
//! Precedence: default < preset < file < environment < flag. Tables merge, all else replaces.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::error::{ConfigError, Origin, did_you_mean};
use super::reference;

/// The defaults with their documentation: the list of all keys.
const DEFAULTS: &str = include_str!("default.toml");

/// Keys whose value is replaced whole although it may be a table.
const WHOLE: [&str; 3] = ["data.source", "data.test", "training.class_weights"];

/// The free-form part of a job: the spec of the model checks its own keys.
pub(crate) const MODEL: &str = "model";

/// The optimizer's table, which starts anew when another type is set.
const OPTIMIZER: &str = "model.optimizer";

/// Short names of keys that are not called by the last part of their path.
const SHORT_NAMES: [(&str, &str); 3] = [
    ("optimizer", "model.optimizer.type"),
    ("learning_rate", "model.optimizer.learning_rate"),
    ("model", MODEL),
];

/// Values with the place where each was set, by dotted path.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) table: Table,
    origins: BTreeMap<String, Origin>,
}

impl Tree {
    /// All keys with their defaults.
    pub(crate) fn defaults() -> Self {
        let table = DEFAULTS.parse().expect("invariant: the embedded defaults are TOML");
        Self { table, origins: BTreeMap::new() }
    }

    /// Reads a TOML text; `origin` makes the place of a line.
    pub(crate) fn parse(text: &str, origin: impl Fn(usize) -> Origin) -> Result<Self, ConfigError> {
        let failed = |error: toml::de::Error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            ConfigError::Syntax { origin: origin(line), problem: error.message().to_owned() }
        };
        let table: Table = toml::from_str(text).map_err(failed)?;
        let spans = DeTable::parse(text).map_err(failed)?;
        let mut origins = BTreeMap::new();
        locate_table(spans.get_ref(), "", &mut |path, start| {
            origins.insert(path, origin(line_of(text, start)));
        });
        Ok(Self { table, origins })
    }

    /// A layer of single settings, each with the place that it came from.
    pub(crate) fn insert(
        &mut self,
        path: &str,
        value: Value,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
        let mut table = &mut self.table;
        for part in parents.split('.').filter(|part| !part.is_empty()) {
            let next = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            table = next.as_table_mut().ok_or_else(|| ConfigError::Value {
                origin: origin.clone(),
                key: path.to_owned(),
                problem: format!("`{part}` is not a table"),
            })?;
        }
        table.insert(last.to_owned(), value);
        self.origins.insert(path.to_owned(), origin);
        Ok(())
    }

    /// The value at a dotted path.
    pub(crate) fn get(&self, path: &str) -> Option<&Value> {
        let (first, rest) = path.split_once('.').unwrap_or((path, ""));
        rest.split('.')
            .filter(|part| !part.is_empty())
            .try_fold(self.table.get(first)?, |value, part| value.get(part))
    }

    /// Where the value at a path was set: its own place, that of something inside it (a setting
    /// has no place for the tables above it), or that of the table that holds it.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        let below = format!("{path}.");
        let inside = || self.origins.iter().find(|(known, _)| known.starts_with(&below));
        let holder = || {
            let parents = path.match_indices('.').rev().map(|(end, _)| &path[..end]);
            parents.into_iter().find_map(|parent| self.origins.get(parent))
        };
        let own = self.origins.get(path).or_else(|| inside().map(|(_, origin)| origin));
        own.or_else(holder).cloned().unwrap_or(Origin::Default)
    }

    /// Where a key called `name` stands inside `section`, at any depth.
    pub(crate) fn origin_of_name(&self, section: &str, name: &str) -> Option<Origin> {
        let (start, end) = (format!("{section}."), format!(".{name}"));
        self.origins
            .iter()
            .find(|(path, _)| path.starts_with(&start) && path.ends_with(&end))
            .map(|(_, origin)| origin.clone())
    }

    /// Checks that all keys exist, and turns paths and names of models into what they stand for;
    /// paths are relative to `folder`.
    pub(crate) fn prepare(&mut self, folder: &Path) -> Result<(), ConfigError> {
        self.check_keys(&self.table, &Self::defaults().table, "")?;
        reference::resolve(self, folder)
    }

    fn check_keys(&self, table: &Table, known: &Table, section: &str) -> Result<(), ConfigError> {
        for (name, value) in table {
            let path = join(section, name);
            if path == MODEL || WHOLE.contains(&path.as_str()) {
                continue;
            }
            match (known.get(name), value) {
                (None, _) => return Err(self.unknown_key(path, name, known)),
                (Some(Value::Table(known)), Value::Table(table)) => {
                    self.check_keys(table, known, &path)?;
                }
                (Some(Value::Table(_)), _) => {
                    return Err(ConfigError::Value {
                        origin: self.origin(&path),
                        problem: format!("is a section; write its keys under [{path}]"),
                        key: path,
                    });
                }
                (Some(_), _) => {}
            }
        }
        Ok(())
    }

    fn unknown_key(&self, key: String, name: &str, known: &Table) -> ConfigError {
        let siblings: Vec<&str> = known.keys().map(String::as_str).collect();
        let elsewhere = paths().into_iter().find(|path| path.rsplit('.').next() == Some(name));
        let hint = match elsewhere {
            Some(path) => format!("; did you mean `{path}`?"),
            None => match did_you_mean(name, siblings.iter().copied()) {
                hint if hint.is_empty() => {
                    format!("; here may stand: {}", siblings.join(", "))
                }
                hint => hint,
            },
        };
        ConfigError::UnknownKey { origin: self.origin(&key), key, hint }
    }

    /// Lays `layer` over this tree.
    pub(crate) fn merge(&mut self, layer: Self) {
        let Self { table, origins } = layer;
        let mut replaced = Vec::new();
        merge_table(&mut self.table, table, "", &mut replaced);
        for path in &replaced {
            let below = format!("{path}.");
            self.origins.retain(|key, _| key != path && !key.starts_with(&below));
        }
        self.origins.extend(origins);
    }
}

fn merge_table(base: &mut Table, layer: Table, section: &str, replaced: &mut Vec<String>) {
    for (name, value) in layer {
        let path = join(section, &name);
        if path == OPTIMIZER
            && let Some(Value::String(kind)) = base.get(&name)
        {
            // A bare name is short for a table with that type.
            let table = Table::from_iter([("type".to_owned(), Value::String(kind.clone()))]);
            base.insert(name.clone(), Value::Table(table));
        }
        match (base.get_mut(&name), value) {
            (Some(Value::Table(base)), Value::Table(layer))
                if !WHOLE.contains(&path.as_str()) && !changes_type(&path, base, &layer) =>
            {
                merge_table(base, layer, &path, replaced);
            }
            (_, value) => {
                base.insert(name, value);
                replaced.push(path);
            }
        }
    }
}

/// Whether `layer` sets another type of optimizer: the old one's settings then mean nothing.
fn changes_type(path: &str, base: &Table, layer: &Table) -> bool {
    path == OPTIMIZER && layer.get("type").is_some_and(|kind| base.get("type") != Some(kind))
}

/// All paths that a job may set, but those inside `model`.
pub(crate) fn paths() -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in &Tree::defaults().table {
        match value {
            Value::Table(table) => paths.extend(table.keys().map(|key| join(name, key))),
            _ => paths.push(name.clone()),
        }
    }
    paths
}

/// The names by which environment variables and flags call keys, each with the key's path.
pub(crate) fn short_names() -> BTreeMap<String, String> {
    let last = |path: String| (path.rsplit('.').next().unwrap_or_default().to_owned(), path);
    let extra = SHORT_NAMES.iter().map(|&(name, path)| (name.to_owned(), path.to_owned()));
    paths().into_iter().map(last).chain(extra).collect()
}

pub(crate) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())].iter().filter(|&&byte| byte == b'\n').count() + 1
}

fn locate_table(table: &DeTable<'_>, section: &str, found: &mut impl FnMut(String, usize)) {
    for (key, value) in table {
        let path = join(section, key.get_ref());
        found(path.clone(), key.span().start);
        locate(value, &path, found);
    }
}

fn locate(value: &Spanned<DeValue<'_>>, path: &str, found: &mut impl FnMut(String, usize)) {
    match value.get_ref() {
        DeValue::Table(table) => locate_table(table, path, found),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = join(path, &index.to_string());
                found(path.clone(), item.span().start);
                locate(item, &path, found);
            }
        }
        _ => {}
    }
}
