//! A plan at work on a device: values go in at the first node and come out at the last.

use burn::tensor::module::{avg_pool2d, batch_norm, batch_norm_train, conv2d, linear, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor};
use rand_core::Rng;

use crate::activation;
use crate::dropout;
use crate::plan::{Plan, Planned};
use crate::shape::{NormalizationTensors, Operation, Window};
use crate::tensors::Weight;
use crate::value::{Value, channels_last};

/// How a forward pass runs.
pub(crate) struct Pass<'a, R> {
    /// The tensors in the table's order.
    pub(crate) weights: &'a [Weight],
    /// Where dropout draws; none: nothing is dropped.
    pub(crate) stream: Option<&'a mut R>,
    /// Whether batch normalization uses the batch's statistics instead of the moving ones.
    pub(crate) batch_statistics: bool,
    /// Whether a softmax at the very end is left out, for losses that work on logits.
    pub(crate) logits: bool,
    /// Statistics of this batch: place of the tensor in the table, values.
    pub(crate) statistics: Vec<Statistics>,
}

/// The statistics of one batch normalization over one batch.
pub(crate) struct Statistics {
    pub(crate) tensors: NormalizationTensors,
    pub(crate) momentum: f64,
    pub(crate) mean: Tensor<1>,
    pub(crate) variance: Tensor<1>,
}

impl<R: Rng> Pass<'_, R> {
    /// The model's outputs for a batch.
    pub(crate) fn run(&mut self, plan: &Plan, inputs: Value) -> Value {
        let Some((last, nodes)) = plan.nodes().split_last() else { return inputs };
        let value = nodes.iter().fold(inputs, |value, node| self.node(node, value, true));
        let keep = !(self.logits && plan.ends_in_softmax());
        self.node(last, value, keep)
    }

    fn node(&mut self, node: &Planned, value: Value, activate: bool) -> Value {
        let value = match &node.operation {
            Operation::Dense { kernel, bias, .. } => self.dense(*kernel, *bias, value),
            Operation::Activation(_) => value,
            Operation::Dropout { rate } => match self.stream.as_deref_mut() {
                Some(stream) => dropout::drop_values(value, *rate, stream),
                None => value,
            },
            Operation::Flatten => Value::Rows(value.into_rows()),
            Operation::Reshape => Value::from_rows(value.into_rows(), &node.output),
            Operation::Rescaling { scale, offset } => rescale(value, scale, offset),
            Operation::Conv2d { kernel, bias, window, .. } => {
                self.conv2d(*kernel, *bias, window, images(value))
            }
            Operation::MaxPool2d(Window { size, strides, padding }) => {
                let options =
                    MaxPoolOptions::new(*size).with_stride(*strides).with_padding_pairs(*padding);
                Value::Images(max_pool2d(images(value), options))
            }
            Operation::AveragePool2d(Window { size, strides, padding }) => {
                let options = AvgPoolOptions::new(*size)
                    .with_stride(*strides)
                    .with_padding_pairs(*padding)
                    .with_count_include_pad(false);
                Value::Images(avg_pool2d(images(value), options))
            }
            Operation::GlobalAveragePool2d => {
                let images = images(value);
                let [count, channels, height, width] = images.dims();
                let pixels = images.reshape([count, channels, height * width]);
                Value::Rows(pixels.mean_dim(2).reshape([count, channels]))
            }
            Operation::BatchNormalization { tensors, momentum, epsilon } => {
                self.normalize(value, *tensors, *momentum, *epsilon)
            }
        };
        match node.operation.activation() {
            Some(function) if activate => activation::apply(function, value),
            _ => value,
        }
    }

    fn dense(&self, kernel: usize, bias: Option<usize>, value: Value) -> Value {
        let Weight::Matrix(kernel) = self.weights[kernel].clone() else {
            unreachable!("invariant: a dense kernel is a matrix")
        };
        let bias = bias.map(|bias| self.vector(bias));
        match value {
            Value::Rows(x) => Value::Rows(linear(x, kernel, bias)),
            Value::Steps(x) => Value::Steps(linear(x, kernel, bias)),
            Value::Images(x) => {
                Value::Images(linear(channels_last(x), kernel, bias).permute([0, 3, 1, 2]))
            }
        }
    }

    fn conv2d(&self, kernel: usize, bias: Option<usize>, window: &Window, x: Tensor<4>) -> Value {
        let Weight::Kernel(kernel) = self.weights[kernel].clone() else {
            unreachable!("invariant: a convolution's kernel has four axes")
        };
        let options = ConvOptions::new_with_padding(window.strides, window.padding, [1, 1], 1);
        Value::Images(conv2d(x, kernel, bias.map(|bias| self.vector(bias)), options))
    }

    fn vector(&self, index: usize) -> Tensor<1> {
        let Weight::Vector(vector) = self.weights[index].clone() else {
            unreachable!("invariant: only kernels have more than one axis")
        };
        vector
    }

    fn normalize(
        &mut self,
        value: Value,
        tensors: NormalizationTensors,
        momentum: f64,
        epsilon: f64,
    ) -> Value {
        match value {
            Value::Rows(x) => Value::Rows(self.normalize_axis_1(x, tensors, momentum, epsilon)),
            Value::Images(x) => Value::Images(self.normalize_axis_1(x, tensors, momentum, epsilon)),
            Value::Steps(x) => {
                let shape = x.dims();
                let rows = x.flatten::<2>(0, 1);
                Value::Steps(self.normalize_axis_1(rows, tensors, momentum, epsilon).reshape(shape))
            }
        }
    }

    fn normalize_axis_1<const D: usize>(
        &mut self,
        x: Tensor<D>,
        tensors: NormalizationTensors,
        momentum: f64,
        epsilon: f64,
    ) -> Tensor<D> {
        let (mean, variance) = (self.vector(tensors.mean), self.vector(tensors.variance));
        let (device, shape) = (mean.device(), mean.dims());
        let options = (&device, mean.dtype());
        let gamma = tensors.gamma.map(|index| self.vector(index));
        let gamma = gamma.unwrap_or_else(|| Tensor::ones(shape, options));
        let beta = tensors.beta.map(|index| self.vector(index));
        let beta = beta.unwrap_or_else(|| Tensor::zeros(shape, options));
        if !self.batch_statistics {
            return batch_norm(x, gamma, beta, mean, variance, epsilon);
        }
        let result = batch_norm_train(x, gamma, beta, epsilon);
        let (mean, variance) = (result.mean.inner(), result.variance.inner());
        self.statistics.push(Statistics { tensors, momentum, mean, variance });
        result.output
    }
}

