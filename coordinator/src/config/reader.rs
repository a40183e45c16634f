//! Typed values out of the merged layers; each error says where the value was set.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::DeserializeOwned;
use toml::Value;

use super::error::{ConfigError, did_you_mean};
use super::tree::{MODEL, Tree};
use crate::data::weights::WEIGHT_MAX;
use crate::data::{ClassWeights, Source, embedded};

/// Reads values of a merged tree.
pub(crate) struct Reader<'a> {
    tree: &'a Tree,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        Self { tree }
    }

    /// The error for a value that its key does not allow.
    pub(crate) fn fail(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        let problem = problem.into();
        ConfigError::Value { origin: self.tree.origin(key), key: key.to_owned(), problem }
    }

    fn value(&self, key: &str) -> &'a Value {
        self.tree.get(key).expect("invariant: the defaults hold every key")
    }

    /// A text; "" means none.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        match self.value(key) {
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) => Ok(Some(text.clone())),
            other => Err(self.fail(key, format!("{other} is not a text in quotes"))),
        }
    }

    pub(crate) fn path(&self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.text(key)?.map(PathBuf::from))
    }

    pub(crate) fn integer(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        let value = self.value(key);
        value
            .as_integer()
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (first, last) = range.into_inner();
                self.fail(key, format!("{value} is not a whole number from {first} to {last}"))
            })
    }

    /// As [`Self::integer`], for numbers of 32 bits.
    pub(crate) fn count(&self, key: &str, range: RangeInclusive<u32>) -> Result<u32, ConfigError> {
        let (first, last) = range.into_inner();
        let number = self.integer(key, u64::from(first)..=u64::from(last))?;
        Ok(u32::try_from(number).expect("invariant: the range is one of 32 bits"))
    }

    /// A part of a whole: at least 0 and below 1.
    pub(crate) fn fraction(&self, key: &str) -> Result<f64, ConfigError> {
        let value = self.value(key);
        let number = match value {
            Value::Float(number) => *number,
            Value::Integer(number) => *number as f64,
            _ => f64::NAN,
        };
        if (0.0..1.0).contains(&number) {
            Ok(number)
        } else {
            Err(self.fail(key, format!("{value} is not a number from 0 to below 1")))
        }
    }

    /// A value of a type that reads itself, such as a mode.
    pub(crate) fn typed<T: DeserializeOwned>(&self, key: &str) -> Result<T, ConfigError> {
        let value = self.value(key);
        value.clone().try_into().map_err(|error: toml::de::Error| {
            // serde says: unknown variant `a`, expected one of `b`, `c`.
            let message = error.message();
            let mut quoted = message.split('`').skip(1).step_by(2);
            let hint = match (message.starts_with("unknown"), quoted.next()) {
                (true, Some(word)) => did_you_mean(word, quoted),
                _ => String::new(),
            };
            self.fail(key, format!("{message}{hint}"))
        })
    }

    /// A value that reads itself from text or a whole number; "" and 0 mean none.
    pub(crate) fn optional<T: FromStr<Err: fmt::Display>>(
        &self,
        key: &str,
    ) -> Result<Option<T>, ConfigError> {
        let text = match self.value(key) {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            other => return Err(self.fail(key, format!("{other} is not a text in quotes"))),
        };
        if text.is_empty() || text == "0" {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|error: T::Err| self.fail(key, error.to_string()))
    }

    /// A list of names; a text is names with commas between them.
    pub(crate) fn names(&self, key: &str) -> Result<Vec<String>, ConfigError> {
        let problem = || self.fail(key, "is not a list of names, such as [\"id\", \"name\"]");
        match self.value(key) {
            Value::String(text) => {
                let names = text.split(',').map(|name| name.trim().to_owned());
                Ok(names.filter(|name| !name.is_empty()).collect())
            }
            Value::Array(items) => {
                let name = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(problem);
                items.iter().map(name).collect()
            }
            _ => Err(problem()),
        }
    }

    /// What rows count, by their class.
    pub(crate) fn class_weights(&self, key: &str) -> Result<ClassWeights, ConfigError> {
        let table = match self.value(key) {
            Value::String(word) if word.is_empty() => return Ok(ClassWeights::Equal),
            Value::String(word) if word == "balanced" => return Ok(ClassWeights::Balanced),
            Value::Table(table) => table,
            other => {
                let problem = format!(
                    "{other} is neither \"balanced\" nor a table of classes, such as {{ rare = 5.0 }}"
                );
                return Err(self.fail(key, problem));
            }
        };
        let weight = |(name, value): (&String, &Value)| {
            let number = value.as_float().or(value.as_integer().map(|number| number as f64));
            match number.filter(|number| *number > 0.0 && *number <= WEIGHT_MAX) {
                Some(number) => Ok((name.clone(), number)),
                None => Err(self.fail(
                    key,
                    format!("{value} of `{name}` is not a number above 0 and at most {WEIGHT_MAX}"),
                )),
            }
        };
        table.iter().map(weight).collect::<Result<_, _>>().map(ClassWeights::Table)
    }

    /// Where rows come from: a word, a path, or a table of two paths.
    pub(crate) fn source(&self, key: &str) -> Result<Option<Source>, ConfigError> {
        let Value::Table(table) = self.value(key) else {
            return Ok(self.text(key)?.map(|text| {
                if embedded::contains(&text) {
                    Source::Embedded(text)
                } else {
                    Source::Table(text.into())
                }
            }));
        };
        let path = |name: &str| match table.get(name) {
            Some(Value::String(path)) if !path.is_empty() => Ok(PathBuf::from(path)),
            _ => Err(self.fail(key, format!("needs the path of an IDX file under `{name}`"))),
        };
        if let Some(name) = table.keys().find(|name| !["images", "labels"].contains(&name.as_str()))
        {
            let hint = did_you_mean(name, ["images", "labels"]);
            return Err(self.fail(key, format!("has `images` and `labels`, not `{name}`{hint}")));
        }
        Ok(Some(Source::Idx { images: path("images")?, labels: path("labels")? }))
    }

    /// The model, checked down to its shapes.
    pub(crate) fn model(&self) -> Result<model::Spec, ConfigError> {
        let Some(value) = self.tree.get(MODEL) else {
            let names = super::preset::names().join(", ");
            let remedy = format!(
                "write a [model] table, or model = \"NAME or FILE\", or preset = \"NAME\" ({names})"
            );
            return Err(ConfigError::Incomplete { what: "model", remedy });
        };
        let tree =
            serde_json::to_value(value).map_err(|error| self.fail(MODEL, error.to_string()))?;
        let spec = model::Spec::try_from(tree).map_err(|error| self.spec_error(&error))?;
        model::Plan::new(&spec).map_err(|error| self.spec_error(&error))?;
        Ok(spec)
    }

    /// Finds the place in the job that a complaint about the model is about.
    fn spec_error(&self, error: &model::SpecError) -> ConfigError {
        let (path, message) = match error {
            model::SpecError::Syntax { message, .. } => (MODEL.to_owned(), message),
            model::SpecError::Key { key, message } => (format!("{MODEL}.{key}"), message),
            model::SpecError::Node { node, message } => (self.node_path(node), message),
        };
        // The first quoted word often is a key: then its own line is the place.
        let word = message.split('`').nth(1).unwrap_or_default();
        let origin = self.tree.origin_of_name(&path, word);
        ConfigError::Value {
            origin: origin.unwrap_or_else(|| self.tree.origin(&path)),
            key: MODEL.to_owned(),
            problem: error.to_string(),
        }
    }

    /// The path of a node that is called by its name or as "number 3 (dense)".
    fn node_path(&self, node: &str) -> String {
        let layers = format!("{MODEL}.layers");
        let number = node.strip_prefix("number ").and_then(|rest| rest.split(' ').next());
        let index = match number.and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => number.checked_sub(1),
            None => self.tree.get(&layers).and_then(|list| place(list.as_array()?, node)),
        };
        index.map_or(layers.clone(), |index| format!("{layers}.{index}"))
    }
}

/// The place of the node `name`: its own name, or its type with a number from the second one on.
fn place(nodes: &[Value], name: &str) -> Option<usize> {
    let text = |node: &Value, key: &str| node.get(key).and_then(Value::as_str).map(str::to_owned);
    let named = nodes.iter().position(|node| text(node, "name").as_deref() == Some(name));
    named.or_else(|| {
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        nodes.iter().position(|node| {
            let (None, Some(kind)) = (text(node, "name"), text(node, "type")) else { return false };
            let count = seen.entry(kind.clone()).or_default();
            let automatic = if *count == 0 { kind } else { format!("{kind}_{count}") };
            *count += 1;
            automatic == name
        })
    })
}
