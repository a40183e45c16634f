//! Deltas are examined while they come, piece by piece while a piece is still in the processor's cache,
//! by the sessions that take them in.

use std::sync::Arc;

use engine::merge::Examination;
use protocol::buffers::Buffers;
use protocol::pieces::{Layout, Piece, pieces};
use protocol::{Codec, TensorTable};

/// What the engine wants to know of a delta.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Examined {
    /// All values finite, no variance negative.
    pub finite: bool,
    /// The length is the shape table's.
    pub length_ok: bool,
    /// L2 norm of the parameters' part.
    pub norm: f64,
}

/// What takes deltas in: it looks at them while they come, and has memory for them.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Examines them.
    pub examiner: Arc<Examiner>,
    /// The memory of deltas and versions.
    pub buffers: Buffers,
}

impl Intake {
    /// For deltas of this codec and table.
    #[must_use]
    pub fn new(codec: Codec, table: &TensorTable) -> Self {
        let examiner = Arc::new(Examiner::new(codec, table));
        Self { examiner, buffers: Buffers::default() }
    }
}

/// Knows how deltas are encoded.
#[derive(Debug)]
pub struct Examiner {
    /// Where their values are.
    pub layout: Layout,
    pieces: Vec<Piece>,
}

impl Examiner {
    /// For deltas of this codec and table.
    #[must_use]
    pub fn new(codec: Codec, table: &TensorTable) -> Self {
        Self { layout: Layout::new(codec, table), pieces: pieces(table) }
    }

    /// Goes on with a delta of which these bytes are there.
    pub fn look(&self, examination: &mut Examination, bytes: &[u8]) {
        let known = examination.pieces();
        let (delta, there) = self.layout.beginning(bytes, known);
        examination.go_on(&delta, &self.pieces[known..there]);
    }

    /// The result for a delta that is complete.
    pub fn result(&self, mut examination: Examination, bytes: &[u8]) -> Examined {
        if let Err(error) = self.layout.payload(bytes) {
            tracing::warn!("a delta is refused: {error}");
            return Examined { finite: false, length_ok: false, norm: 0.0 };
        }
        self.look(&mut examination, bytes);
        let (norm, finite) = examination.norm_and_finite();
        Examined { finite, length_ok: true, norm }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{Role, TensorInfo};

    #[test]
    fn a_delta_is_the_same_in_one_and_in_many_pieces() {
        let tensor = |name: &str, elements, role| TensorInfo {
            name: name.to_owned(),
            shape: vec![elements],
            role,
        };
        let table = TensorTable {
            tensors: vec![
                tensor("kernel", 10_001, Role::Parameter),
                tensor("bias", 7, Role::Parameter),
                tensor("variance", 9_000, Role::BufferNonNegative),
            ],
        };
        let values: Vec<f32> =
            (0..table.elements()).map(|place| (place % 89) as f32 / 1e3).collect();
        for codec in [Codec::F32, Codec::F16] {
            let examiner = Examiner::new(codec, &table);
            let bytes = codec.encode(&table, &values);
            let whole = examiner.result(Examination::default(), &bytes);
            assert!(whole.finite && whole.length_ok && whole.norm > 0.0);
            for step in [1_000, 4_097, 65_536] {
                let mut examination = Examination::default();
                for end in (step..bytes.len()).step_by(step) {
                    examiner.look(&mut examination, &bytes[..end]);
                }
                assert_eq!(examiner.result(examination, &bytes), whole);
            }
            let short = examiner.result(Examination::default(), &bytes[..100]);
            assert!(!short.length_ok);
        }
    }
}
