//! Training rows become shards; any rows become batches for evaluation.

use bytes::Bytes;
use model::{Batch, Targets};
use protocol::Digest;
use protocol::limits::{HEADER_BYTES_MAX, SHARD_BYTES_MAX, SHARDS_MAX};
use protocol::order::{self, PURPOSE_CUT};
use protocol::shard::{self, ColumnInfo, Dtype};

use super::{DataError, Dataset, Inputs};

/// Room for a shard's header: three columns with short names and at most eight dimensions.
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

/// Shuffles the rows once and cuts them into shards of nearly equal size. With a weight for each class
/// each row carries that of its own; without, all count alike.
///
/// # Errors
/// When a sample does not fit into a shard, or there are too many of them.
pub fn cut(dataset: &Dataset, seed: u64, class_weights: &[f32]) -> Result<Vec<Cut>, DataError> {
    let columns = columns(dataset, !class_weights.is_empty());
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
            encode(&dataset.select(&order[start..end]), &columns, class_weights)
        })
        .collect()
}

fn columns(dataset: &Dataset, is_weighted: bool) -> Vec<ColumnInfo> {
    let dtype = match dataset.inputs {
        Inputs::Bytes(_) => Dtype::U8,
        Inputs::Floats(_) => Dtype::F32,
    };
    let (target_dtype, target_shape) = match dataset.targets {
        Targets::Classes(_) => (Dtype::I32, Vec::new()),
        Targets::Values { width, .. } => (Dtype::F32, vec![width]),
    };
    let column = |name: &str, dtype, shape| ColumnInfo { name: name.into(), dtype, shape };
    let mut columns = vec![
        column(shard::INPUT, dtype, dataset.shape.clone()),
        column(shard::TARGET, target_dtype, target_shape),
    ];
    if is_weighted {
        columns.push(column(shard::WEIGHT, Dtype::F32, Vec::new()));
    }
    columns
}

fn encode(
    dataset: &Dataset,
    columns: &[ColumnInfo],
    class_weights: &[f32],
) -> Result<Cut, DataError> {
    let inputs = match &dataset.inputs {
        Inputs::Bytes(values) => values.clone(),
        Inputs::Floats(values) => floats(values),
    };
    let targets = match &dataset.targets {
        Targets::Classes(classes) => classes.iter().flat_map(|class| class.to_le_bytes()).collect(),
        Targets::Values { values, .. } => floats(values),
    };
    let weights = match &dataset.targets {
        Targets::Classes(classes) if !class_weights.is_empty() => {
            classes.iter().map(|class| class_weights[*class as usize]).collect()
        }
        _ => Vec::new(),
    };
    let rows = dataset.rows() as u32;
    let values = [inputs, targets, floats(&weights)];
    let columns: Vec<(ColumnInfo, &[u8])> =
        columns.iter().cloned().zip(values.iter().map(Vec::as_slice)).collect();
    let bytes = shard::encode(rows, &columns)
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
        Batch { inputs, targets, weights: Vec::new(), count: end - start }
    })
}
