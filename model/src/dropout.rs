//! Dropout masks, drawn on the CPU from a ChaCha8 stream: every device, a browser's GPU too,
//! drops the same values, so that a delta is a function of parameters, data and seed.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand_core::Rng;

use crate::value::Value;

/// Values that 16 random bits can have.
const STEPS: f64 = 65536.0;

/// Multiplies by a fresh mask of 0 and `1 / (1 - rate)`.
pub(crate) fn drop_values(value: Value, rate: f64, stream: &mut impl Rng) -> Value {
    if threshold(rate) == 0 {
        return value;
    }
    match value {
        Value::Rows(x) => Value::Rows(masked(x, rate, stream)),
        Value::Steps(x) => Value::Steps(masked(x, rate, stream)),
        Value::Images(x) => Value::Images(masked(x, rate, stream)),
    }
}

fn masked<const D: usize>(x: Tensor<D>, rate: f64, stream: &mut impl Rng) -> Tensor<D> {
    let shape = x.dims();
    let mask = mask(shape.iter().product(), rate, stream);
    let (device, dtype): (Device, DType) = (x.device().inner(), x.dtype());
    x.mul(Tensor::from_data(TensorData::new(mask, shape), (&device, dtype)))
}

/// The rate in steps of 1/65536; a rate below 1 always keeps some values.
fn threshold(rate: f64) -> u16 {
    (rate * STEPS).round().min(STEPS - 1.0) as u16
}

/// 16 bits a value: 8,192 values take some microseconds, a small part of a training step.
pub(crate) fn mask(count: usize, rate: f64, stream: &mut impl Rng) -> Vec<f32> {
    let threshold = threshold(rate);
    // Exact for the rounded rate, so that the mean of the mask is 1.
    let kept = (STEPS / (STEPS - f64::from(threshold))) as f32;
    let mut bits = vec![0_u8; count * 2];
    stream.fill_bytes(&mut bits);
    bits.chunks_exact(2)
        .map(|pair| if u16::from_le_bytes([pair[0], pair[1]]) < threshold { 0.0 } else { kept })
        .collect()
}

#[cfg(test)]
mod tests {
    use protocol::order::{PURPOSE_LEASE, generator};

    use super::{mask, threshold};

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_mean() {
        for rate in [0.1, 0.2, 0.5, 0.9] {
            let count = 200_000;
            let mask = mask(count, rate, &mut generator(3, PURPOSE_LEASE, 0));
            let dropped = mask.iter().filter(|value| **value == 0.0).count() as f64 / count as f64;
            // Five standard deviations.
            let tolerance = 5.0 * (rate * (1.0 - rate) / count as f64).sqrt();
            assert!((dropped - rate).abs() < tolerance, "{rate}: {dropped}");
            let mean = mask.iter().map(|value| f64::from(*value)).sum::<f64>() / count as f64;
            assert!((mean - 1.0).abs() < tolerance / (1.0 - rate), "{rate}: {mean}");
        }
    }

    #[test]
    fn a_mask_depends_on_seed_and_step_alone() {
        let draw = |seed, step| mask(64, 0.5, &mut generator(seed, PURPOSE_LEASE, step));
        assert_eq!(draw(1, 0), draw(1, 0));
        assert_ne!(draw(1, 0), draw(1, 1));
        assert_ne!(draw(1, 0), draw(2, 0));
        // Every machine draws these.
        let kept: String =
            draw(1, 0)[..16].iter().map(|value| if *value > 0.0 { '1' } else { '0' }).collect();
        assert_eq!(kept, "1101100111101010");
    }

    #[test]
    fn extreme_rates_stay_in_range() {
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(1.0 - 1e-12), u16::MAX);
    }
}
