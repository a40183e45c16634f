//! The optimizers as tensors: Keras's formulas, flat tensor by flat tensor.

use burn::tensor::Tensor;

use crate::optimizer::{Adam, Adamw, Optimizer, Sgd};

/// An optimizer with its state.
#[derive(Debug)]
pub(crate) struct Updater {
    optimizer: Optimizer,
    /// Steps since the last reset.
    steps: i32,
    /// Velocity, or decaying sum of gradients, of each tensor.
    first: Vec<Option<Tensor<1>>>,
    /// Decaying sum of squared gradients of each tensor.
    second: Vec<Option<Tensor<1>>>,
}

/// The numbers of Adam.
struct Moments {
    beta_1: f64,
    beta_2: f64,
    epsilon: f64,
}

impl Updater {
    pub(crate) fn new(optimizer: Optimizer, tensors: usize) -> Self {
        Self { optimizer, steps: 0, first: vec![None; tensors], second: vec![None; tensors] }
    }

    /// Forgets all moments.
    pub(crate) fn reset(&mut self) {
        self.steps = 0;
        self.first.fill(None);
        self.second.fill(None);
    }

    /// Begins a step over all tensors.
    pub(crate) fn begin_step(&mut self) {
        self.steps = self.steps.saturating_add(1);
    }

    /// The new values of the tensor at `index`.
    pub(crate) fn update(
        &mut self,
        index: usize,
        values: Tensor<1>,
        gradient: Tensor<1>,
        learning_rate: f64,
    ) -> Tensor<1> {
        match self.optimizer {
            Optimizer::Sgd(Sgd { momentum, nesterov, weight_decay, .. }) => {
                let values = decay(values, learning_rate * weight_decay);
                let step = gradient.mul_scalar(learning_rate);
                if momentum == 0.0 {
                    return values.sub(step);
                }
                let velocity = match self.first[index].take() {
                    Some(velocity) => velocity.mul_scalar(momentum).sub(step.clone()),
                    None => step.clone().neg(),
                };
                self.first[index] = Some(velocity.clone());
                if nesterov {
                    values.add(velocity.mul_scalar(momentum)).sub(step)
                } else {
                    values.add(velocity)
                }
            }
            Optimizer::Adam(Adam { beta_1, beta_2, epsilon, weight_decay, .. })
            | Optimizer::Adamw(Adamw { beta_1, beta_2, epsilon, weight_decay, .. }) => {
                let values = decay(values, learning_rate * weight_decay);
                let moments = Moments { beta_1, beta_2, epsilon };
                values.sub(self.adam_step(index, gradient, learning_rate, &moments))
            }
        }
    }

    fn adam_step(
        &mut self,
        index: usize,
        gradient: Tensor<1>,
        learning_rate: f64,
        &Moments { beta_1, beta_2, epsilon }: &Moments,
    ) -> Tensor<1> {
        // The means are kept without their factors (1 - beta): two passes over the tensor less.
        let square = gradient.clone().mul(gradient.clone());
        let first = match self.first[index].take() {
            Some(first) => first.mul_scalar(beta_1).add(gradient),
            None => gradient,
        };
        let second = match self.second[index].take() {
            Some(second) => second.mul_scalar(beta_2).add(square),
            None => square,
        };
        self.first[index] = Some(first.clone());
        self.second[index] = Some(second.clone());
        // Keras puts both corrections of the bias into the step size, before epsilon is added.
        let correction = (1.0 - beta_2.powi(self.steps)).sqrt() / (1.0 - beta_1.powi(self.steps));
        let root_factor = (1.0 - beta_2).sqrt();
        let step = learning_rate * correction * (1.0 - beta_1) / root_factor;
        first.div(second.sqrt().add_scalar(epsilon / root_factor)).mul_scalar(step)
    }
}

fn decay(values: Tensor<1>, share: f64) -> Tensor<1> {
    if share == 0.0 { values } else { values.mul_scalar(1.0 - share) }
}
