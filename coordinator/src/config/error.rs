//! What can be wrong with a job. Every message names the place, the key and the remedy.

use std::fmt;
use std::path::PathBuf;

/// Where a value of a job was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the defaults.
    Default,
    /// In an embedded preset.
    Preset(String, usize),
    /// In a file, at a line counted from 1.
    File(PathBuf, usize),
    /// In an environment variable.
    Environment(String),
    /// In a flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the job"),
            Self::Preset(name, line) => write!(f, "preset {name}, line {line}"),
            Self::File(path, line) => write!(f, "{}, line {line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why a job is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is not what its key needs.
    #[error("{origin}: {key}: {problem}")]
    Value {
        /// Where it was set.
        origin: Origin,
        /// The key with its section.
        key: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// There is no such key.
    #[error("{origin}: there is no key `{key}`{hint}")]
    UnknownKey {
        /// Where it was set.
        origin: Origin,
        /// The key with its section.
        key: String,
        /// What may have been meant.
        hint: String,
    },
    /// A file is not TOML.
    #[error("{origin}: {problem}")]
    Syntax {
        /// The place in the file.
        origin: Origin,
        /// What is wrong.
        problem: String,
    },
    /// A file cannot be read.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the remedy.
        problem: String,
    },
    /// A job lacks something that has no default.
    #[error("the job has no {what}: {remedy}")]
    Incomplete {
        /// What is missing.
        what: &'static str,
        /// How to give it.
        remedy: String,
    },
}

impl ConfigError {
    /// Opening or reading the file `path` failed.
    pub(crate) fn io(path: &std::path::Path, error: &std::io::Error) -> Self {
        let problem = if error.kind() == std::io::ErrorKind::NotFound {
            "there is no such file; check the path".to_owned()
        } else {
            format!("cannot be read: {error}")
        };
        Self::File { path: path.to_owned(), problem }
    }
}

/// Least similarity (Jaro and Winkler) at which a word is offered instead of a wrong one.
const SIMILARITY_MIN: f64 = 0.8;

/// The known word that `word` resembles most, if it does.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// "; did you mean `...`?", or nothing when no known word resembles `word`.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
