//! Data sets: read from files, split into train, validation and test, cut into shards.
//!
//! - [`idx`] and [`table`] read files, [`embedded`] holds the data sets inside the binary
//! - [`columns`] says what the columns of a table are, and makes values of words
//! - [`split`] takes validation and test rows out by a seeded shuffle
//! - [`scaling`] and [`weights`] look at the training rows: how inputs are scaled, what rows count
//! - [`shard`] cuts the training rows into shards and any rows into batches for evaluation
//!
//! Values stay as they were read: a digit's pixels are bytes until the model scales them.

pub mod columns;
pub mod embedded;
pub mod error;
pub mod idx;
pub(crate) mod lines;
pub mod scaling;
pub mod shard;
pub mod split;
pub mod table;
pub mod weights;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{Plan, TargetKind, Targets};

pub use columns::Columns;
pub use error::DataError;
pub use scaling::Scaling;
pub use shard::{Cut, batches, cut};
pub use split::{Division, Splits};
pub use weights::ClassWeights;

pub(crate) use table::sort_classes;

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A data set inside the binary, by its name.
    Embedded(String),
    /// A CSV file with a header.
    Table(PathBuf),
    /// Two IDX files, plain or gzipped.
    Idx {
        /// The samples.
        images: PathBuf,
        /// One class a sample.
        labels: PathBuf,
    },
}

/// How the column of the target is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelKind {
    /// As the name of a class.
    Class,
    /// As a number.
    Number,
}

impl LabelKind {
    /// What a loss needs.
    #[must_use]
    pub fn of(loss: model::Loss) -> Self {
        if loss.is_cross_entropy() { Self::Class } else { Self::Number }
    }
}

/// The samples' values.
#[derive(Debug, Clone, PartialEq)]
pub enum Inputs {
    /// Bytes, such as pixels.
    Bytes(Vec<u8>),
    /// Numbers.
    Floats(Vec<f32>),
}

impl Inputs {
    /// At most `count` values from `start` on, as the model takes them.
    #[must_use]
    pub fn range(&self, start: usize, count: usize) -> Vec<f32> {
        match self {
            Self::Bytes(values) => {
                let end = values.len().min(start + count);
                values[start..end].iter().map(|&value| f32::from(value)).collect()
            }
            Self::Floats(values) => values[start..values.len().min(start + count)].to_vec(),
        }
    }
}

/// What columns and classes are called: kept beside the model, so that it alone can predict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The columns of a CSV file that are inputs; empty when values have no names (pixels).
    pub features: Vec<String>,
    /// Those of the features that are words, with all their words in order.
    pub categories: BTreeMap<String, Vec<String>>,
    /// One name for each class; empty for a regression.
    pub classes: Vec<String>,
    /// The column that held the target; empty when there was none.
    pub label: String,
}

impl Names {
    /// Values of one sample: one for each feature that is a number, and one for each word of the
    /// others.
    #[must_use]
    pub fn width(&self) -> usize {
        let values = |name: &String| self.categories.get(name).map_or(1, Vec::len);
        self.features.iter().map(values).sum()
    }
}

/// Samples with their targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// All samples' values, sample after sample.
    pub inputs: Inputs,
    /// Shape of one sample.
    pub shape: Vec<u32>,
    /// One target a sample.
    pub targets: Targets,
    /// Names of features, classes and label.
    pub names: Names,
    /// The file or word that it came from, for messages.
    pub origin: String,
}

impl Dataset {
    /// Number of samples.
    #[must_use]
    pub fn rows(&self) -> usize {
        match &self.targets {
            Targets::Classes(classes) => classes.len(),
            Targets::Values { width, values } => values.len() / *width as usize,
        }
    }

    /// Values of one sample.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().map(|&side| side as usize).product()
    }

    /// Checks that a model takes these samples and has outputs for these targets.
    ///
    /// # Errors
    /// When it does not; the message says what to change.
    pub fn check(&self, plan: &Plan) -> Result<(), DataError> {
        check_shape(&self.origin, &self.shape, plan)?;
        let kind = match &self.targets {
            Targets::Classes(_) => TargetKind::Classes(self.names.classes.len() as u32),
            Targets::Values { width, .. } => TargetKind::Values(*width),
        };
        plan.check_targets(kind)
            .map_err(|error| DataError::content(self.origin.as_str(), error.to_string()))
    }

    /// The samples `rows`, in that order.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        let elements = self.elements();
        let inputs = match &self.inputs {
            Inputs::Bytes(values) => Inputs::Bytes(gather(values, elements, rows)),
            Inputs::Floats(values) => Inputs::Floats(gather(values, elements, rows)),
        };
        let targets = match &self.targets {
            Targets::Classes(classes) => Targets::Classes(gather(classes, 1, rows)),
            Targets::Values { width, values } => {
                Targets::Values { width: *width, values: gather(values, *width as usize, rows) }
            }
        };
        Self {
            inputs,
            shape: self.shape.clone(),
            targets,
            names: self.names.clone(),
            origin: self.origin.clone(),
        }
    }
}

/// Checks that a model takes samples of `shape`: sides of 1 do not matter, and a plain row of
/// values may be meant in any shape.
pub(crate) fn check_shape(origin: &str, shape: &[u32], plan: &Plan) -> Result<(), DataError> {
    let input = plan.input_shape();
    let sides = |shape: &[u32]| shape.iter().copied().filter(|&side| side != 1).collect::<Vec<_>>();
    let elements = |shape: &[u32]| shape.iter().map(|&side| u64::from(side)).product::<u64>();
    let is_row = shape.len() == 1 || input.len() == 1;
    if sides(shape) == sides(input) || is_row && elements(shape) == elements(input) {
        return Ok(());
    }
    let problem = format!(
        "its samples have shape {shape:?} ({} values), but the model's input is {input:?} ({}): \
         set `input` of the model to {shape:?}",
        elements(shape),
        elements(input)
    );
    Err(DataError::content(origin, problem))
}

fn gather<T: Copy>(values: &[T], width: usize, rows: &[u32]) -> Vec<T> {
    let mut gathered = Vec::with_capacity(rows.len() * width);
    for &row in rows {
        gathered.extend_from_slice(&values[row as usize * width..][..width]);
    }
    gathered
}

/// Reads a whole data set. `part` chooses between the two parts of an embedded one; `names` are
/// those of the training data when other rows of the same kind are read.
///
/// # Errors
/// When a file is missing, damaged, or does not fit `names`.
pub fn read(
    source: &Source,
    part: embedded::Part,
    columns: Columns<'_>,
    kind: LabelKind,
    names: Option<&Names>,
) -> Result<Dataset, DataError> {
    let dataset = match source {
        Source::Embedded(name) => embedded::read(name, part, names)?,
        Source::Table(path) => table::read(path, columns, kind, names)?,
        Source::Idx { images, labels } => idx::read(images, labels, names)?,
    };
    match (&dataset.targets, kind) {
        (Targets::Classes(_), LabelKind::Number) => {
            Err(DataError::NeedsValues { origin: dataset.origin })
        }
        _ => Ok(dataset),
    }
}
