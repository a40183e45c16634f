//! A shard: an immutable block of samples, at most 1 MiB, named by its digest.
//!
//! Its bytes are a postcard header (rows, columns with name, dtype and shape of one row) and then
//! each column's values, raw and little-endian, one column after the other. Values are stored as
//! they were read, before any transform: a digit's pixels stay bytes.

use bytes::Bytes;
use half::f16;
use serde::{Deserialize, Serialize};

use crate::limits::{
    COLUMNS_MAX, NAME_BYTES_MAX, RANK_MAX, SHARD_BYTES_MAX, SHARD_HEADER_BYTES_MAX,
};

/// Column that holds the samples.
pub const INPUT: &str = "input";
/// Column that holds what the model shall say of them: classes as i32, or values as f32.
pub const TARGET: &str = "target";
/// Factors of the samples' losses in training, one a row; may be left out.
pub const WEIGHT: &str = "weight";

/// How a column's values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Dtype {
    /// One unsigned byte.
    U8,
    /// Four bytes, signed.
    I32,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
}

impl Dtype {
    /// Bytes of one value.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F16 => 2,
            Self::I32 | Self::F32 => 4,
        }
    }
}

/// Name and type of one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// [`INPUT`], [`TARGET`], [`WEIGHT`], or a further column's name.
    pub name: String,
    /// How its values are stored.
    pub dtype: Dtype,
    /// Shape of one row.
    pub shape: Vec<u32>,
}

impl ColumnInfo {
    /// Values of one row.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().map(|&side| side as usize).product()
    }

    fn row_bytes(&self) -> usize {
        self.elements() * self.dtype.bytes()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    rows: u32,
    columns: Vec<ColumnInfo>,
}

/// Why a shard is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardError {
    /// Over [`SHARD_BYTES_MAX`].
    #[error("a shard of {0} bytes is over the limit of {SHARD_BYTES_MAX}")]
    TooLong(usize),
    /// The header does not decode.
    #[error("the shard's header does not decode: {0}")]
    Header(postcard::Error),
    /// A column breaks a limit or stands twice.
    #[error("column {0:?} breaks a limit of shards or stands twice")]
    Column(String),
    /// No rows, no columns, or too many.
    #[error("a shard has at least one row and 1 to {COLUMNS_MAX} columns")]
    Empty,
    /// The values do not fill the bytes exactly.
    #[error("the shard's values take {got} bytes, its header says {expected}")]
    Length {
        /// By the header.
        expected: usize,
        /// What is there.
        got: usize,
    },
    /// A floating-point value is NaN or infinite.
    #[error("column {0:?} holds a value that is not finite")]
    NotFinite(String),
}

/// A decoded shard; its columns share the memory of the bytes that it came from.
#[derive(Debug, Clone)]
pub struct Shard {
    rows: u32,
    columns: Vec<(ColumnInfo, Bytes)>,
}

/// Encodes columns of `rows` rows each.
///
/// # Errors
/// When [`Shard::decode`] would refuse the bytes: columns that break a limit, do not have `rows`
/// rows, or hold a value that is not finite.
pub fn encode(rows: u32, columns: &[(ColumnInfo, &[u8])]) -> Result<Bytes, ShardError> {
    let header = Header { rows, columns: columns.iter().map(|(info, _)| info.clone()).collect() };
    check_header(&header)?;
    let mut bytes = postcard::to_allocvec(&header).map_err(ShardError::Header)?;
    for (info, values) in columns {
        let expected = rows as usize * info.row_bytes();
        if values.len() != expected {
            return Err(ShardError::Length { expected, got: values.len() });
        }
        if !all_finite(info.dtype, values) {
            return Err(ShardError::NotFinite(info.name.clone()));
        }
        bytes.extend_from_slice(values);
    }
    if bytes.len() > SHARD_BYTES_MAX {
        return Err(ShardError::TooLong(bytes.len()));
    }
    Ok(bytes.into())
}

fn check_header(header: &Header) -> Result<(), ShardError> {
    if header.rows == 0 || header.columns.is_empty() || header.columns.len() > COLUMNS_MAX {
        return Err(ShardError::Empty);
    }
    for (index, column) in header.columns.iter().enumerate() {
        let elements = column
            .shape
            .iter()
            .try_fold(1_u64, |product, &side| product.checked_mul(u64::from(side)))
            .filter(|&elements| (1..=SHARD_BYTES_MAX as u64).contains(&elements));
        let twice = header.columns[..index].iter().any(|earlier| earlier.name == column.name);
        let fits = column.name.len() <= NAME_BYTES_MAX && column.shape.len() <= RANK_MAX;
        if elements.is_none() || twice || !fits {
            return Err(ShardError::Column(column.name.chars().take(80).collect()));
        }
    }
    Ok(())
}

