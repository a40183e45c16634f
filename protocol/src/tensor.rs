//! The shape table: names, shapes and roles of a model's tensors, in the order in which their
//! values stand one after the other in every flat `f32` vector (master, delta, files).

use serde::{Deserialize, Serialize};

use crate::limits::{ELEMENTS_MAX, NAME_BYTES_MAX, RANK_MAX, TENSORS_MAX};

/// What a tensor is to training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Trained by gradients; travels as a delta.
    Parameter,
    /// Statistics such as a BatchNorm's mean; travels as absolute `f32` values.
    Buffer,
    /// As `Buffer`, and never below zero (a variance).
    BufferNonNegative,
}

/// One tensor of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TensorInfo {
    /// `<node>.<kernel|bias|gamma|...>`, unique in the table.
    pub name: String,
    /// Keras's layout: dense kernels are `[in, out]`, convolutions `[height, width, in, out]`.
    pub shape: Vec<u32>,
    /// What it is to training.
    pub role: Role,
}

impl TensorInfo {
    /// Number of values.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().map(|&side| side as usize).product()
    }

    /// Whether it is a buffer rather than a trained parameter.
    #[must_use]
    pub fn is_buffer(&self) -> bool {
        self.role != Role::Parameter
    }
}

/// All tensors of a model, in the order of the flat vector.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct TensorTable {
    /// The tensors.
    pub tensors: Vec<TensorInfo>,
}

/// Why a table from outside is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Over [`TENSORS_MAX`].
    #[error("{0} tensors are more than the {TENSORS_MAX} that a model may have")]
    Tensors(usize),
    /// Over [`ELEMENTS_MAX`], [`RANK_MAX`] or [`NAME_BYTES_MAX`], or without values.
    #[error("tensor {0:?} has no values or is over the limits of rank, elements or name")]
    Tensor(String),
    /// Two tensors with one name.
    #[error("tensor name {0:?} stands twice in the table")]
    Duplicate(String),
}

impl TensorTable {
    /// Number of values of all tensors: the length of the flat vector.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.tensors.iter().map(TensorInfo::elements).sum()
    }

    /// Each tensor with the range of the flat vector that holds its values.
    pub fn ranges(&self) -> impl Iterator<Item = (&TensorInfo, std::ops::Range<usize>)> {
        self.tensors.iter().scan(0, |start, tensor| {
            let range = *start..*start + tensor.elements();
            *start = range.end;
            Some((tensor, range))
        })
    }

    /// Checks a table that came from outside, so that later arithmetic on it cannot overflow.
    ///
    /// # Errors
    /// When a limit is passed or a name stands twice.
    pub fn check(&self) -> Result<(), TableError> {
        if self.tensors.len() > TENSORS_MAX {
            return Err(TableError::Tensors(self.tensors.len()));
        }
        let mut total: u64 = 0;
        let mut names = std::collections::BTreeSet::new();
        for tensor in &self.tensors {
            let elements = tensor
                .shape
                .iter()
                .try_fold(1_u64, |product, &side| product.checked_mul(u64::from(side)));
            total = total.saturating_add(elements.unwrap_or(u64::MAX));
            // A side of 0 could hide a product that overflows where `usize` has 32 bits.
            if tensor.shape.contains(&0)
                || total > ELEMENTS_MAX
                || tensor.shape.len() > RANK_MAX
                || tensor.name.len() > NAME_BYTES_MAX
            {
                return Err(TableError::Tensor(tensor.name.chars().take(80).collect()));
            }
            if !names.insert(tensor.name.as_str()) {
                return Err(TableError::Duplicate(tensor.name.clone()));
            }
        }
        Ok(())
    }
}
