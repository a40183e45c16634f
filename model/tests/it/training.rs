//! Training: random valid specs, determinism, and that it learns.

use model::{Batch, Plan, Spec, Targets, Trainer};
use protocol::order::generator;
use rand_core::Rng;

use crate::support::{assert_close, batch, numbers, plan};

/// A generator of valid specs that tracks the shape, as a person would.
struct Draw<R> {
    stream: R,
    shape: Vec<u32>,
    layers: Vec<String>,
}

impl<R: Rng> Draw<R> {
    fn below(&mut self, end: u64) -> u64 {
        self.stream.next_u64() % end
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn size(&self) -> u64 {
        self.shape.iter().map(|side| u64::from(*side)).product()
    }

    fn activation(&mut self) -> &'static str {
        self.pick(&[
            "linear",
            "relu",
            "relu6",
            "leaky_relu",
            "thresholded_relu",
            "elu",
            "celu",
            "selu",
            "gelu",
            "gelu_approximate",
            "sigmoid",
            "log_sigmoid",
            "hard_sigmoid",
            "silu",
            "hard_silu",
            "mish",
            "tanh",
            "tanh_shrink",
            "hard_tanh",
            "softplus",
            "softsign",
            "soft_shrink",
            "hard_shrink",
            "softmax",
            "log_softmax",
        ])
    }

    fn node(&mut self) {
        let (activation, bias) = (self.activation(), self.below(2) == 0);
        let layer = match self.below(9) {
            0 => {
                let units = 1 + self.below(6) as u32;
                *self.shape.last_mut().unwrap() = units;
                let initializer = self.pick(&["glorot_normal", "he_uniform", "he_normal", "ones"]);
                format!(
                    "type = \"dense\", units = {units}, activation = \"{activation}\", use_bias = {bias}, kernel_initializer = \"{initializer}\""
                )
            }
            1 => format!("type = \"activation\", activation = \"{activation}\""),
            2 => format!("type = \"dropout\", rate = 0.{}", self.below(9)),
            3 => {
                self.shape = vec![self.size() as u32];
                "type = \"flatten\"".into()
            }
            4 => self.reshape(),
            5 => "type = \"rescaling\", scale = 0.5, offset = -0.25".into(),
            6 => format!("type = \"batch_normalization\", center = {bias}, momentum = 0.9"),
            _ if self.shape.len() == 3 => self.image(activation, bias),
            _ => return,
        };
        self.layers.push(format!("{{ {layer} }}"));
    }

    fn reshape(&mut self) -> String {
        let size = self.size();
        let side = (2..=size).find(|side| size.is_multiple_of(*side)).unwrap_or(1);
        self.shape = match self.below(3) {
            0 => vec![size as u32],
            1 => vec![side as u32, (size / side) as u32],
            _ => vec![side as u32, (size / side) as u32, 1],
        };
        format!("type = \"reshape\", target_shape = {:?}", self.shape)
    }

    fn image(&mut self, activation: &str, bias: bool) -> String {
        let padding = self.pick(&["valid", "same"]);
        let window: Vec<u32> = (0..2)
            .map(|axis| {
                let most = if padding == "same" { 4 } else { u64::from(self.shape[axis].min(4)) };
                1 + self.below(most) as u32
            })
            .collect();
        let strides = [1 + self.below(3) as u32, 1 + self.below(3) as u32];
        let kind = self.below(4);
        if kind == 3 {
            self.shape = vec![self.shape[2]];
            return "type = \"global_average_pool2d\"".into();
        }
        for axis in 0..2 {
            self.shape[axis] = if padding == "same" {
                self.shape[axis].div_ceil(strides[axis])
            } else {
                (self.shape[axis] - window[axis]) / strides[axis] + 1
            };
        }
        if kind < 2 {
            let pool = ["max_pool2d", "average_pool2d"][kind as usize];
            return format!(
                "type = \"{pool}\", pool_size = {window:?}, strides = {strides:?}, padding = \"{padding}\""
            );
        }
        let filters = 1 + self.below(4) as u32;
        self.shape[2] = filters;
        format!(
            "type = \"conv2d\", filters = {filters}, kernel_size = {window:?}, strides = {strides:?}, padding = \"{padding}\", activation = \"{activation}\", use_bias = {bias}"
        )
    }

    fn spec(mut self) -> String {
        let rank = 1 + self.below(3);
        self.shape = (0..rank).map(|_| 1 + self.below(7) as u32).collect();
        let input = self.shape.clone();
        for _ in 0..self.below(7) {
            self.node();
        }
        let units = 2 + self.below(3);
        let loss = self.pick(&[
            "categorical_crossentropy",
            "sparse_categorical_crossentropy",
            "mse",
            "mae",
        ]);
        let end = self.pick(&["softmax", "sigmoid"]);
        let optimizer = self.pick(&[
            "\"sgd\"",
            "\"adam\"",
            "\"adamw\"",
            "{ type = \"sgd\", momentum = 0.9, nesterov = true, weight_decay = 0.01 }",
        ]);
        let layers = &self.layers.iter().map(|layer| format!("{layer}, ")).collect::<String>();
        format!(
            "input = {input:?}\nloss = \"{loss}\"\noptimizer = {optimizer}\nlayers = [{layers}\
             {{ type = \"flatten\" }}, {{ type = \"dense\", units = {units}, activation = \"{end}\" }}]"
        )
    }
}

