//! First values of a model's tensors. Only a ChaCha8 stream and arithmetic that IEEE 754 defines
//! exactly, so that every machine makes the same values.

use protocol::TensorTable;
use protocol::order::{PURPOSE_PARAMETERS, generator};
use rand_core::Rng;

use crate::layer::Initializer;
use crate::shape::First;

/// Standard deviation of a normal distribution that is cut at two of its own; Keras divides by it.
const TRUNCATED_DEVIATION: f64 = 0.879_625_661_034_239_8;

/// All values, tensor after tensor; each tensor has its own stream.
pub(crate) fn values(table: &TensorTable, first: &[First], seed: u64) -> Vec<f32> {
    let mut values = Vec::with_capacity(table.elements());
    for (index, (tensor, first)) in table.tensors.iter().zip(first).enumerate() {
        let end = values.len() + tensor.elements();
        let initializer = match first {
            First::Zeros => Initializer::Zeros,
            First::Ones => Initializer::Ones,
            First::Kernel(initializer) => *initializer,
        };
        let (inputs, outputs) = fans(&tensor.shape);
        let mut stream = generator(seed, PURPOSE_PARAMETERS, index as u64);
        let mut fill = |draw: &mut dyn FnMut() -> f64| {
            while values.len() < end {
                values.push(draw() as f32);
            }
        };
        let mut uniform = |limit: f64| fill(&mut || (2.0 * unit(&mut stream) - 1.0) * limit);
        match initializer {
            Initializer::Zeros => values.resize(end, 0.0),
            Initializer::Ones => values.resize(end, 1.0),
            Initializer::GlorotUniform => uniform((6.0 / (inputs + outputs)).sqrt()),
            Initializer::HeUniform => uniform((6.0 / inputs).sqrt()),
            Initializer::GlorotNormal | Initializer::HeNormal => {
                let fan = match initializer {
                    Initializer::HeNormal => inputs,
                    _ => inputs + outputs,
                };
                let deviation = (2.0 / fan).sqrt() / TRUNCATED_DEVIATION;
                fill(&mut || truncated_normal(&mut stream) * deviation);
            }
        }
    }
    values
}

/// Inputs and outputs of one output value: Keras's fan_in and fan_out.
fn fans(shape: &[u32]) -> (f64, f64) {
    match shape {
        [window @ .., inputs, outputs] => {
            let window: f64 = window.iter().map(|side| f64::from(*side)).product();
            (window * f64::from(*inputs), window * f64::from(*outputs))
        }
        [only] => (f64::from(*only), f64::from(*only)),
        [] => (1.0, 1.0),
    }
}

/// A number from 0 up, below 1, of 53 random bits.
fn unit(stream: &mut impl Rng) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A normal number between -2 and 2, by rejection.
fn truncated_normal(stream: &mut impl Rng) -> f64 {
    loop {
        let candidate = 4.0 * unit(stream) - 2.0;
        if unit(stream) < exponential_of_negative(candidate * candidate / 2.0) {
            return candidate;
        }
    }
}

/// `exp(-x)` for `x` from 0 to 2, from its series: a machine's own `exp` may differ in the last bit.
fn exponential_of_negative(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for n in 1..32 {
        term *= x / f64::from(n);
        sum += term;
    }
    1.0 / sum
}
