//! What each node of a plan costs, for people and programs.

use protocol::TensorTable;

use crate::plan::Plan;
use crate::shape::{Operation, elements};

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its type, as in a spec.
    pub kind: &'static str,
    /// Shape of its output for one sample.
    pub output: Vec<u32>,
    /// Its trained values.
    pub parameters: u64,
    /// Its multiplications, each with an addition, for one sample from input to output. Functions
    /// and the comparisons and sums of pooling are not counted.
    pub multiply_adds: u64,
}

impl Plan {
    /// The nodes, in the order of computing.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let row = |node: &crate::plan::Planned| Row {
            name: node.name.clone(),
            kind: node.kind,
            output: node.output.clone(),
            parameters: node.parameters,
            multiply_adds: multiply_adds(&node.operation, &node.output, self.tensors()),
        };
        self.nodes().iter().map(row).collect()
    }
}

fn multiply_adds(operation: &Operation, output: &[u32], table: &TensorTable) -> u64 {
    let values = elements(output).unwrap_or(u64::MAX);
    // Each output value is a sum over all axes of the kernel but the last.
    let products = |kernel: usize| {
        let shape = &table.tensors[kernel].shape;
        let sides = shape.iter().take(shape.len().saturating_sub(1));
        sides.fold(1_u64, |product, side| product.saturating_mul(u64::from(*side)))
    };
    match operation {
        Operation::Dense { kernel, .. } | Operation::Conv2d { kernel, .. } => {
            values.saturating_mul(products(*kernel))
        }
        Operation::Rescaling { .. } | Operation::BatchNormalization { .. } => values,
        Operation::Activation(_)
        | Operation::Dropout { .. }
        | Operation::Flatten
        | Operation::Reshape
        | Operation::MaxPool2d(_)
        | Operation::AveragePool2d(_)
        | Operation::GlobalAveragePool2d => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    #[test]
    fn products_are_counted_as_keras_users_count_them() {
        let spec = Spec::from_toml(
            r#"
input = [28, 28, 1]
loss = "sparse_categorical_crossentropy"
optimizer = "sgd"
layers = [
    { type = "rescaling", scale = 0.1 },
    { type = "conv2d", filters = 8, kernel_size = 3, strides = 2, padding = "same" },
    { type = "batch_normalization" },
    { type = "max_pool2d" },
    { type = "flatten" },
    { type = "dense", units = 10, activation = "softmax" },
]
"#,
        )
        .unwrap();
        let plan = Plan::new(&spec).unwrap();
        let found: Vec<_> = plan
            .rows()
            .into_iter()
            .map(|row| (row.kind, row.parameters, row.multiply_adds))
            .collect();
        let expected = [
            ("rescaling", 0, 784),
            ("conv2d", 80, 14 * 14 * 8 * 9),
            ("batch_normalization", 16, 14 * 14 * 8),
            ("max_pool2d", 0, 0),
            ("flatten", 0, 0),
            ("dense", 3930, 7 * 7 * 8 * 10),
        ];
        assert_eq!(found, expected);
        let sum: u64 = plan.rows().iter().map(|row| row.parameters).sum();
        assert_eq!(sum, plan.parameters());
    }
}
