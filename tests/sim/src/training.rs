//! What a lease does to parameters: bounded, and a function of parameters and lease alone.

use protocol::{Lease, Role, TensorInfo, TensorTable};

/// Longest step of one value in one local step.
const STEP: f32 = 0.1;
/// Part of it that is noise.
const NOISE: f32 = 0.05;

/// Ten trained values and two buffers of two.
pub(crate) fn table() -> TensorTable {
    let tensor = |name: &str, size, role| TensorInfo { name: name.into(), shape: vec![size], role };
    TensorTable {
        tensors: vec![
            tensor("dense.kernel", 7, Role::Parameter),
            tensor("norm.mean", 2, Role::Buffer),
            tensor("norm.variance", 2, Role::BufferNonNegative),
            tensor("dense.bias", 3, Role::Parameter),
        ],
    }
}

/// Where a run starts.
pub(crate) fn first_values(table: &TensorTable, seed: u64) -> Vec<f32> {
    (0..table.elements() as u64).map(|index| noise(seed, index).abs() * 3.0).collect()
}

/// The delta of a lease trained from `values`; absolute values where they are buffers.
pub(crate) fn train(table: &TensorTable, values: &[f32], lease: &Lease) -> Vec<f32> {
    let steps = (lease.steps() as f32).sqrt();
    let mut delta = Vec::with_capacity(values.len());
    for (tensor, range) in table.ranges() {
        for index in range {
            let (value, noise) = (values[index], noise(lease.seed, index as u64));
            delta.push(if tensor.is_buffer() {
                (0.9 * value + 0.1 * noise).abs()
            } else {
                let target = (index as f32).sin();
                steps * (STEP * (target - value).clamp(-1.0, 1.0) + NOISE * noise)
            });
        }
    }
    delta
}

/// Own deltas that parameters lack, as a worker adds them.
pub(crate) fn add_pending(table: &TensorTable, values: &mut [f32], delta: &[f32]) {
    for (tensor, range) in table.ranges() {
        let (values, delta) = (&mut values[range.clone()], &delta[range]);
        if tensor.is_buffer() {
            values.copy_from_slice(delta);
        } else {
            values.iter_mut().zip(delta).for_each(|(value, step)| *value += step);
        }
    }
}

/// From -1 to 1, by the bits of both numbers.
fn noise(seed: u64, index: u64) -> f32 {
    let mut bits = seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
}

/// A digest of values, to the last bit (FNV-1a, 64 bits).
pub(crate) fn digest(values: &[f32]) -> u64 {
    digest_bytes(values.iter().flat_map(|value| value.to_bits().to_le_bytes()))
}

/// A digest of bytes.
pub(crate) fn digest_bytes(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}
