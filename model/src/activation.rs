//! Activations as tensors, with Keras's constants.

use burn::tensor::{Tensor, activation};

use crate::layer::Activation;
use crate::value::{Value, each};

/// Slope below 0 of `leaky_relu`.
const NEGATIVE_SLOPE: f64 = 0.2;
/// Where `soft_shrink` and `hard_shrink` begin.
const SHRINK: f64 = 0.5;

/// The function of each value.
pub(crate) fn apply(function: Activation, value: Value) -> Value {
    if function == Activation::Linear {
        return value;
    }
    each!(value, (tensor, axis) => of(function, tensor, axis))
}

/// `axis` is the one that softmax runs over.
fn of<const D: usize>(function: Activation, x: Tensor<D>, axis: usize) -> Tensor<D> {
    match function {
        Activation::Linear => x,
        Activation::Relu => activation::relu(x),
        Activation::Relu6 => activation::relu6(x),
        Activation::LeakyRelu => activation::leaky_relu(x, NEGATIVE_SLOPE),
        Activation::ThresholdedRelu => activation::thresholded_relu(x, 1.0),
        Activation::Elu => activation::elu(x, 1.0),
        Activation::Celu => activation::celu(x, 1.0),
        Activation::Selu => activation::selu(x),
        Activation::Gelu => activation::gelu(x),
        Activation::GeluApproximate => activation::gelu_approximate(x),
        Activation::Sigmoid => activation::sigmoid(x),
        Activation::LogSigmoid => activation::log_sigmoid(x),
        Activation::HardSigmoid => hard_sigmoid(x),
        Activation::Silu => activation::silu(x),
        Activation::HardSilu => x.clone().mul(hard_sigmoid(x)),
        Activation::Mish => activation::mish(x),
        Activation::Tanh => activation::tanh(x),
        Activation::TanhShrink => activation::tanhshrink(x),
        Activation::HardTanh => activation::hardtanh(x, -1.0, 1.0),
        Activation::Softplus => activation::softplus(x, 1.0),
        Activation::Softsign => activation::softsign(x),
        Activation::SoftShrink => activation::soft_shrink(x, SHRINK),
        Activation::HardShrink => activation::hard_shrink(x, SHRINK),
        Activation::Exponential => x.exp(),
        Activation::Softmax => activation::softmax(x, axis),
        Activation::LogSoftmax => activation::log_softmax(x, axis),
    }
}

/// Burn's own goes through f32 whatever the type of the tensor.
fn hard_sigmoid<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.mul_scalar(1.0 / 6.0).add_scalar(0.5).clamp(0.0, 1.0)
}
