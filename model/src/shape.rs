//! What a node makes of its input's shape: output shape, tensors, and the operation to run.

use protocol::limits::ELEMENTS_MAX;
use protocol::{Role, TensorInfo};

use crate::layer::{
    Activation, BatchNormalization, Conv2d, Dense, Initializer, Layer, Padding, Pair, Reshape,
};

/// Axes of a sample that a value can have, without the batch.
pub(crate) const SAMPLE_RANK_MAX: usize = 3;

/// Longest side of a window: padding to it must not fill the memory.
const WINDOW_MAX: u32 = 1024;

/// A window that moves over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) size: [usize; 2],
    pub(crate) strides: [usize; 2],
    /// Rows above and below, columns left and right.
    pub(crate) padding: [(usize, usize); 2],
}

/// What a node computes. Numbers of tensors are places in the plan's table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    Dense { kernel: usize, bias: Option<usize>, activation: Activation },
    Activation(Activation),
    Dropout { rate: f64 },
    Flatten,
    Reshape,
    Rescaling { scale: Vec<f64>, offset: Vec<f64> },
    Conv2d { kernel: usize, bias: Option<usize>, window: Window, activation: Activation },
    MaxPool2d(Window),
    AveragePool2d(Window),
    GlobalAveragePool2d,
    BatchNormalization { tensors: NormalizationTensors, momentum: f64, epsilon: f64 },
}

/// Places of a batch normalization's tensors in the plan's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NormalizationTensors {
    pub(crate) gamma: Option<usize>,
    pub(crate) beta: Option<usize>,
    pub(crate) mean: usize,
    pub(crate) variance: usize,
}

impl Operation {
    /// The function at its end, if any.
    pub(crate) fn activation(&self) -> Option<Activation> {
        match self {
            Self::Dense { activation, .. }
            | Self::Conv2d { activation, .. }
            | Self::Activation(activation) => Some(*activation),
            _ => None,
        }
    }
}

/// How the first values of a tensor are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Zeros,
    Ones,
    Kernel(Initializer),
}

/// Collects the tensors of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Tensors {
    pub(crate) infos: Vec<TensorInfo>,
    pub(crate) first: Vec<First>,
}

impl Tensors {
    fn add(&mut self, node: &str, name: &str, shape: &[u32], role: Role, first: First) -> usize {
        self.infos.push(TensorInfo { name: format!("{node}.{name}"), shape: shape.to_vec(), role });
        self.first.push(first);
        self.infos.len() - 1
    }

    fn kernel(&mut self, node: &str, shape: &[u32], initializer: Initializer) -> usize {
        self.add(node, "kernel", shape, Role::Parameter, First::Kernel(initializer))
    }

    fn bias(&mut self, node: &str, size: u32, used: bool) -> Option<usize> {
        used.then(|| self.add(node, "bias", &[size], Role::Parameter, First::Zeros))
    }
}

/// Number of values of a shape, where it is in the limits.
pub(crate) fn elements(shape: &[u32]) -> Option<u64> {
    let product =
        shape.iter().try_fold(1_u64, |product, side| product.checked_mul(u64::from(*side)))?;
    (1..=ELEMENTS_MAX).contains(&product).then_some(product)
}

/// Output shape and operation of a node; its tensors are added to `tensors`.
pub(crate) fn infer(
    node: &str,
    layer: &Layer,
    input: &[u32],
    tensors: &mut Tensors,
) -> Result<(Vec<u32>, Operation), String> {
    let last = input.last().copied().ok_or("its input has no axis")?;
    Ok(match layer {
        Layer::Dense(dense) => self::dense(node, dense, input, last, tensors)?,
        Layer::Activation(layer) => (input.to_vec(), Operation::Activation(layer.activation)),
        Layer::Dropout(dropout) => {
            if !(0.0..1.0).contains(&dropout.rate) {
                return Err(format!(
                    "`rate` is {}: it must be at least 0 and below 1",
                    dropout.rate
                ));
            }
            (input.to_vec(), Operation::Dropout { rate: dropout.rate })
        }
        Layer::Flatten(_) => {
            let size = elements(input).ok_or("it is too large")?;
            (vec![u32::try_from(size).map_err(|_| "it is too large")?], Operation::Flatten)
        }
        Layer::Reshape(reshape) => (self::reshape(reshape, input)?, Operation::Reshape),
        Layer::Rescaling(rescaling) => {
            for (key, factors) in [("scale", &rescaling.scale.0), ("offset", &rescaling.offset.0)] {
                if factors.len() != 1 && factors.len() != last as usize {
                    return Err(format!(
                        "`{key}` has {} numbers, but the last axis of its input {input:?} has {last} \
                         places: write one number or {last}",
                        factors.len()
                    ));
                }
            }
            let (scale, offset) = (rescaling.scale.0.clone(), rescaling.offset.0.clone());
            (input.to_vec(), Operation::Rescaling { scale, offset })
        }
        Layer::Conv2d(conv) => conv2d(node, conv, input, tensors)?,
        Layer::MaxPool2d(pool) => {
            let (shape, window) =
                window(input, pool.pool_size, "pool_size", pool.strides, pool.padding)?;
            (shape, Operation::MaxPool2d(window))
        }
        Layer::AveragePool2d(pool) => {
            let (shape, window) =
                window(input, pool.pool_size, "pool_size", pool.strides, pool.padding)?;
            (shape, Operation::AveragePool2d(window))
        }
        Layer::GlobalAveragePool2d(_) => {
            let [_, _, channels] = image(input)?;
            (vec![channels], Operation::GlobalAveragePool2d)
        }
        Layer::BatchNormalization(layer) => {
            (input.to_vec(), batch_normalization(node, layer, last, tensors)?)
        }
    })
}

