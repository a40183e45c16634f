//! A node's values for a batch: rank 2, 3 or 4. Rank 4 stands channels-first inside, as Burn's
//! kernels want it; outside, and wherever axes are counted, images are channels-last.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Values of a batch.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// `[batch, values]`
    Rows(Tensor<2>),
    /// `[batch, steps, values]`
    Steps(Tensor<3>),
    /// `[batch, channels, height, width]`
    Images(Tensor<4>),
}

/// The same operation for each rank: `each!(value, (tensor, axis) => ...)`; `axis` is the last one
/// as seen from outside, the channels of an image.
macro_rules! each {
    ($value:expr, ($tensor:ident, $axis:ident) => $body:expr) => {
        match $value {
            $crate::value::Value::Rows($tensor) => {
                let $axis = 1;
                $crate::value::Value::Rows($body)
            }
            $crate::value::Value::Steps($tensor) => {
                let $axis = 2;
                $crate::value::Value::Steps($body)
            }
            $crate::value::Value::Images($tensor) => {
                let $axis = 1;
                $crate::value::Value::Images($body)
            }
        }
    };
}
pub(crate) use each;

impl Value {
    /// Uploads `count` samples of a shape.
    pub(crate) fn upload(
        inputs: Vec<f32>,
        count: usize,
        shape: &[u32],
        device: &Device,
        dtype: DType,
    ) -> Self {
        let width = inputs.len() / count;
        let data = TensorData::new(inputs, [count, width]);
        Self::from_rows(Tensor::from_data(data, (device, dtype)), shape)
    }

    /// One row for each sample, channels-last.
    pub(crate) fn into_rows(self) -> Tensor<2> {
        match self {
            Self::Rows(rows) => rows,
            Self::Steps(steps) => steps.flatten(1, 2),
            Self::Images(images) => channels_last(images).flatten(1, 3),
        }
    }

    /// Samples of a shape from one row for each.
    pub(crate) fn from_rows(rows: Tensor<2>, shape: &[u32]) -> Self {
        let count = rows.dims()[0];
        match *shape {
            [height, width, channels] => {
                let sides = [height, width, channels].map(|side| side as usize);
                Self::Images(channels_first(rows, count, sides))
            }
            [steps, values] => Self::Steps(rows.reshape([count, steps as usize, values as usize])),
            _ => Self::Rows(rows),
        }
    }
}

/// Rows of channels-last images as images. One channel, or one pixel, needs no other order.
fn channels_first(
    rows: Tensor<2>,
    count: usize,
    [height, width, channels]: [usize; 3],
) -> Tensor<4> {
    if channels == 1 || height * width == 1 {
        rows.reshape([count, channels, height, width])
    } else {
        rows.reshape([count, height, width, channels]).permute([0, 3, 1, 2])
    }
}

pub(crate) fn channels_last(images: Tensor<4>) -> Tensor<4> {
    let [count, channels, height, width] = images.dims();
    if channels == 1 || height * width == 1 {
        images.reshape([count, height, width, channels])
    } else {
        images.permute([0, 2, 3, 1])
    }
}
