//! Training, validation and test rows: three things that share no row.

use protocol::order::{self, PURPOSE_CUT};

use super::embedded::Part;
use super::{Columns, DataError, Dataset, LabelKind, Source, read};

/// Index of the generator that takes validation rows; 0 is the order in which shards are cut.
const VALIDATION: u64 = 1;
/// Index of the generator that takes test rows.
const TEST: u64 = 2;

/// The rows of a job.
#[derive(Debug, Clone)]
pub struct Splits {
    /// Trained on.
    pub train: Dataset,
    /// Chooses the best model; never trained on.
    pub validation: Option<Dataset>,
    /// Evaluated once, at the end.
    pub test: Option<Dataset>,
}

/// Where a job's rows come from and how they are divided.
#[derive(Debug, Clone, Copy)]
pub struct Division<'a> {
    /// Rows to train on.
    pub source: &'a Source,
    /// Rows to test on; without it `test_split` of `source`.
    pub test: Option<&'a Source>,
    /// What the columns of a CSV file are.
    pub columns: Columns<'a>,
    /// Part of the training rows that validates; 0 = none.
    pub validation_split: f64,
    /// Part of the rows that tests; 0 = none.
    pub test_split: f64,
    /// The job's seed.
    pub seed: u64,
}

impl Splits {
    /// Reads and divides a job's data.
    ///
    /// # Errors
    /// When a file is missing or damaged, or too few rows are left to train on.
    pub fn load(division: Division<'_>, kind: LabelKind) -> Result<Self, DataError> {
        let Division { source, columns, seed, .. } = division;
        let rows = read(source, Part::Train, columns, kind, None)?;
        let (rows, mut test) = take(rows, division.test_split, seed, TEST)?;
        let (train, validation) = take(rows, division.validation_split, seed, VALIDATION)?;
        if let Some(source) = division.test {
            let rows = read(source, Part::Test, columns, kind, Some(&train.names))?;
            if rows.shape != train.shape {
                let problem = format!(
                    "its samples have shape {:?}, those of {} {:?}",
                    rows.shape, train.origin, train.shape
                );
                return Err(DataError::content(rows.origin, problem));
            }
            test = Some(rows);
        }
        Ok(Self { train, validation, test })
    }
}

/// Takes `fraction` of the rows out, at least one if it is not 0; both parts keep the rows' order.
fn take(
    dataset: Dataset,
    fraction: f64,
    seed: u64,
    index: u64,
) -> Result<(Dataset, Option<Dataset>), DataError> {
    let rows = dataset.rows();
    if rows == 0 {
        return Err(DataError::content(dataset.origin, "holds no samples"));
    }
    if fraction == 0.0 {
        return Ok((dataset, None));
    }
    if rows < 2 {
        let problem =
            "holds one sample, too few to split; set validation_split and test_split to 0";
        return Err(DataError::content(dataset.origin, problem));
    }
    let count = ((rows as f64 * fraction).round() as usize).clamp(1, rows - 1);
    let rows = u32::try_from(rows)
        .map_err(|_| DataError::content(dataset.origin.as_str(), "holds more than 2^32 samples"))?;
    let mut order = order::shuffled(rows, &mut order::generator(seed, PURPOSE_CUT, index));
    let mut taken = order.split_off(rows as usize - count);
    order.sort_unstable();
    taken.sort_unstable();
    let part = dataset.select(&taken);
    Ok((dataset.select(&order), Some(part)))
}
