//! A model is data, not code: a spec in Keras's vocabulary, with Keras's defaults, becomes a Burn
//! network that trains, predicts and evaluates. Native and wasm32; nothing reads a tensor
//! synchronously.
//!
//! - [`Spec`]: the graph of named nodes as it stands in TOML or JSON; [`layer`]: its node types
//! - [`Plan`]: a checked spec: order, shapes, the table of tensors, first values; [`Row`]: what one
//!   of its nodes costs
//! - [`Trainer`]: loss, gradient, optimizer, one step after the other
//! - [`Predictor`]: outputs and [`Metrics`]; [`re_estimate`]: statistics of batch normalization

mod activation;
mod batch;
mod dropout;
mod error;
mod initial;
pub mod layer;
mod loss;
mod metrics;
mod network;
pub mod optimizer;
mod plan;
mod predictor;
mod shape;
mod spec;
mod statistics;
mod summary;
mod tensors;
mod trainer;
mod update;
mod value;

#[cfg(test)]
mod gradients;

pub use batch::{Batch, TargetKind, Targets};
pub use burn::tensor::Device;
pub use error::{Error, SpecError};
pub use layer::{Activation, Layer};
pub use loss::{Loss, Metric};
pub use metrics::Metrics;
pub use optimizer::Optimizer;
pub use plan::Plan;
pub use predictor::Predictor;
pub use spec::{Node, Spec};
pub use statistics::re_estimate;
pub use summary::Row;
pub use trainer::Trainer;

/// The CPU of this machine or browser, through Burn's Flex.
#[must_use]
pub fn cpu() -> Device {
    Device::flex()
}
