//! What can be wrong with a spec or with values, said so that the remedy is clear.

/// Why a spec is refused. Each message names the key or the node, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The text is no TOML or JSON.
    #[error("the model spec is not valid {format}: {message}")]
    Syntax {
        /// `TOML` or `JSON`.
        format: &'static str,
        /// What the parser says, with the place.
        message: String,
    },
    /// A key of the spec itself.
    #[error("model spec, key `{key}`: {message}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// A node.
    #[error("model spec, node `{node}`: {message}")]
    Node {
        /// Name of the node; its place and type where it has no name yet.
        node: String,
        /// What is wrong and what to do.
        message: String,
    },
}

impl SpecError {
    pub(crate) fn key(key: &str, message: impl Into<String>) -> Self {
        Self::Key { key: key.to_owned(), message: message.into() }
    }

    pub(crate) fn node(node: &str, message: impl Into<String>) -> Self {
        Self::Node { node: node.to_owned(), message: message.into() }
    }
}

/// Why values do not go into a model, or do not come out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A flat vector of another model.
    #[error(
        "the model has {expected} values, but {got} were given: they belong to another model spec"
    )]
    Length {
        /// Values of all tensors.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// Inputs that are not `count` samples.
    #[error(
        "{count} samples of this model are {expected} input values, but {got} were given: \
         check the shape of the data against `input` of the spec"
    )]
    Inputs {
        /// Samples.
        count: usize,
        /// Values of so many samples.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// Targets that do not fit the loss.
    #[error("{0}")]
    Targets(String),
    /// The device failed, or has been lost.
    #[error("the device failed: {0}; try another one (`cpu` is always there)")]
    Device(String),
}

impl Error {
    pub(crate) fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(error.to_string())
    }
}

/// "did you mean `x`?", or the list of what there is.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let word = word.to_ascii_lowercase();
    let best = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&word, candidate), *candidate))
        .max_by(|left, right| left.0.total_cmp(&right.0));
    match best {
        Some((score, candidate)) if score >= 0.75 => format!("did you mean `{candidate}`?"),
        _ if known.is_empty() => "nothing may stand here".to_owned(),
        _ => format!("there is: {}", known.join(", ")),
    }
}

/// A message of serde for people: keys and types that do not exist get a suggestion, from those
/// that serde knows and from `more` keys.
pub(crate) fn explain(error: &serde_json::Error, more: &[&str]) -> String {
    let message = error.to_string();
    // serde says: unknown field `a`, expected one of `b`, `c`
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let what = if message.starts_with("unknown field") {
        "key"
    } else if message.starts_with("unknown variant") {
        "name"
    } else if let Some(field) = message.strip_prefix("missing field ") {
        return format!("key {field} is missing: add it");
    } else {
        return message;
    };
    match quoted.split_first() {
        Some((word, known)) => {
            let more = if what == "key" { more } else { &[] };
            let known = known.iter().chain(more).copied();
            format!("unknown {what} `{word}`: {}", suggestion(word, known))
        }
        None => message,
    }
}
