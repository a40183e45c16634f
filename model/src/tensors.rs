//! The one place where Keras's layout (wire, files, the flat vector) meets Burn's (the device).
//!
//! Dense kernels `[in, out]` and vectors are alike in both. A convolution's kernel is
//! `[height, width, in, out]` in Keras and `[out, in, height, width]` in Burn.

use burn::tensor::{DType, Device, Tensor, TensorData, Transaction};
use protocol::{TensorInfo, TensorTable};

use crate::error::Error;

/// A tensor in Burn's layout with the rank that its operation wants.
#[derive(Debug, Clone)]
pub(crate) enum Weight {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    Kernel(Tensor<4>),
}

/// A convolution's sides, where the tensor is one.
fn convolution(shape: &[u32]) -> Option<[usize; 4]> {
    <[u32; 4]>::try_from(shape).ok().map(|sides| sides.map(|side| side as usize))
}

impl Weight {
    /// Gives a device tensor its rank; `tracked` makes it a leaf of the gradient's graph.
    pub(crate) fn new(info: &TensorInfo, values: Tensor<1>, tracked: bool) -> Self {
        fn leaf<const D: usize>(tensor: Tensor<D>, tracked: bool) -> Tensor<D> {
            if tracked { tensor.autodiff().require_grad() } else { tensor }
        }
        if let Some([height, width, inputs, outputs]) = convolution(&info.shape) {
            return Self::Kernel(leaf(values.reshape([outputs, inputs, height, width]), tracked));
        }
        match *info.shape {
            [inputs, outputs] => {
                Self::Matrix(leaf(values.reshape([inputs as usize, outputs as usize]), tracked))
            }
            _ => Self::Vector(leaf(values, tracked)),
        }
    }

    /// The gradient of a leaf, flat.
    pub(crate) fn gradient(&self, gradients: &mut burn::tensor::Gradients) -> Option<Tensor<1>> {
        match self {
            Self::Vector(leaf) => leaf.grad_remove(gradients),
            Self::Matrix(leaf) => leaf.grad_remove(gradients).map(|tensor| tensor.flatten(0, 1)),
            Self::Kernel(leaf) => leaf.grad_remove(gradients).map(|tensor| tensor.flatten(0, 3)),
        }
    }
}

/// Uploads all tensors from the flat vector, each flat in Burn's layout.
pub(crate) fn upload(
    table: &TensorTable,
    flat: &[f32],
    device: &Device,
    dtype: DType,
) -> Result<Vec<Tensor<1>>, Error> {
    let expected = table.elements();
    if flat.len() != expected {
        return Err(Error::Length { expected, got: flat.len() });
    }
    let tensor = |values: Vec<f32>| {
        let count = values.len();
        Tensor::from_data(TensorData::new(values, [count]), (device, dtype))
    };
    Ok(table
        .ranges()
        .map(|(info, range)| match convolution(&info.shape) {
            None => tensor(flat[range].to_vec()),
            Some(sides) => tensor(to_burn(&flat[range], sides)),
        })
        .collect())
}

/// Reads all tensors into the flat vector.
pub(crate) async fn download(
    table: &TensorTable,
    tensors: &[Tensor<1>],
) -> Result<Vec<f32>, Error> {
    let transaction = tensors
        .iter()
        .fold(Transaction::default(), |transaction, tensor| transaction.register(tensor.clone()));
    let all = transaction.execute_async().await.map_err(Error::device)?;
    let mut flat = Vec::with_capacity(table.elements());
    for (data, info) in all.into_iter().zip(&table.tensors) {
        let values = data.as_slice::<f32>().map_err(Error::device)?;
        match convolution(&info.shape) {
            None => flat.extend_from_slice(values),
            Some(sides) => append_from_burn(&mut flat, values, sides),
        }
    }
    Ok(flat)
}

/// `[height, width, in, out]` to `[out, in, height, width]`.
fn to_burn(values: &[f32], [height, width, inputs, outputs]: [usize; 4]) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for output in 0..outputs {
        for input in 0..inputs {
            for place in 0..height * width {
                turned.push(values[(place * inputs + input) * outputs + output]);
            }
        }
    }
    turned
}

/// `[out, in, height, width]` to `[height, width, in, out]`.
fn append_from_burn(
    flat: &mut Vec<f32>,
    values: &[f32],
    [height, width, inputs, outputs]: [usize; 4],
) {
    let places = height * width;
    for place in 0..places {
        for input in 0..inputs {
            for output in 0..outputs {
                flat.push(values[(output * inputs + input) * places + place]);
            }
        }
    }
}
