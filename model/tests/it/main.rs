//! Tests of the crate `model` through its public names.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod errors;
mod inference;
mod initial;
mod layouts;
mod optimizers;
mod shapes;
mod support;
mod training;
