//! Reads a file once and notes what is in it. Unlike the reader for training it goes on where
//! something is wrong, so that all of it is told at once.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{BufReader, Read};
use std::path::Path;

use csv::StringRecord;
use model::Targets;

use super::column::{Column, Places};
use crate::data::embedded::{self, Part};
use crate::data::lines::LineStarts;
use crate::data::{DataError, Dataset, Inputs, idx};

/// Rows whose repetition is looked for: 8 bytes each.
const ROWS_COMPARED_MAX: usize = 10_000_000;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A CSV file.
    Csv,
    /// Two IDX files, or one without labels.
    Idx,
    /// Inside the binary.
    Embedded,
}

/// What was read.
#[derive(Debug)]
pub struct Scan {
    /// The file, or the name of an embedded data set.
    pub origin: String,
    /// Its format.
    pub format: Format,
    /// Rows with the right number of cells.
    pub rows: u64,
    /// Shape of one sample of an IDX file.
    pub shape: Vec<u32>,
    /// The columns; of an IDX file its values and, if there are any, labels.
    pub columns: Vec<Column>,
    /// Lines with another number of cells than the header.
    pub uneven: Places,
    /// Rows that are as an earlier one.
    pub repeated: Places,
}

impl Scan {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn of(file: &Path, label: Option<&str>) -> Result<Self, DataError> {
        let origin = file.display().to_string();
        if embedded::contains(&origin) {
            let rows = embedded::read(&origin, Part::Train, None)?;
            return Ok(images(rows, Format::Embedded));
        }
        let failed = |error| DataError::io(file, error);
        let mut start = Vec::new();
        let mut opened = File::open(file).map_err(failed)?;
        opened.by_ref().take(4).read_to_end(&mut start).map_err(failed)?;
        if !idx::looks_like(&start) {
            let reader = start.as_slice().chain(opened);
            return table(&origin, BufReader::new(reader));
        }
        match label {
            Some(labels) => Ok(images(idx::read(file, Path::new(labels), None)?, Format::Idx)),
            None => {
                let array = idx::read_images(file)?;
                let values = Inputs::Bytes(array.values);
                Ok(unlabelled(origin, array.shape[1..].to_vec(), &values, array.shape[0].into()))
            }
        }
    }

    /// The place of the column to predict.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn label(&self, label: Option<&str>) -> Result<Option<usize>, DataError> {
        if self.format != Format::Csv {
            return Ok(self.columns.iter().position(|column| column.name == LABELS));
        }
        let Some(label) = label else { return Ok(None) };
        let names = || self.columns.iter().map(|column| column.name.as_str());
        names().position(|name| name == label).map(Some).ok_or_else(|| DataError::Line {
            origin: self.origin.clone(),
            line: 1,
            problem: format!(
                "there is no column `{label}`{}; the header has: {}",
                crate::config::did_you_mean(label, names()),
                names().collect::<Vec<_>>().join(", ")
            ),
        })
    }
}

/// What the values of an IDX file are called.
const VALUES: &str = "values";

/// What its labels are called.
const LABELS: &str = "labels";

fn unlabelled(origin: String, shape: Vec<u32>, inputs: &Inputs, rows: u64) -> Scan {
    let mut values = Column::new(VALUES.to_owned());
    if let Inputs::Bytes(bytes) = inputs {
        bytes.iter().for_each(|byte| values.add(BYTES[usize::from(*byte)].as_str(), 0));
    }
    let (uneven, repeated) = (Places::default(), Places::default());
    Scan { origin, format: Format::Idx, rows, shape, columns: vec![values], uneven, repeated }
}

/// The texts of all bytes: a file of images has millions of them.
static BYTES: std::sync::LazyLock<Vec<String>> =
    std::sync::LazyLock::new(|| (0..=u8::MAX).map(|byte| byte.to_string()).collect());

fn images(dataset: Dataset, format: Format) -> Scan {
    let rows = dataset.rows() as u64;
    let mut labels = Column::new(LABELS.to_owned());
    if let Targets::Classes(classes) = &dataset.targets {
        for class in classes {
            labels.add(&dataset.names.classes[*class as usize], 0);
        }
    }
    let mut scan = unlabelled(dataset.origin, dataset.shape, &dataset.inputs, rows);
    scan.format = format;
    scan.columns.push(labels);
    scan
}

/// Reads a CSV file.
pub(super) fn table(origin: &str, reader: impl Read) -> Result<Scan, DataError> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .has_headers(false)
        .from_reader(LineStarts::new(reader));
    let mut record = StringRecord::new();
    let mut scan = Scan {
        origin: origin.to_owned(),
        format: Format::Csv,
        rows: 0,
        shape: Vec::new(),
        columns: Vec::new(),
        uneven: Places::default(),
        repeated: Places::default(),
    };
    let mut seen = HashSet::new();
    loop {
        let start = reader.position().byte();
        let read = reader.read_record(&mut record);
        let line = reader.get_mut().line_from(start);
        if !read.map_err(|error| crate::data::table::broken(origin, line, &error))? {
            break;
        }
        if scan.columns.is_empty() {
            // A byte order mark belongs to no name.
            let name = |cell: &str| Column::new(cell.trim_start_matches('\u{feff}').to_owned());
            scan.columns = record.iter().map(name).collect();
        } else if record.len() == scan.columns.len() {
            scan.rows += 1;
            for (column, cell) in scan.columns.iter_mut().zip(&record) {
                column.add(cell, line);
            }
            if seen.len() < ROWS_COMPARED_MAX && !seen.insert(hash(&record)) {
                scan.repeated.add(line, "");
            }
        } else {
            scan.uneven.add(line, &record.len().to_string());
        }
    }
    if scan.columns.is_empty() {
        let problem = "is empty; its first line must name the columns";
        return Err(DataError::content(origin, problem));
    }
    Ok(scan)
}

fn hash(record: &StringRecord) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.iter().for_each(|cell| cell.hash(&mut hasher));
    hasher.finish()
}
