//! Data sets inside the binary: one folder each under `data/`, four IDX files named as MNIST's.

use include_dir::{Dir, include_dir};

use super::{DataError, Dataset, Names, idx};

static FOLDERS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/data");

/// The two parts of an embedded data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Rows to train on.
    Train,
    /// Rows to test on.
    Test,
}

/// Names of the embedded data sets.
pub fn names() -> impl Iterator<Item = &'static str> {
    FOLDERS.dirs().filter_map(|folder| folder.path().to_str())
}

/// Whether `name` is that of an embedded data set.
#[must_use]
pub fn contains(name: &str) -> bool {
    names().any(|known| known == name)
}

/// Reads one part of the data set `name`.
///
/// # Errors
/// When there is none of that name, or it does not fit `like`.
pub fn read(name: &str, part: Part, like: Option<&Names>) -> Result<Dataset, DataError> {
    let unknown = || DataError::Embedded {
        name: name.to_owned(),
        known: names().collect::<Vec<_>>().join(", "),
    };
    let prefix = match part {
        Part::Train => "train",
        Part::Test => "t10k",
    };
    let array = |suffix: &str| {
        let file =
            FOLDERS.get_file(format!("{name}/{prefix}-{suffix}-ubyte.gz")).ok_or_else(unknown)?;
        idx::parse(name, file.contents())
    };
    let images = array("images-idx3")?;
    let labels = array("labels-idx1")?;
    idx::combine((name, images), (name, labels), like)
}
