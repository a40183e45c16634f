//! Training rows become shards; any rows become batches for evaluation.

use bytes::Bytes;
use model::{Batch, Targets};
use protocol::Digest;
use protocol::limits::{HEADER_BYTES_MAX, SHARD_BYTES_MAX, SHARDS_MAX};
use protocol::order::{self, PURPOSE_CUT};
use protocol::shard::{self, ColumnInfo, Dtype};

use super::{DataError, Dataset, Inputs};

/// Room for a shard's header: two columns with short names and at most eight dimensions.
const HEADER_ROOM: usize = 256;

const _: () = assert!(HEADER_ROOM < HEADER_BYTES_MAX);

/// Index of the generator that orders the rows before they are cut.
const CUT: u64 = 0;

/// One block of training rows, ready to be served.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Names the bytes.
    pub digest: Digest,
    /// The encoded shard.
    pub bytes: Bytes,
    /// Samples in it.
    pub rows: u32,
}

/// Shuffles the rows once and cuts them into shards of nearly equal size.
///
/// # Errors
/// When a sample does not fit into a shard, or there are too many of them.
pub fn cut(dataset: &Dataset, seed: u64) -> Result<Vec<Cut>, DataError> {
    let columns = columns(dataset);
    let row_bytes: usize = columns.iter().map(|info| info.elements() * info.dtype.bytes()).sum();
    let rows_max = (SHARD_BYTES_MAX - HEADER_ROOM) / row_bytes;
    let origin = dataset.origin.as_str();
    if rows_max == 0 {
        let limit = SHARD_BYTES_MAX - HEADER_ROOM;
        return Err(DataError::SampleTooLarge { origin: origin.into(), bytes: row_bytes, limit });
    }
    let rows = dataset.rows();
    let shards = rows.div_ceil(rows_max);
    if shards > SHARDS_MAX {
        let problem = format!("{rows} samples make {shards} shards, more than {SHARDS_MAX}");
        return Err(DataError::content(origin, problem));
    }
    let count = u32::try_from(rows)
        .map_err(|_| DataError::content(origin, "holds more than 2^32 samples"))?;
    let order = order::shuffled(count, &mut order::generator(seed, PURPOSE_CUT, CUT));
    (0..shards)
        .map(|index| {
            let start = index * rows / shards;
            let end = (index + 1) * rows / shards;
            encode(&dataset.select(&order[start..end]), &columns)
        })
        .collect()
}

fn columns(dataset: &Dataset) -> [ColumnInfo; 2] {
    let dtype = match dataset.inputs {
        Inputs::Bytes(_) => Dtype::U8,
        Inputs::Floats(_) => Dtype::F32,
    };
    let (target_dtype, target_shape) = match dataset.targets {
        Targets::Classes(_) => (Dtype::I32, Vec::new()),
        Targets::Values { width, .. } => (Dtype::F32, vec![width]),
    };
    [
        ColumnInfo { name: shard::INPUT.into(), dtype, shape: dataset.shape.clone() },
        ColumnInfo { name: shard::TARGET.into(), dtype: target_dtype, shape: target_shape },
    ]
}

fn encode(dataset: &Dataset, columns: &[ColumnInfo; 2]) -> Result<Cut, DataError> {
    let inputs = match &dataset.inputs {
        Inputs::Bytes(values) => values.clone(),
        Inputs::Floats(values) => floats(values),
    };
    let targets = match &dataset.targets {
        Targets::Classes(classes) => classes.iter().flat_map(|class| class.to_le_bytes()).collect(),
        Targets::Values { values, .. } => floats(values),
    };
    let rows = dataset.rows() as u32;
    let [input, target] = columns.clone();
    let bytes = shard::encode(rows, &[(input, &inputs), (target, &targets)])
        .map_err(|error| DataError::content(dataset.origin.as_str(), error.to_string()))?;
    Ok(Cut { digest: Digest::of(&bytes), bytes, rows })
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The rows in order, `size` at a time, as the model evaluates them.
///
/// # Panics
/// When `size` is 0.
pub fn batches(dataset: &Dataset, size: usize) -> impl Iterator<Item = Batch> + '_ {
    assert!(size > 0, "a batch has at least one row");
    let (rows, elements) = (dataset.rows(), dataset.elements());
    (0..rows).step_by(size).map(move |start| {
        let end = rows.min(start + size);
        let inputs = dataset.inputs.range(start * elements, (end - start) * elements);
        let targets = match &dataset.targets {
            Targets::Classes(classes) => Targets::Classes(classes[start..end].to_vec()),
            Targets::Values { width, values } => {
                let side = *width as usize;
                let values = values[start * side..end * side].to_vec();
                Targets::Values { width: *width, values }
            }
        };
        Batch { inputs, targets, count: end - start }
    })
}
