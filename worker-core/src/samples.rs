//! The rows of a lease, batch by batch, in the order that the lease names.

use std::sync::Arc;

use model::{Batch, Targets};
use protocol::shard::{Dtype, INPUT, Shard, TARGET, WEIGHT};
use protocol::{Lease, order};

/// Why the rows of a lease cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// A segment names rows that its shard does not have.
    #[error("the lease names rows {end} of shard {shard}, which has {rows}")]
    Rows {
        /// The shard's index.
        shard: u32,
        /// One past the last row that is named.
        end: u64,
        /// Rows of the shard.
        rows: u32,
    },
    /// The shard lacks a column that training needs.
    #[error("shard {shard} has no column {column:?}")]
    Column {
        /// The shard's index.
        shard: u32,
        /// The column's name.
        column: &'static str,
    },
}

/// All rows of a lease, resolved to shards and row numbers.
#[derive(Debug)]
pub struct Rows {
    shards: Vec<Arc<Shard>>,
    /// (index into `shards`, row), in the order of training.
    rows: Vec<(u32, u32)>,
    batch_size: usize,
}

impl Rows {
    /// Resolves a lease; `shards` holds one shard for each of its segments, in order.
    ///
    /// # Errors
    /// When a segment or a shard does not fit.
    pub fn new(lease: &Lease, seed: u64, shards: Vec<Arc<Shard>>) -> Result<Self, SampleError> {
        let mut rows = Vec::new();
        for (index, (segment, shard)) in lease.segments.iter().zip(&shards).enumerate() {
            let end = u64::from(segment.start) + u64::from(segment.count);
            if end > u64::from(shard.rows()) {
                return Err(SampleError::Rows { shard: segment.shard, end, rows: shard.rows() });
            }
            for column in [INPUT, TARGET] {
                if shard.column(column).is_none() {
                    return Err(SampleError::Column { shard: segment.shard, column });
                }
            }
            let order = order::row_order(seed, lease.epoch, segment.shard, shard.rows());
            let picked = &order[segment.start as usize..end as usize];
            rows.reserve(picked.len());
            rows.extend(picked.iter().map(|&row| (index as u32, row)));
        }
        Ok(Self { shards, rows, batch_size: lease.batch_size as usize })
    }

    /// Number of batches; the last one may be short.
    #[must_use]
    pub fn batches(&self) -> usize {
        self.rows.len().div_ceil(self.batch_size)
    }

    /// The batch of that index.
    #[must_use]
    pub fn batch(&self, index: usize) -> Batch {
        let start = index * self.batch_size;
        let rows = &self.rows[start..self.rows.len().min(start + self.batch_size)];
        let mut inputs = Vec::new();
        let mut classes = Vec::new();
        let mut values = Vec::new();
        let mut weights = Vec::new();
        let mut width = 0;
        for &(shard, row) in rows {
            let shard = &self.shards[shard as usize];
            if let Some(column) = shard.column(INPUT) {
                if inputs.is_empty() {
                    inputs.reserve_exact(rows.len() * column.info.elements());
                }
                column.extend_f32(row, &mut inputs);
            }
            if let Some(column) = shard.column(TARGET) {
                width = column.info.elements() as u32;
                if column.info.dtype == Dtype::I32 {
                    column.extend_i32(row, &mut classes);
                } else {
                    column.extend_f32(row, &mut values);
                }
            }
            if let Some(column) = shard.column(WEIGHT) {
                column.extend_f32(row, &mut weights);
            }
        }
        let targets = if classes.is_empty() {
            Targets::Values { width, values }
        } else {
            Targets::Classes(classes)
        };
        Batch { inputs, targets, weights, count: rows.len() }
    }
}

#[cfg(test)]
mod tests {
    use protocol::shard::{ColumnInfo, encode};
    use protocol::{LeaseId, RunId, Segment};

    use super::*;

    /// Three rows whose input, class and, if there is any, weight follow from their number.
    fn rows(is_weighted: bool) -> Rows {
        let column = |name: &str, dtype, shape: &[u32]| ColumnInfo {
            name: name.into(),
            dtype,
            shape: shape.to_vec(),
        };
        let floats = |values: [f32; 3]| values.map(f32::to_le_bytes).concat();
        let classes = [0_i32, 1, 2].map(i32::to_le_bytes).concat();
        let inputs = floats([0.0, 1.0, 2.0]);
        let weights = floats([0.5, 1.5, 2.5]);
        let mut columns = vec![
            (column(INPUT, Dtype::F32, &[1]), inputs.as_slice()),
            (column(TARGET, Dtype::I32, &[]), classes.as_slice()),
        ];
        if is_weighted {
            columns.push((column(WEIGHT, Dtype::F32, &[]), weights.as_slice()));
        }
        let shard = Shard::decode(&encode(3, &columns).unwrap()).unwrap();
        let lease = Lease {
            id: LeaseId { incarnation: 1, number: 1 },
            run: RunId(1),
            epoch: 0,
            segments: vec![Segment { shard: 0, start: 0, count: 3 }],
            batch_size: 2,
            learning_rate: 0.1,
            seed: 1,
            deadline_ms: 1000,
        };
        Rows::new(&lease, 7, vec![Arc::new(shard)]).unwrap()
    }

    #[test]
    fn each_row_brings_its_weight() {
        for index in 0..2 {
            let batch = rows(true).batch(index);
            let expected: Vec<f32> = batch.inputs.iter().map(|value| value + 0.5).collect();
            assert_eq!(batch.weights, expected);
            assert_eq!(rows(false).batch(index).weights, [0.0; 0]);
        }
    }
}