#[test]
fn random_specs_train_for_two_steps() {
    for seed in 0..200 {
        let draw = Draw { stream: generator(seed, 1, 0), shape: Vec::new(), layers: Vec::new() };
        let text = draw.spec();
        // What panics below names the spec that it was.
        println!("seed {seed}:\n{text}");
        let plan = Plan::new(&Spec::from_toml(&text).unwrap()).unwrap();
        let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
        trainer.load(&plan.initial(seed)).unwrap();
        trainer.seed(seed);
        for step in 0..2 {
            pollster::block_on(trainer.step(batch(&plan, seed + step, 4), 0.001)).unwrap();
        }
        let loss = pollster::block_on(trainer.take_loss()).unwrap();
        assert!(loss.is_finite(), "seed {seed}: loss {loss}\n{text}");
        let flat = pollster::block_on(trainer.flat()).unwrap();
        assert!(flat.iter().all(|value| value.is_finite()), "seed {seed}\n{text}");
    }
}

#[test]
fn a_delta_is_a_function_of_parameters_data_and_seed() {
    let plan = plan(
        "[8]",
        "mse",
        "{ type = \"dense\", units = 32, activation = \"relu\" }, { type = \"dropout\", rate = 0.5 }, \
         { type = \"dense\", units = 2 }",
    );
    let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
    let mut lease = |seed: u64| {
        trainer.load(&plan.initial(1)).unwrap();
        trainer.seed(seed);
        for step in 0..3 {
            pollster::block_on(trainer.step(batch(&plan, step, 8), 0.1)).unwrap();
        }
        pollster::block_on(trainer.flat()).unwrap()
    };
    let first = lease(5);
    assert_ne!(first, lease(6));
    assert_eq!(first, lease(5));
}

#[test]
fn a_network_learns_what_a_line_cannot() {
    let plan = plan(
        "[2]",
        "sparse_categorical_crossentropy",
        "{ type = \"dense\", units = 16, activation = \"tanh\" }, \
         { type = \"dense\", units = 2, activation = \"softmax\" }",
    );
    let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
    trainer.load(&plan.initial(1)).unwrap();
    let batch = |seed: u64| {
        let inputs = numbers(seed, 64);
        let classes = inputs.chunks(2).map(|xy| i32::from(xy[0] * xy[1] > 0.0)).collect();
        Batch { inputs, targets: Targets::Classes(classes), weights: Vec::new(), count: 32 }
    };
    for step in 0..600 {
        pollster::block_on(trainer.step(batch(step), 0.5)).unwrap();
    }
    let mut predictor = model::Predictor::new(&plan, &model::cpu()).unwrap();
    predictor.load(&pollster::block_on(trainer.flat()).unwrap()).unwrap();
    let metrics = pollster::block_on(predictor.evaluate(&batch(9999))).unwrap();
    assert!(metrics.accuracy() >= 0.9, "{metrics:?}");
}

#[test]
fn a_weight_of_two_is_the_sample_twice() {
    for (loss, activation) in [
        ("sparse_categorical_crossentropy", "softmax"),
        ("sparse_categorical_crossentropy", "relu"),
        ("categorical_crossentropy", "softmax"),
        ("mse", "linear"),
        ("mae", "linear"),
    ] {
        let layers = format!("{{ type = \"dense\", units = 3, activation = \"{activation}\" }}");
        let plan = plan("[4]", loss, &layers);
        // One step of SGD, and the loss that was seen.
        let step = |batch: Batch, rate: f64| {
            let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
            trainer.load(&plan.initial(1)).unwrap();
            pollster::block_on(trainer.step(batch, rate)).unwrap();
            let loss = pollster::block_on(trainer.take_loss()).unwrap();
            (pollster::block_on(trainer.flat()).unwrap(), loss)
        };
        let two = batch(&plan, 5, 2);
        let weighted = Batch { weights: vec![2.0, 1.0], ..two.clone() };
        let twice = Batch {
            inputs: [&two.inputs[..4], &two.inputs].concat(),
            targets: match two.targets {
                Targets::Classes(classes) => Targets::Classes([&classes[..1], &classes].concat()),
                Targets::Values { width, values } => {
                    Targets::Values { width, values: [&values[..3], &values].concat() }
                }
            },
            weights: Vec::new(),
            count: 3,
        };
        // The mean is over two samples there, and over three here.
        let (expected, expected_loss) = step(twice, 0.3);
        let (got, loss) = step(weighted, 0.2);
        assert_close(&got, &expected, 1e-6);
        assert!((loss - expected_loss).abs() < 1e-5, "{loss} {expected_loss}");
    }
}

#[test]
fn wrong_weights_are_refused() {
    let plan = plan("[4]", "mse", "{ type = \"dense\", units = 3 }");
    let mut trainer = Trainer::new(&plan, &model::cpu()).unwrap();
    for weights in [vec![1.0], vec![1.0; 3], vec![1.0, -1.0], vec![1.0, f32::NAN]] {
        let wrong = Batch { weights, ..batch(&plan, 5, 2) };
        assert!(pollster::block_on(trainer.step(wrong, 0.1)).is_err());
    }
}
