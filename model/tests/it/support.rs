//! What several tests need.

use model::{Batch, Plan, Spec, Targets};
use protocol::order::generator;
use rand_core::Rng;

/// A spec of these parts.
pub(crate) fn spec(input: &str, loss: &str, layers: &str) -> Spec {
    let text =
        format!("input = {input}\nloss = \"{loss}\"\noptimizer = \"sgd\"\nlayers = [{layers}]");
    Spec::from_toml(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

pub(crate) fn plan(input: &str, loss: &str, layers: &str) -> Plan {
    let spec = spec(input, loss, layers);
    Plan::new(&spec).unwrap_or_else(|error| panic!("{error}"))
}

/// Numbers from -1 to 1.
pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut stream = generator(seed, 77, 0);
    (0..count).map(|_| (stream.next_u64() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0).collect()
}

/// A batch that fits the plan's loss.
pub(crate) fn batch(plan: &Plan, seed: u64, count: usize) -> Batch {
    let elements = |shape: &[u32]| shape.iter().map(|side| *side as usize).product::<usize>();
    let width = elements(plan.output_shape());
    let inputs = numbers(seed, count * elements(plan.input_shape()));
    let loss = plan.spec().loss;
    let targets = if loss.name().starts_with("sparse") {
        let mut stream = generator(seed, 78, 0);
        Targets::Classes((0..count).map(|_| (stream.next_u64() % width as u64) as i32).collect())
    } else {
        let mut values = numbers(seed + 1, count * width);
        if loss.is_cross_entropy() {
            for row in values.chunks_mut(width) {
                row.iter_mut().for_each(|value| *value = value.abs() + 0.01);
                let total: f32 = row.iter().sum();
                row.iter_mut().for_each(|value| *value /= total);
            }
        }
        Targets::Values { width: width as u32, values }
    };
    Batch { inputs, targets, weights: Vec::new(), count }
}

/// Asserts that two vectors are alike.
#[track_caller]
pub(crate) fn assert_close(left: &[f32], right: &[f32], tolerance: f32) {
    assert_eq!(left.len(), right.len());
    for (place, (left, right)) in left.iter().zip(right).enumerate() {
        assert!(
            (left - right).abs() <= tolerance * right.abs().max(1.0),
            "place {place}: {left} and {right}"
        );
    }
}