impl Shard {
    /// Decodes a shard's bytes.
    ///
    /// # Errors
    /// When the bytes are not exactly one shard within its limits.
    pub fn decode(bytes: &Bytes) -> Result<Self, ShardError> {
        if bytes.len() > SHARD_BYTES_MAX {
            return Err(ShardError::TooLong(bytes.len()));
        }
        let head = &bytes[..bytes.len().min(SHARD_HEADER_BYTES_MAX)];
        let (header, rest) =
            postcard::take_from_bytes::<Header>(head).map_err(ShardError::Header)?;
        check_header(&header)?;
        let mut start = head.len() - rest.len();
        let values_bytes = bytes.len() - start;
        // Each product is at most 2^32 * 2^20 * 4: no overflow in 64 bits.
        let sizes: Vec<u64> = header
            .columns
            .iter()
            .map(|column| u64::from(header.rows) * column.row_bytes() as u64)
            .collect();
        let expected: u64 = sizes.iter().sum();
        if expected != values_bytes as u64 {
            return Err(ShardError::Length {
                expected: usize::try_from(expected).unwrap_or(usize::MAX),
                got: values_bytes,
            });
        }
        let mut columns = Vec::with_capacity(header.columns.len());
        for (column, size) in header.columns.into_iter().zip(sizes) {
            let values = bytes.slice(start..start + size as usize);
            start += size as usize;
            if !all_finite(column.dtype, &values) {
                return Err(ShardError::NotFinite(column.name));
            }
            columns.push((column, values));
        }
        Ok(Self { rows: header.rows, columns })
    }

    /// Samples in the shard.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The column of that name, if there is one.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<Column<'_>> {
        let (info, values) = self.columns.iter().find(|(info, _)| info.name == name)?;
        Some(Column { info, values })
    }
}

fn all_finite(dtype: Dtype, values: &[u8]) -> bool {
    match dtype {
        Dtype::U8 | Dtype::I32 => true,
        Dtype::F16 => values
            .as_chunks::<2>()
            .0
            .iter()
            .fold(true, |finite, word| finite & f16::from_le_bytes(*word).is_finite()),
        Dtype::F32 => values
            .as_chunks::<4>()
            .0
            .iter()
            .fold(true, |finite, word| finite & f32::from_le_bytes(*word).is_finite()),
    }
}

/// One column of a shard.
#[derive(Debug, Clone, Copy)]
pub struct Column<'a> {
    /// Name and type.
    pub info: &'a ColumnInfo,
    values: &'a [u8],
}

impl Column<'_> {
    /// Appends row `row`, as f32, to `target`.
    ///
    /// # Panics
    /// When the shard has no such row.
    pub fn extend_f32(&self, row: u32, target: &mut Vec<f32>) {
        let bytes = self.row(row);
        match self.info.dtype {
            Dtype::U8 => target.extend(bytes.iter().map(|&value| f32::from(value))),
            Dtype::I32 => {
                target.extend(words(bytes).map(|word| i32::from_le_bytes(*word) as f32));
            }
            Dtype::F16 => target.extend(
                bytes.as_chunks::<2>().0.iter().map(|word| f16::from_le_bytes(*word).to_f32()),
            ),
            Dtype::F32 => target.extend(words(bytes).map(|word| f32::from_le_bytes(*word))),
        }
    }

    /// Appends row `row` to `target`; only for [`Dtype::I32`] columns, others add nothing.
    ///
    /// # Panics
    /// When the shard has no such row.
    pub fn extend_i32(&self, row: u32, target: &mut Vec<i32>) {
        if self.info.dtype == Dtype::I32 {
            target.extend(words(self.row(row)).map(|word| i32::from_le_bytes(*word)));
        }
    }

    fn row(&self, row: u32) -> &[u8] {
        let bytes = self.info.row_bytes();
        &self.values[row as usize * bytes..][..bytes]
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8; 4]> {
    bytes.as_chunks::<4>().0.iter()
}
