//! Deltas that were examined and wait for the engine's word: kept as they came, decoded when there
//! is room.
//!
//! An encoded delta is a half of a decoded one, or less. Small models are decoded once; of a large
//! one as little as a single delta is decoded at a time, and decoded anew when its merge does not
//! follow at once.

use std::collections::HashMap;

use bytes::Bytes;
use protocol::codec::CodecError;
use protocol::{Codec, LeaseId, TensorTable};

/// Decoded deltas that are kept, in bytes; one is, however large.
const DECODED_BYTES_MAX: usize = 32 << 20;

/// The deltas, by lease.
#[derive(Debug)]
pub(super) struct Deltas {
    codec: Codec,
    table: TensorTable,
    decoded_max: usize,
    encoded: HashMap<LeaseId, Bytes>,
    decoded: HashMap<LeaseId, Vec<f32>>,
    /// Buffers to be used again.
    spare: Vec<Vec<f32>>,
}

impl Deltas {
    /// None yet.
    pub(super) fn new(codec: Codec, table: TensorTable) -> Self {
        let model = (4 * table.elements()).max(1);
        Self {
            codec,
            table,
            decoded_max: (DECODED_BYTES_MAX / model).max(1),
            encoded: HashMap::new(),
            decoded: HashMap::new(),
            spare: Vec::new(),
        }
    }

    /// Keeps a delta, and gives its values to be examined.
    ///
    /// # Errors
    /// When it does not decode. It is not kept.
    pub(super) fn insert(&mut self, lease: LeaseId, payload: Bytes) -> Result<&[f32], CodecError> {
        let values = self.decode(&payload)?;
        self.encoded.insert(lease, payload);
        Ok(self.decoded.entry(lease).insert_entry(values).into_mut())
    }

    /// Takes a delta out; none that is not kept. Give it back with [`Self::recycle`].
    pub(super) fn remove(&mut self, lease: LeaseId) -> Option<Vec<f32>> {
        let payload = self.encoded.remove(&lease)?;
        self.decoded.remove(&lease).or_else(|| self.decode(&payload).ok())
    }

    /// Takes back the memory of a delta that is done with.
    pub(super) fn recycle(&mut self, values: Vec<f32>) {
        if self.decoded.len() + self.spare.len() < self.decoded_max {
            self.spare.push(values);
        }
    }

    /// Forgets a delta.
    pub(super) fn discard(&mut self, lease: LeaseId) {
        self.encoded.remove(&lease);
        if let Some(values) = self.decoded.remove(&lease) {
            self.recycle(values);
        }
    }

    fn decode(&mut self, payload: &[u8]) -> Result<Vec<f32>, CodecError> {
        let mut values = self.buffer();
        match self.codec.decode(&self.table, payload, &mut values) {
            Ok(()) => Ok(values),
            Err(error) => {
                self.recycle(values);
                Err(error)
            }
        }
    }

    /// A buffer: a spare one, a new one, or that of a delta which is decoded anew later.
    fn buffer(&mut self) -> Vec<f32> {
        if let Some(spare) = self.spare.pop() {
            return spare;
        }
        let any = self.decoded.keys().next().copied();
        any.filter(|_| self.decoded.len() >= self.decoded_max)
            .and_then(|lease| self.decoded.remove(&lease))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Role, TensorInfo};

    use super::*;

    fn lease(number: u64) -> LeaseId {
        LeaseId { incarnation: 1, number }
    }

    fn table(elements: u32) -> TensorTable {
        let (name, shape) = ("dense.kernel".to_owned(), vec![elements]);
        TensorTable { tensors: vec![TensorInfo { name, shape, role: Role::Parameter }] }
    }

    #[test]
    fn deltas_come_back_as_they_went_in_though_few_are_decoded() {
        let table = table(3);
        let mut deltas = Deltas { decoded_max: 2, ..Deltas::new(Codec::F32, table.clone()) };
        let values = |number: u64| vec![number as f32, 0.5, -1.0];
        for number in 0..5 {
            let payload = Codec::F32.encode(&table, &values(number)).into();
            assert_eq!(deltas.insert(lease(number), payload).unwrap(), values(number));
            assert!(deltas.decoded.len() <= 2);
        }
        deltas.discard(lease(4));
        for number in [3, 0, 1, 2] {
            let delta = deltas.remove(lease(number)).unwrap();
            assert_eq!(delta, values(number));
            deltas.recycle(delta);
            assert!(deltas.decoded.len() + deltas.spare.len() <= 2);
        }
        assert_eq!((deltas.remove(lease(3)), deltas.remove(lease(4))), (None, None));
        assert_eq!((deltas.encoded.len(), deltas.decoded.len()), (0, 0));
    }

    #[test]
    fn what_does_not_decode_is_not_kept() {
        let mut deltas = Deltas::new(Codec::F32, table(2));
        assert!(deltas.insert(lease(1), Bytes::from_static(&[0; 7])).is_err());
        assert!(deltas.insert(lease(1), f32::NAN.to_le_bytes().repeat(2).into()).is_err());
        assert_eq!(deltas.remove(lease(1)), None);
        assert_eq!(deltas.spare.len(), 1, "the buffer is used again");
    }

    #[test]
    fn at_least_one_is_decoded_however_large() {
        assert_eq!(Deltas::new(Codec::F16, table(100 << 20)).decoded_max, 1);
        assert!(Deltas::new(Codec::F16, table(118_282)).decoded_max > 60);
    }
}
