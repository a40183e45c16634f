//! CSV files: a header, one sample a line, features as numbers or words, the target in a named
//! column.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use csv::StringRecord;

use model::Targets;

use super::columns::{Columns, Encoder, Meaning};
use super::lines::LineStarts;
use super::{DataError, Dataset, Inputs, LabelKind, Names, idx};

/// What may help where a job's data has a word instead of a number.
const WORDS_HINT: &str =
    "; if the column holds words, name it under data.categorical or data.ignore";

/// Reads a training or test file: every column but the label and those that are ignored is a
/// feature. With `names`, columns, words and classes are those of the training data.
///
/// # Errors
/// When the file is missing, or a line, column or cell is not what it should be.
pub fn read(
    path: &Path,
    columns: Columns<'_>,
    kind: LabelKind,
    names: Option<&Names>,
) -> Result<Dataset, DataError> {
    parse(&path.display().to_string(), open(path)?, columns, kind, names)
}

/// [`read`] for the content of a file; `origin` names it in messages.
///
/// # Errors
/// When a line, column or cell is not what it should be.
pub fn parse(
    origin: &str,
    reader: impl Read,
    columns: Columns<'_>,
    kind: LabelKind,
    names: Option<&Names>,
) -> Result<Dataset, DataError> {
    let label = columns.label;
    let mut lines = Lines::new(reader, origin)?;
    let label_index = lines.label_index(label)?;
    let mut encoder = match names {
        Some(names) => Encoder::known(names),
        None => lines.encoder(&columns)?,
    };
    let places = lines.places_of(&encoder)?;
    if places.is_empty() {
        return Err(DataError::content(origin, format!("has no column besides `{label}`")));
    }
    let mut inputs = Vec::new();
    let mut cells: Vec<(u64, String)> = Vec::new();
    let mut values = Vec::new();
    while lines.advance()? {
        lines.encode(&mut encoder, &places, &mut inputs)?;
        match kind {
            LabelKind::Class => cells.push((lines.line, lines.text(label_index)?.to_owned())),
            LabelKind::Number => values.push(lines.number(label_index)?),
        }
    }
    let known = names.map(|names| names.classes.as_slice());
    let (targets, classes) = match kind {
        LabelKind::Class => classes(&cells, known, origin, label)?,
        LabelKind::Number => (Targets::Values { width: 1, values }, Vec::new()),
    };
    let names = match names {
        Some(names) => Names { label: label.to_owned(), classes, ..names.clone() },
        None => Names {
            features: encoder.columns.iter().map(|(name, _)| name.clone()).collect(),
            categories: encoder.categories(),
            classes,
            label: label.to_owned(),
        },
    };
    Ok(Dataset {
        inputs: Inputs::Floats(encoder.expand(inputs)),
        shape: vec![names.width() as u32],
        targets,
        names,
        origin: origin.to_owned(),
    })
}

/// Opens a CSV file, and says so when it is an IDX or gzip file instead.
fn open(path: &Path) -> Result<File, DataError> {
    let failed = |error| DataError::io(path, error);
    let mut start = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read(&mut start)).map_err(failed)?;
    if idx::looks_like(&start[..read]) {
        let problem = "is an IDX or gzip file, not CSV; write source = { images = \"...\", labels = \"...\" }";
        return Err(DataError::content(path.display().to_string(), problem));
    }
    File::open(path).map_err(failed)
}

/// Puts what stands for classes into the order in which these are numbered: by name, whole numbers by
/// their size.
pub(crate) fn sort_classes<T>(list: &mut [T], name: impl Fn(&T) -> &str) {
    let number = |item: &T| name(item).parse::<i64>().ok();
    let are_numbers = list.iter().all(|item| number(item).is_some());
    list.sort_by(|one, other| {
        let numbers = if are_numbers { number(one).cmp(&number(other)) } else { Ordering::Equal };
        numbers.then_with(|| name(one).cmp(name(other)))
    });
}

/// Numbers the classes: those of the training data if `known`, else all that occur, sorted
/// (integers by value).
fn classes(
    cells: &[(u64, String)],
    known: Option<&[String]>,
    origin: &str,
    label: &str,
) -> Result<(Targets, Vec<String>), DataError> {
    let names = match known {
        Some(known) => known.to_vec(),
        None => {
            let distinct: BTreeSet<&str> = cells.iter().map(|(_, cell)| cell.as_str()).collect();
            let mut names: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
            sort_classes(&mut names, String::as_str);
            names
        }
    };
    let index: std::collections::BTreeMap<&str, i32> =
        names.iter().map(String::as_str).zip(0..).collect();
    let numbered = cells.iter().map(|(line, cell)| {
        index.get(cell.as_str()).copied().ok_or_else(|| DataError::Cell {
            origin: origin.to_owned(),
            line: *line,
            column: label.to_owned(),
            problem: format!("class `{cell}` does not occur in the training data"),
        })
    });
    let classes = numbered.collect::<Result<_, _>>()?;
    Ok((Targets::Classes(classes), names))
}

/// The features of a CSV file to predict, read a few rows at a time.
pub struct Features<R> {
    lines: Lines<R>,
    encoder: Encoder,
    places: Vec<usize>,
}

impl<R: Read> Features<R> {
    /// Finds the features in the header; other columns are ignored.
    ///
    /// # Errors
    /// When the header cannot be read or lacks a column.
    pub fn new(reader: R, origin: &str, names: &Names) -> Result<Self, DataError> {
        let lines = Lines::new(reader, origin)?;
        let encoder = Encoder::known(names);
        let places = lines.places_of(&encoder)?;
        Ok(Self { lines, encoder, places })
    }

