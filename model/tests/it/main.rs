//! Tests of the crate `model` through its public names.

mod errors;
mod inference;
mod initial;
mod layouts;
mod optimizers;
mod shapes;
mod support;
mod training;
