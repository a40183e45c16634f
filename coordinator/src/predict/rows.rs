//! The rows to predict, in their order, a few at a time.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::data::embedded::{self, Part};
use crate::data::table::Features;
use crate::data::{DataError, Inputs, Names, check_shape, idx};
use crate::storage::ModelFile;

/// Rows from any source.
pub(super) struct Rows {
    source: Source,
    elements: usize,
}

enum Source {
    Table(Box<Features<Box<dyn Read>>>),
    Loaded { inputs: Inputs, next: usize },
}

impl Rows {
    /// Opens a CSV file, standard input (`-`), an IDX file of images, or the test rows of an
    /// embedded data set.
    pub(super) fn open(data: &Path, model: &ModelFile) -> Result<Self, DataError> {
        let elements = model.plan.input_shape().iter().map(|&side| side as usize).product();
        let origin = data.display().to_string();
        let source = if embedded::contains(&origin) {
            let dataset = embedded::read(&origin, Part::Test, None)?;
            check_shape(&origin, &dataset.shape, &model.plan)?;
            Source::Loaded { inputs: dataset.inputs, next: 0 }
        } else if origin == "-" {
            table(Box::new(io::stdin()), "standard input", model)?
        } else {
            open_file(data, &origin, model)?
        };
        Ok(Self { source, elements })
    }

    /// Values of one row.
    pub(super) fn elements(&self) -> usize {
        self.elements
    }

    /// The next rows, at most `rows`; empty at the end.
    pub(super) fn next(&mut self, rows: usize) -> Result<Vec<f32>, DataError> {
        match &mut self.source {
            Source::Table(features) => features.next_rows(rows),
            Source::Loaded { inputs, next } => {
                let rows = inputs.range(*next, rows * self.elements);
                *next += rows.len();
                Ok(rows)
            }
        }
    }
}

fn open_file(path: &Path, origin: &str, model: &ModelFile) -> Result<Source, DataError> {
    let failed = |error| DataError::io(path, error);
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(4).read_to_end(&mut start)).map_err(failed)?;
    if idx::looks_like(&start) {
        let images = idx::read_images(path)?;
        check_shape(origin, &images.shape[1..], &model.plan)?;
        return Ok(Source::Loaded { inputs: Inputs::Bytes(images.values), next: 0 });
    }
    table(Box::new(BufReader::new(File::open(path).map_err(failed)?)), origin, model)
}

fn table(reader: Box<dyn Read>, origin: &str, model: &ModelFile) -> Result<Source, DataError> {
    let names = columns(origin, model)?;
    check_shape(origin, &[names.width() as u32], &model.plan)?;
    Ok(Source::Table(Box::new(Features::new(reader, origin, names)?)))
}

/// Names of the columns that the model takes from a CSV file.
pub(super) fn columns<'a>(origin: &str, model: &'a ModelFile) -> Result<&'a Names, DataError> {
    let names = &model.names;
    if names.features.is_empty() {
        let problem = "is read as CSV, but the model was trained on images, which have no columns";
        return Err(DataError::content(origin, problem));
    }
    Ok(names)
}
