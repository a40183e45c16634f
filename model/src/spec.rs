//! The model spec as it stands in TOML or JSON.
//!
//! It is read in two steps, text to tree and tree to [`Spec`], so that each message can name the
//! node and suggest the key that was meant.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{SpecError, explain, suggestion};
use crate::layer::Layer;
use crate::loss::{Loss, Metric};
use crate::optimizer::Optimizer;

/// A model: a graph of named nodes, its loss, optimizer and metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Spec {
    /// Shape of one sample, without the batch; images are channels-last.
    pub input: Vec<u32>,
    /// What training makes small.
    pub loss: Loss,
    /// What evaluation reports besides the loss.
    pub metrics: Vec<Metric>,
    /// How a worker steps.
    pub optimizer: Optimizer,
    /// Name of the node whose values are the model's outputs; default: the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The nodes.
    pub layers: Vec<Node>,
}

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// Its name; default: its type, numbered from the second one on (`dense`, `dense_1`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the node whose values it takes; default: the one before it. `input` is the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What it does.
    #[serde(flatten)]
    pub layer: Layer,
}

const KEYS: [&str; 6] = ["input", "loss", "metrics", "optimizer", "output", "layers"];

impl Spec {
    /// Reads a spec from TOML.
    ///
    /// # Errors
    /// When the text is no TOML or no spec.
    pub fn from_toml(text: &str) -> Result<Self, SpecError> {
        let value: Value = toml::from_str(text)
            .map_err(|error| SpecError::Syntax { format: "TOML", message: error.to_string() })?;
        Self::try_from(value)
    }

    /// Reads a spec from JSON.
    ///
    /// # Errors
    /// When the text is no JSON or no spec.
    pub fn from_json(text: &str) -> Result<Self, SpecError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| SpecError::Syntax { format: "JSON", message: error.to_string() })?;
        Self::try_from(value)
    }

    /// The spec as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("invariant: a spec has string keys only")
    }
}

impl TryFrom<Value> for Spec {
    type Error = SpecError;

    fn try_from(value: Value) -> Result<Self, SpecError> {
        let Value::Object(mut map) = value else {
            return Err(SpecError::key("layers", "the spec must be a table with this key"));
        };
        if let Some(unknown) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let message = format!("there is no such key: {}", suggestion(unknown, KEYS));
            return Err(SpecError::key(unknown, message));
        }
        let layers = match map.remove("layers") {
            Some(Value::Array(layers)) => layers,
            Some(_) => return Err(SpecError::key("layers", "it must be a list of nodes")),
            None => return Err(missing("layers", "list the nodes under it")),
        };
        Ok(Self {
            input: take(&mut map, "input")?
                .ok_or_else(|| missing("input", "write the shape of one sample, as [28, 28]"))?,
            loss: take(&mut map, "loss")?
                .ok_or_else(|| missing("loss", "name one, as \"mean_squared_error\""))?,
            metrics: take(&mut map, "metrics")?.unwrap_or_default(),
            optimizer: take(&mut map, "optimizer")?
                .ok_or_else(|| missing("optimizer", "name one, as \"adam\""))?,
            output: take(&mut map, "output")?,
            layers: layers
                .into_iter()
                .enumerate()
                .map(|(index, layer)| node(index, layer))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn missing(key: &str, remedy: &str) -> SpecError {
    SpecError::key(key, format!("it is missing: {remedy}"))
}

fn take<T: DeserializeOwned>(
    map: &mut Map<String, Value>,
    key: &str,
) -> Result<Option<T>, SpecError> {
    let value = match map.remove(key) {
        None => return Ok(None),
        // A bare name is sugar for the type with its defaults.
        Some(Value::String(name)) if key == "loss" || key == "optimizer" => {
            Value::Object(Map::from_iter([("type".to_owned(), Value::String(name))]))
        }
        Some(value) => value,
    };
    read(&value, &[]).map(Some).map_err(|message| SpecError::key(key, message))
}

/// A value of a spec; where serde names no key, the message does. `more`: keys read elsewhere.
fn read<T: DeserializeOwned>(value: &Value, more: &[&str]) -> Result<T, String> {
    let error = match serde_json::from_value(value.clone()) {
        Ok(read) => return Ok(read),
        Err(error) => error,
    };
    let message = explain(&error, more);
    if let Value::Object(map) = value
        && message.starts_with("invalid")
    {
        // The key without which serde complains no more, or of something else.
        let culprit = map.keys().filter(|key| *key != "type").find(|key| {
            let mut rest = map.clone();
            rest.remove(key.as_str());
            !serde_json::from_value::<T>(Value::Object(rest))
                .is_err_and(|other| other.to_string() == error.to_string())
        });
        if let Some(key) = culprit {
            return Err(format!("`{key}`: {message}"));
        }
    }
    Err(message)
}

fn node(index: usize, value: Value) -> Result<Node, SpecError> {
    let Value::Object(mut map) = value else {
        let message = "a node must be a table, as { type = \"flatten\" }";
        return Err(SpecError::node(&format!("number {}", index + 1), message));
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let label = text(map.get("name")).unwrap_or_else(|| match text(map.get("type")) {
        Some(kind) => format!("number {} ({kind})", index + 1),
        None => format!("number {}", index + 1),
    });
    let mut name_of = |key: &str| match map.remove(key) {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name)),
        Some(other) => {
            Err(SpecError::node(&label, format!("`{key}` is {other}: it must be a name in quotes")))
        }
    };
    let name = name_of("name")?;
    let input = name_of("input")?;
    if !map.contains_key("type") {
        let message = "key `type` is missing: say what the node is, as type = \"dense\"";
        return Err(SpecError::node(&label, message));
    }
    let layer = read(&Value::Object(map), &["name", "input", "type"])
        .map_err(|message| SpecError::node(&label, message))?;
    Ok(Node { name, input, layer })
}
