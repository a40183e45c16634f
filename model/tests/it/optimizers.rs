//! Optimizers against Keras's formulas, written out in f64 for one value and one sample.

use model::{Batch, Plan, Spec, Targets, Trainer};

const RATES: [f64; 3] = [0.1, 0.1, 0.03];
const INPUT: f64 = 0.75;
const TARGET: f64 = -0.5;
const FIRST: f64 = 1.25;

/// The value after each of three steps; the learning rate changes before the third.
fn trained(optimizer: &str) -> Vec<f64> {
    let text = format!(
        "input = [1]\nloss = \"mse\"\noptimizer = {optimizer}\n\
         layers = [{{ type = \"dense\", units = 1, use_bias = false }}]"
    );
    let plan = Plan::new(&Spec::from_toml(&text).unwrap()).unwrap();
    let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
    trainer.load(&[FIRST as f32]).unwrap();
    RATES
        .map(|rate| {
            let targets = Targets::Values { width: 1, values: vec![TARGET as f32] };
            let batch =
                Batch { inputs: vec![INPUT as f32], targets, weights: Vec::new(), count: 1 };
            pollster::block_on(trainer.step(batch, rate)).unwrap();
            f64::from(pollster::block_on(trainer.flat()).unwrap()[0])
        })
        .to_vec()
}

/// The same by a formula: (value, gradient, rate, step from 1) to the new value.
#[track_caller]
fn assert_follows(optimizer: &str, mut formula: impl FnMut(f64, f64, f64, i32) -> f64) {
    let mut value = FIRST;
    let expected: Vec<f64> = (1..)
        .zip(RATES)
        .map(|(step, rate)| {
            let gradient = 2.0 * (value * INPUT - TARGET) * INPUT;
            value = formula(value, gradient, rate, step);
            value
        })
        .collect();
    let values = trained(optimizer);
    for (value, expected) in values.iter().zip(&expected) {
        assert!((value - expected).abs() < 2e-6, "{optimizer}: {values:?}, expected {expected:?}");
    }
}

#[test]
fn sgd() {
    assert_follows("\"sgd\"", |value, gradient, rate, _| value - rate * gradient);
    assert_follows("{ type = \"sgd\", weight_decay = 0.2 }", |value, gradient, rate, _| {
        value - value * 0.2 * rate - rate * gradient
    });
}

#[test]
fn sgd_with_momentum() {
    let mut velocity = 0.0;
    assert_follows("{ type = \"sgd\", momentum = 0.9 }", |value, gradient, rate, _| {
        velocity = 0.9 * velocity - rate * gradient;
        value + velocity
    });
    let mut velocity = 0.0;
    let nesterov = "{ type = \"sgd\", momentum = 0.9, nesterov = true }";
    assert_follows(nesterov, |value, gradient, rate, _| {
        velocity = 0.9 * velocity - rate * gradient;
        value + 0.9 * velocity - rate * gradient
    });
}

fn adam(decay: f64, epsilon: f64) -> impl FnMut(f64, f64, f64, i32) -> f64 {
    let (mut first, mut second) = (0.0, 0.0);
    move |value, gradient, rate, step| {
        let value = value - value * decay * rate;
        first += (gradient - first) * (1.0 - 0.9);
        second += (gradient * gradient - second) * (1.0 - 0.999);
        let alpha = rate * (1.0 - 0.999_f64.powi(step)).sqrt() / (1.0 - 0.9_f64.powi(step));
        value - first * alpha / (second.sqrt() + epsilon)
    }
}

#[test]
fn adam_and_adamw() {
    assert_follows("\"adam\"", adam(0.0, 1e-7));
    assert_follows("{ type = \"adam\", epsilon = 0.1, weight_decay = 0.5 }", adam(0.5, 0.1));
    assert_follows("\"adamw\"", adam(0.004, 1e-7));
}

#[test]
fn reset_forgets_and_load_keeps_moments() {
    let text = "input = [1]\nloss = \"mse\"\noptimizer = { type = \"sgd\", momentum = 0.9 }\n\
                layers = [{ type = \"dense\", units = 1, use_bias = false }]";
    let plan = Plan::new(&Spec::from_toml(text).unwrap()).unwrap();
    assert!(plan.carries_momentum());
    let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
    let mut step = |before: &mut dyn FnMut(&mut Trainer)| {
        before(&mut trainer);
        trainer.load(&[1.0]).unwrap();
        let targets = Targets::Values { width: 1, values: vec![0.0] };
        let batch = Batch { inputs: vec![1.0], targets, weights: Vec::new(), count: 1 };
        pollster::block_on(trainer.step(batch, 0.1)).unwrap();
        pollster::block_on(trainer.flat()).unwrap()[0]
    };
    let first = step(&mut |_| {});
    let second = step(&mut |_| {});
    let fresh = step(&mut |trainer| trainer.reset_optimizer());
    assert_eq!(first, fresh);
    assert!((first - 0.8).abs() < 1e-6 && (second - 0.62).abs() < 1e-6, "{first} {second}");
}
