//! The node types of a spec, their keys and Keras's defaults.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A node's type and its keys. In a spec the type stands under `type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Layer {
    /// Fully connected, over the last axis.
    Dense(Dense),
    /// A function of each value.
    Activation(ActivationLayer),
    /// Drops values at random while training.
    Dropout(Dropout),
    /// All axes into one.
    Flatten(Flatten),
    /// Other axes, same values.
    Reshape(Reshape),
    /// `x * scale + offset`.
    Rescaling(Rescaling),
    /// Convolution over an image.
    Conv2d(Conv2d),
    /// Greatest value of each window.
    MaxPool2d(Pool2d),
    /// Mean of each window, padding not counted.
    AveragePool2d(Pool2d),
    /// Mean of each channel.
    GlobalAveragePool2d(GlobalAveragePool2d),
    /// Normalises over the batch; keeps moving statistics for prediction.
    BatchNormalization(BatchNormalization),
}

impl Layer {
    /// The name of the type, as in a spec; also the base of automatic node names.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Dense(_) => "dense",
            Self::Activation(_) => "activation",
            Self::Dropout(_) => "dropout",
            Self::Flatten(_) => "flatten",
            Self::Reshape(_) => "reshape",
            Self::Rescaling(_) => "rescaling",
            Self::Conv2d(_) => "conv2d",
            Self::MaxPool2d(_) => "max_pool2d",
            Self::AveragePool2d(_) => "average_pool2d",
            Self::GlobalAveragePool2d(_) => "global_average_pool2d",
            Self::BatchNormalization(_) => "batch_normalization",
        }
    }
}

/// Keys of `dense`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Number of outputs.
    pub units: u32,
    /// Applied to the outputs.
    #[serde(default)]
    pub activation: Activation,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// First values of the kernel.
    #[serde(default)]
    pub kernel_initializer: Initializer,
}

/// Keys of `activation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActivationLayer {
    /// The function.
    pub activation: Activation,
}

/// Keys of `dropout`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Share of values that become 0; the others grow by `1 / (1 - rate)`.
    pub rate: f64,
}

/// Keys of `flatten`: none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

/// Keys of `global_average_pool2d`: none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAveragePool2d {}

/// Keys of `reshape`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The new shape of a sample; one side may be -1: whatever is left.
    pub target_shape: Vec<i64>,
}

/// Keys of `rescaling`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rescaling {
    /// Factor: one number, or one for each place of the last axis.
    pub scale: Factors,
    /// Added after the factor: one number, or one for each place of the last axis.
    #[serde(default)]
    pub offset: Factors,
}

/// Keys of `conv2d`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Number of output channels.
    pub filters: u32,
    /// Height and width of the window.
    pub kernel_size: Pair,
    /// Steps of the window.
    #[serde(default)]
    pub strides: Pair,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
    /// Applied to the outputs.
    #[serde(default)]
    pub activation: Activation,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub use_bias: bool,
    /// First values of the kernel.
    #[serde(default)]
    pub kernel_initializer: Initializer,
}

/// Keys of `max_pool2d` and `average_pool2d`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool2d {
    /// Height and width of the window.
    #[serde(default = "two")]
    pub pool_size: Pair,
    /// Steps of the window; default: `pool_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strides: Option<Pair>,
    /// What happens at the edges.
    #[serde(default)]
    pub padding: Padding,
}

/// Keys of `batch_normalization`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchNormalization {
    /// How much of the moving statistics each step keeps.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether a trained `beta` is added.
    pub center: bool,
    /// Whether a trained `gamma` is multiplied.
    pub scale: bool,
}

impl Default for BatchNormalization {
    fn default() -> Self {
        Self { momentum: 0.99, epsilon: 1e-3, center: true, scale: true }
    }
}

/// Functions of a value, with Keras's names and constants. Three are Burn's own: `gelu_approximate`
/// (gelu by tanh), `thresholded_relu` (threshold 1) and the old names `swish` and `hard_swish`
/// are read as `silu` and `hard_silu`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x`
    #[default]
    Linear,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x`, below 0 `0.2 x`
    LeakyRelu,
    /// `x`, up to 1 `0`
    ThresholdedRelu,
    /// `x`, below 0 `exp(x) - 1`
    Elu,
    /// As `elu`, with alpha 1.
    Celu,
    /// Scaled `elu`, self-normalising.
    Selu,
    /// `x` times the normal distribution function.
    Gelu,
    /// `gelu` by tanh.
    GeluApproximate,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `log(sigmoid(x))`
    LogSigmoid,
    /// `relu6(x + 3) / 6`
    HardSigmoid,
    /// `x sigmoid(x)`
    #[serde(alias = "swish")]
    Silu,
    /// `x hard_sigmoid(x)`
    #[serde(alias = "hard_swish")]
    HardSilu,
    /// `x tanh(softplus(x))`
    Mish,
    /// `tanh(x)`
    Tanh,
    /// `x - tanh(x)`
    TanhShrink,
    /// `min(max(x, -1), 1)`
    HardTanh,
    /// `log(1 + exp(x))`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `x` brought 0.5 nearer to 0, at most to 0.
    SoftShrink,
    /// `x`, 0 between -0.5 and 0.5
    HardShrink,
    /// `exp(x)`
    Exponential,
    /// Probabilities over the last axis.
    Softmax,
    /// `log(softmax(x))`
    LogSoftmax,
}

/// First values of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initializer {
    /// Uniform within `sqrt(6 / (fan_in + fan_out))`.
    #[default]
    GlorotUniform,
    /// Truncated normal, variance `2 / (fan_in + fan_out)`.
    GlorotNormal,
    /// Uniform within `sqrt(6 / fan_in)`.
    HeUniform,
    /// Truncated normal, variance `2 / fan_in`.
    HeNormal,
    /// 0
    Zeros,
    /// 1
    Ones,
}

/// What a window does at the edges of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// It stays inside.
    #[default]
    Valid,
    /// Output sides are input sides divided by the stride, rounded up. Where the padding is odd,
    /// the end gets one more, as in TensorFlow.
    Same,
}

/// Height and width; in a spec one number stands for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct Pair(pub u32, pub u32);

impl Default for Pair {
    fn default() -> Self {
        Self(1, 1)
    }
}

impl TryFrom<Value> for Pair {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let side = |value: &Value| value.as_u64().and_then(|side| u32::try_from(side).ok());
        let pair = match &value {
            Value::Array(sides) => match sides.as_slice() {
                [height, width] => side(height).zip(side(width)),
                _ => None,
            },
            one => side(one).map(|side| (side, side)),
        };
        pair.map(|(height, width)| Self(height, width)).ok_or_else(|| {
            format!("invalid value {value}: write one whole number or a pair `[height, width]`")
        })
    }
}

/// One number for all, or one for each place of the last axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct Factors(pub Vec<f64>);

impl Default for Factors {
    fn default() -> Self {
        Self(vec![0.0])
    }
}

impl TryFrom<Value> for Factors {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let numbers = match &value {
            Value::Array(numbers) => numbers.iter().map(Value::as_f64).collect(),
            one => one.as_f64().map(|number| vec![number]),
        };
        match numbers {
            Some(numbers) if !numbers.is_empty() => Ok(Self(numbers)),
            _ => Err(format!("invalid value {value}: write one number or a list of numbers")),
        }
    }
}

impl From<Factors> for Value {
    fn from(factors: Factors) -> Self {
        match factors.0.as_slice() {
            [one] => Self::from(*one),
            many => Self::from(many.to_vec()),
        }
    }
}

fn yes() -> bool {
    true
}

fn two() -> Pair {
    Pair(2, 2)
}