    /// The next rows, at most `rows`, one after the other; empty at the end.
    ///
    /// # Errors
    /// When a line or cell is not what it should be.
    pub fn next_rows(&mut self, rows: usize) -> Result<Vec<f32>, DataError> {
        let mut values = Vec::with_capacity(rows * self.places.len());
        for _ in 0..rows {
            if !self.lines.advance()? {
                break;
            }
            self.lines.encode(&mut self.encoder, &self.places, &mut values)?;
        }
        Ok(self.encoder.expand(values))
    }
}

/// A CSV reader that stands on one line and knows what its columns are called.
struct Lines<R> {
    reader: csv::Reader<LineStarts<R>>,
    header: Vec<String>,
    /// Where in the header each column stands: there may be tens of thousands.
    places: HashMap<String, usize>,
    record: StringRecord,
    /// Of the record, as an editor counts.
    line: u64,
    origin: String,
}

impl<R: Read> Lines<R> {
    fn new(reader: R, origin: &str) -> Result<Self, DataError> {
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .from_reader(LineStarts::new(reader));
        let header: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(str::to_owned).collect(),
            Err(error) => return Err(broken(origin, 1, &error)),
        };
        let fail =
            |problem: String| DataError::Line { origin: origin.to_owned(), line: 1, problem };
        if header.is_empty() {
            return Err(DataError::content(
                origin,
                "is empty; its first line must name the columns",
            ));
        }
        let mut places = HashMap::with_capacity(header.len());
        for (index, name) in header.iter().enumerate() {
            if name.is_empty() {
                return Err(fail(format!("column {} of the header has no name", index + 1)));
            }
            if places.insert(name.clone(), index).is_some() {
                return Err(fail(format!("column `{name}` stands twice in the header")));
            }
        }
        let record = StringRecord::new();
        Ok(Self { reader, header, places, record, line: 1, origin: origin.to_owned() })
    }

    fn label_index(&self, label: &str) -> Result<usize, DataError> {
        if label.is_empty() {
            let problem = format!(
                "the target's column is not known; set `label` to one of: {}",
                self.header.join(", ")
            );
            return Err(DataError::content(self.origin.as_str(), problem));
        }
        self.index(label)
    }

    /// For new data: the columns that are inputs, all of which have to be there.
    fn encoder(&self, columns: &Columns<'_>) -> Result<Encoder, DataError> {
        for name in columns.categorical.iter().chain(columns.ignore) {
            self.index(name)?;
        }
        let is_input = |name: &&String| *name != columns.label && !columns.ignore.contains(name);
        let names = self.header.iter().filter(is_input).cloned().collect();
        Ok(Encoder::new(names, columns.categorical))
    }

    /// Where each column of an encoder stands.
    fn places_of(&self, encoder: &Encoder) -> Result<Vec<usize>, DataError> {
        encoder.columns.iter().map(|(name, _)| self.index(name)).collect()
    }

    /// Appends the line's inputs: one number for each column.
    fn encode(
        &self,
        encoder: &mut Encoder,
        places: &[usize],
        values: &mut Vec<f32>,
    ) -> Result<(), DataError> {
        let hint = if encoder.is_new { WORDS_HINT } else { "" };
        for ((_, meaning), &place) in encoder.columns.iter_mut().zip(places) {
            values.push(match meaning {
                Meaning::Number => self.number_or(place, hint)?,
                Meaning::Words(words) => {
                    let number = words.number(self.text(place)?);
                    number.map_err(|problem| self.cell(place, problem))? as f32
                }
            });
        }
        Ok(())
    }

    fn index(&self, name: &str) -> Result<usize, DataError> {
        self.places.get(name).copied().ok_or_else(|| {
            let problem = format!(
                "there is no column `{name}`{}; the header has: {}",
                crate::config::did_you_mean(name, self.header.iter().map(String::as_str)),
                self.header.join(", ")
            );
            DataError::Line { origin: self.origin.clone(), line: 1, problem }
        })
    }

    /// Goes to the next line; false at the end.
    fn advance(&mut self) -> Result<bool, DataError> {
        let start = self.reader.position().byte();
        let read = self.reader.read_record(&mut self.record);
        self.line = self.reader.get_mut().line_from(start);
        let more = read.map_err(|error| broken(&self.origin, self.line, &error))?;
        if !more || self.record.len() == self.header.len() {
            return Ok(more);
        }
        let problem = format!("has {} cells, the header {}", self.record.len(), self.header.len());
        Err(DataError::Line { origin: self.origin.clone(), line: self.line, problem })
    }

    fn text(&self, column: usize) -> Result<&str, DataError> {
        match &self.record[column] {
            "" => Err(self.cell(column, "the cell is empty; fill it in or remove the line".into())),
            text => Ok(text),
        }
    }

    fn number(&self, column: usize) -> Result<f32, DataError> {
        self.number_or(column, "")
    }

    /// A number; if it is none, `hint` says more.
    fn number_or(&self, column: usize, hint: &str) -> Result<f32, DataError> {
        let text = self.text(column)?;
        match text.parse::<f32>() {
            Ok(number) if number.is_finite() => Ok(number),
            Ok(_) => Err(self.cell(column, format!("`{text}` is not a finite number"))),
            Err(_) => Err(self.cell(column, format!("`{text}` is not a number{hint}"))),
        }
    }

    fn cell(&self, column: usize, problem: String) -> DataError {
        DataError::Cell {
            origin: self.origin.clone(),
            line: self.line,
            column: self.header[column].clone(),
            problem,
        }
    }
}

/// A line that cannot be read.
pub(crate) fn broken(origin: &str, line: u64, error: &csv::Error) -> DataError {
    let problem = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "is not text in UTF-8".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    DataError::Line { origin: origin.to_owned(), line, problem }
}