fn images(value: Value) -> Tensor<4> {
    let Value::Images(images) = value else {
        unreachable!("invariant: the plan gives images to nodes that need them")
    };
    images
}

fn rescale(value: Value, scale: &[f64], offset: &[f64]) -> Value {
    crate::value::each!(value, (tensor, axis) => {
        let tensor = combine(tensor, axis, scale, 1.0, Tensor::mul, |x, one| x.mul_scalar(one));
        combine(tensor, axis, offset, 0.0, Tensor::add, |x, one| x.add_scalar(one))
    })
}

/// Combines with one number, or with one for each place of an axis.
fn combine<const D: usize>(
    tensor: Tensor<D>,
    axis: usize,
    factors: &[f64],
    neutral: f64,
    with_tensor: impl Fn(Tensor<D>, Tensor<D>) -> Tensor<D>,
    with_number: impl Fn(Tensor<D>, f64) -> Tensor<D>,
) -> Tensor<D> {
    match *factors {
        [one] if one == neutral => tensor,
        [one] => with_number(tensor, one),
        _ => {
            let mut shape = [1; D];
            shape[axis] = factors.len();
            let (device, dtype): (Device, DType) = (tensor.device().inner(), tensor.dtype());
            let factors = Tensor::<1>::from_data(factors, (&device, dtype)).reshape(shape);
            with_tensor(tensor, factors)
        }
    }
}

/// Whether the plan's last node leaves logits for this loss.
pub(crate) fn works_on_logits(plan: &Plan) -> bool {
    let loss = plan.spec().loss;
    loss.is_cross_entropy() && (loss.is_from_logits() || plan.ends_in_softmax())
}