fn positive(key: &str, value: u32) -> Result<(), String> {
    if value == 0 { Err(format!("`{key}` is 0: it must be at least 1")) } else { Ok(()) }
}

fn dense(
    node: &str,
    dense: &Dense,
    input: &[u32],
    last: u32,
    tensors: &mut Tensors,
) -> Result<(Vec<u32>, Operation), String> {
    positive("units", dense.units)?;
    let mut output = input.to_vec();
    output.pop();
    output.push(dense.units);
    let kernel = tensors.kernel(node, &[last, dense.units], dense.kernel_initializer);
    let bias = tensors.bias(node, dense.units, dense.use_bias);
    Ok((output, Operation::Dense { kernel, bias, activation: dense.activation }))
}

fn conv2d(
    node: &str,
    conv: &Conv2d,
    input: &[u32],
    tensors: &mut Tensors,
) -> Result<(Vec<u32>, Operation), String> {
    positive("filters", conv.filters)?;
    let strides = Some(conv.strides);
    let (mut output, window) =
        window(input, conv.kernel_size, "kernel_size", strides, conv.padding)?;
    let Pair(height, width) = conv.kernel_size;
    let shape = [height, width, output[2], conv.filters];
    output[2] = conv.filters;
    let kernel = tensors.kernel(node, &shape, conv.kernel_initializer);
    let bias = tensors.bias(node, conv.filters, conv.use_bias);
    Ok((output, Operation::Conv2d { kernel, bias, window, activation: conv.activation }))
}

fn batch_normalization(
    node: &str,
    layer: &BatchNormalization,
    last: u32,
    tensors: &mut Tensors,
) -> Result<Operation, String> {
    let BatchNormalization { momentum, epsilon, center, scale } = *layer;
    if !(0.0..=1.0).contains(&momentum) {
        return Err(format!("`momentum` is {momentum}: it must be from 0 to 1"));
    }
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(format!("`epsilon` is {epsilon}: it must be above 0"));
    }
    let mut add = |name, role, first| tensors.add(node, name, &[last], role, first);
    let tensors = NormalizationTensors {
        gamma: scale.then(|| add("gamma", Role::Parameter, First::Ones)),
        beta: center.then(|| add("beta", Role::Parameter, First::Zeros)),
        mean: add("moving_mean", Role::Buffer, First::Zeros),
        variance: add("moving_variance", Role::BufferNonNegative, First::Ones),
    };
    Ok(Operation::BatchNormalization { tensors, momentum, epsilon })
}

fn reshape(reshape: &Reshape, input: &[u32]) -> Result<Vec<u32>, String> {
    let target = &reshape.target_shape;
    if target.is_empty() || target.len() > SAMPLE_RANK_MAX {
        return Err(format!("`target_shape` {target:?} must have 1 to {SAMPLE_RANK_MAX} sides"));
    }
    let open = target.iter().filter(|side| **side == -1).count();
    if open > 1 || target.iter().any(|side| *side == 0 || *side < -1) {
        return Err(format!(
            "`target_shape` {target:?} must have sides of at least 1; one of them may be -1"
        ));
    }
    let size = elements(input).ok_or("its input is too large")?;
    let known = target
        .iter()
        .filter(|side| **side != -1)
        .try_fold(1_u64, |product, side| product.checked_mul(side.unsigned_abs()))
        .filter(|known| *known <= size && size % *known == 0 && (open == 1 || *known == size))
        .ok_or_else(|| {
            format!(
                "`target_shape` {target:?} does not hold the {size} values of its input {input:?}"
            )
        })?;
    let rest = size / known;
    target
        .iter()
        .map(|side| if *side == -1 { rest } else { side.unsigned_abs() })
        .map(|side| u32::try_from(side).map_err(|_| "it is too large".to_owned()))
        .collect()
}

fn image(input: &[u32]) -> Result<[u32; 3], String> {
    input.try_into().map_err(|_| {
        format!(
            "it needs images of shape [height, width, channels], but its input is {input:?}: put a \
             reshape before it"
        )
    })
}

/// Output shape (with the input's channels) and padding of a window over an image.
fn window(
    input: &[u32],
    size: Pair,
    key: &str,
    strides: Option<Pair>,
    padding: Padding,
) -> Result<(Vec<u32>, Window), String> {
    let [height, width, channels] = image(input)?;
    let strides = strides.unwrap_or(size);
    for side in [size.0, size.1] {
        positive(key, side)?;
        if side > WINDOW_MAX {
            return Err(format!("`{key}` is {side}: it must be at most {WINDOW_MAX}"));
        }
    }
    for side in [strides.0, strides.1] {
        positive("strides", side)?;
    }
    let axis = |length: u32, size: u32, stride: u32| match padding {
        Padding::Valid if size > length => Err(format!(
            "`{key}` {size} is larger than its input {input:?}: make it smaller, or set padding = \
             \"same\""
        )),
        Padding::Valid => Ok(((length - size) / stride + 1, (0, 0))),
        Padding::Same => {
            let output = length.div_ceil(stride);
            let covered = u64::from(output - 1) * u64::from(stride) + u64::from(size);
            let total = covered.saturating_sub(u64::from(length)) as usize;
            Ok((output, (total / 2, total - total / 2)))
        }
    };
    let (rows, above_below) = axis(height, size.0, strides.0)?;
    let (columns, left_right) = axis(width, size.1, strides.1)?;
    let pair = |Pair(first, second): Pair| [first as usize, second as usize];
    let window =
        Window { size: pair(size), strides: pair(strides), padding: [above_below, left_right] };
    Ok((vec![rows, columns, channels], window))
}
