//! Own deltas that the master does not contain yet.
//!
//! A worker pulls before its last delta is merged (it would otherwise wait for a round trip), so
//! the parameters lack its own last step. Training on those ruins convergence; the worker adds
//! the missing deltas itself until a pull says that they are contained.

use protocol::{LeaseId, TensorTable};

/// The deltas of one session, oldest first.
#[derive(Debug, Default)]
pub struct PendingDeltas {
    deltas: Vec<(LeaseId, Vec<f32>)>,
}

impl PendingDeltas {
    /// A lease was trained: its delta is pending from now on.
    pub fn push(&mut self, lease: LeaseId, delta: Vec<f32>) {
        self.deltas.push((lease, delta));
    }

    /// The delta was refused, or a pulled version contains it.
    pub fn forget(&mut self, lease: LeaseId) {
        self.deltas.retain(|(pending, _)| *pending != lease);
    }

    /// The delta of a pending lease.
    #[must_use]
    pub fn get(&self, lease: LeaseId) -> Option<&[f32]> {
        let (_, delta) = self.deltas.iter().find(|(pending, _)| *pending == lease)?;
        Some(delta)
    }

    /// The leases that are pending.
    pub fn leases(&self) -> impl Iterator<Item = LeaseId> {
        self.deltas.iter().map(|(lease, _)| *lease)
    }

    /// Adds all pending deltas to pulled parameters. Buffers are no deltas: the last own values
    /// replace the pulled ones.
    pub fn add_to(&self, table: &TensorTable, parameters: &mut [f32]) {
        for (_, delta) in &self.deltas {
            for (tensor, range) in table.ranges() {
                let (values, delta) = (&mut parameters[range.clone()], &delta[range]);
                if tensor.is_buffer() {
                    values.copy_from_slice(delta);
                } else {
                    values.iter_mut().zip(delta).for_each(|(value, step)| *value += step);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::{Role, TensorInfo};

    use super::*;

    #[test]
    fn deltas_are_added_until_they_are_contained_and_buffers_are_replaced() {
        let tensor = |name: &str, role| TensorInfo { name: name.into(), shape: vec![1], role };
        let table = TensorTable {
            tensors: vec![tensor("w", Role::Parameter), tensor("mean", Role::Buffer)],
        };
        let lease = |number| LeaseId { incarnation: 1, number };
        let mut pending = PendingDeltas::default();
        pending.push(lease(1), vec![0.5, 7.0]);
        pending.push(lease(2), vec![0.25, 8.0]);
        let mut parameters = vec![1.0, 3.0];
        pending.add_to(&table, &mut parameters);
        assert_eq!(parameters, [1.75, 8.0]);
        pending.forget(lease(1));
        let mut parameters = vec![1.0, 3.0];
        pending.add_to(&table, &mut parameters);
        assert_eq!(parameters, [1.25, 8.0]);
        assert_eq!(pending.leases().collect::<Vec<_>>(), [lease(2)]);
    }
}
